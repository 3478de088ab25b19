import { isCode, raise } from '#base/errors';
import type { Service, ServiceManager } from '#wire/rpc';

import type { AttemptContext } from './context.ts';
import type { Facts } from './facts.ts';
import { SETUP_FOLDER } from './inspect.ts';
import { isCcmsetup, setupEnd } from './setup-failure.ts';
import type { Target } from './target.ts';
import type { Note } from './timeline.ts';

const RUN_WAIT_MS = 30_000;
const DELETE_WAIT_MS = 10_000;

/** commandLine is what the service runs: the machine's own folder where it told it, else what its service manager expands. */
export function commandLine(facts: Facts, { push, ccr }: Pick<AttemptContext, 'push' | 'ccr'>): string {
  // Only a plain top folder such as C:\Windows is believed; a Samba server tells a path of another world.
  const folder = /^[A-Za-z]:\\[^\\:*?"<>|]+$/.test(facts.windowsPath ?? '') ? facts.windowsPath! : '%SystemRoot%';
  // Ours, and the one it is named after, leave an installation of the same version alone unless told so (facts D2).
  if (ccr.uninstall) return `"${folder}\\${SETUP_FOLDER}\\${push.bootstrap.file}" /uninstall`;
  const again = (ccr.forced || ccr.reinstall) && isCcmsetup(push.bootstrap) ? '/forceinstall' : undefined;
  return [`"${folder}\\${SETUP_FOLDER}\\${push.bootstrap.file}"`, push.arguments, again].filter(Boolean).join(' ');
}

/** prepared gives the service with the right program: made anew, or an old one changed. */
async function prepared(manager: ServiceManager, context: AttemptContext, binaryPath: string, exists: boolean): Promise<Service> {
  const { push, clock, stop } = context;
  const wish = { name: push.setupService, displayName: push.setupService, binaryPath, startType: 'demand' as const };
  const until = clock.monotonic() + DELETE_WAIT_MS;
  for (let pause = 100; ; pause = Math.min(pause * 2, 1000)) {
    try {
      if (!exists) return await manager.create(wish);
      const old = await manager.open(push.setupService);
      if (old) {
        await old.change({ binaryPath, startType: 'demand' }).catch(async (error: unknown) => {
          await old.close();
          throw error;
        });
        return old;
      }
      exists = false;
      continue;
    } catch (error) {
      if (isCode(error, 'PP_SERVICE_EXISTS')) {
        exists = true;
        continue;
      }
      // 1072: deleted, but somebody still holds it open; it goes when the last one lets go.
      if (!isCode(error, 'PP_SERVICE_MARKED_FOR_DELETE') || clock.monotonic() >= until) throw error;
      await clock.sleep(pause, stop.hard);
    }
  }
}

/** seenRunning waits until the service runs, or has already done its work; a bootstrap can be quick. */
async function seenRunning(service: Service, context: AttemptContext, note: Note): Promise<void> {
  const { push, clock, ccr, stop } = context;
  const until = clock.monotonic() + RUN_WAIT_MS;
  // The service manager answers the start before the program says that it runs, so the first look waits a moment too.
  for (let pause = 25; ; pause = Math.min(pause * 2, 1000)) {
    await clock.sleep(pause, stop.hard);
    const status = await service.status().catch((error: unknown) => {
      if (isCode(error, 'PP_SERVICE_UNKNOWN', 'PP_SERVICE_MARKED_FOR_DELETE', 'PP_RPC_HANDLE_LOST')) return undefined;
      throw error;
    });
    if (status === undefined) return note('the bootstrap has ended and removed its service already');
    if (status.state === 'running')
      return note(`service ${push.setupService} is running${status.pid ? ` (pid ${status.pid})` : ''}`);
    if (status.state === 'stopped') {
      const end = setupEnd(ccr.name, status, push.bootstrap);
      if (end.kind === 'failed') throw end.error;
      if (end.kind === 'done') return note(`service ${push.setupService} has ended already and did its work`);
      if (end.kind === 'restart') return note(`service ${push.setupService} has ended already; the machine has to be restarted`);
      // Not started: the start is still on its way.
    }
    if (clock.monotonic() >= until) throw raise('PP_SERVICE_START_TIMEOUT', { subject: `service ${push.setupService}` });
  }
}

/** start makes or replaces the service of the bootstrap, starts it and sees it run. */
export async function start(target: Target, context: AttemptContext, facts: Facts, note: Note): Promise<void> {
  const { push, stop } = context;
  const manager = await target.services();
  const state = facts.setup.service;
  const service = await prepared(manager, context, commandLine(facts, context), state !== undefined);
  note(`${state === undefined ? 'made' : 'replaced'} service ${push.setupService}`);
  if (stop.soft.aborted) {
    if (state === undefined) await service.delete().catch(() => {});
    stop.soft.throwIfAborted();
  }
  await service.start().catch((error: unknown) => {
    if (!isCode(error, 'PP_SERVICE_ALREADY_RUNNING')) throw error;
  });
  // The handle goes with its pipe at the end of the session; until then a service that deletes itself stays in the list.
  await seenRunning(service, context, note);
}
