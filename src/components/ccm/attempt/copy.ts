import { createHash } from 'node:crypto';
import { isCode, raise } from '#base/errors';

import type { AttemptContext } from './context.ts';
import type { Facts } from './facts.ts';
import { SETUP_FOLDER } from './inspect.ts';
import { serviceState } from './inspect.ts';
import { stillAlone } from './lock.ts';
import type { Target } from './target.ts';
import type { Note } from './timeline.ts';

/** How long an old bootstrap is given to end by itself, and after it was asked to. */
const END_WAIT_MS = 5000;
const STOP_WAIT_MS = 15_000;

/** same tells whether the bootstrap that is there already is the one to be copied. */
async function same(target: Target, path: string, facts: Facts, { push }: AttemptContext): Promise<boolean> {
  const size = facts.setup.files.get(push.bootstrap.file.toLowerCase());
  if (size !== BigInt(push.bootstrap.bytes.length)) return false;
  try {
    const there = await target.admin.readFile(path, { maxBytes: push.bootstrap.bytes.length });
    return createHash('sha256').update(there).digest('hex') === push.bootstrap.sha256;
  } catch (error) {
    if (isCode(error, 'PP_SMB_SHARING_VIOLATION', 'PP_SMB_NO_FILE', 'PP_SMB_ACCESS_DENIED', 'PP_SMB_TOO_BIG')) return false;
    throw error;
  }
}

/** ended waits until no bootstrap runs any more; false when one still does at the end of the time. */
async function ended(target: Target, { push, clock, stop }: AttemptContext, ms: number): Promise<boolean> {
  const until = clock.monotonic() + ms;
  for (let pause = 50; ; pause = Math.min(pause * 2, 1000)) {
    const state = await serviceState(target, push.setupService);
    if (state === undefined || state === 'stopped') return true;
    if (clock.monotonic() >= until) return false;
    await clock.sleep(pause, stop.hard);
  }
}

/** stopSetup ends a bootstrap that runs from the folder that is to be written. */
async function stopSetup(target: Target, context: AttemptContext): Promise<void> {
  const { push, ccr } = context;
  const manager = await target.services();
  const service = await manager.open(push.setupService);
  if (!service) return;
  try {
    await service.stop().catch((error: unknown) => {
      if (!isCode(error, 'PP_SERVICE_NOT_RUNNING', 'PP_SERVICE_BUSY')) throw error;
    });
  } finally {
    await service.close();
  }
  if (await ended(target, context, STOP_WAIT_MS)) return;
  const state = (await serviceState(target, push.setupService)) ?? 'stopped';
  throw raise('PP_PUSH_SETUP_RUNNING', { machine: ccr.name, service: push.setupService, state });
}

/**
 * quiet sees to it that no bootstrap of before is at work: at its end that one would take the token out of the new mobileclient.tcf. One whose
 * client has reported in is as good as done, so it is given a moment before it is stopped.
 */
async function quiet(target: Target, context: AttemptContext, facts: Facts, note: Note): Promise<void> {
  const { service } = facts.setup;
  if (service === undefined || service === 'stopped' || (await ended(target, context, END_WAIT_MS))) return;
  note('an old bootstrap was still at work and was stopped');
  await stopSetup(target, context);
}

/**
 * copy lays the bootstrap and this machine's own mobileclient.tcf into %windir%\ccmsetup, once no other run is at work there. A bootstrap that
 * is there already is left alone; one that a run began meanwhile holds open is freed by stopping that run, once.
 */
export async function copy(target: Target, context: AttemptContext, facts: Facts, note: Note): Promise<void> {
  const { push } = context;
  const { admin } = target;
  const path = `${SETUP_FOLDER}\\${push.bootstrap.file}`;
  await quiet(target, context, facts, note);
  const [tcf, there] = await Promise.all([
    context.mobileClient(),
    same(target, path, facts, context),
    facts.setup.files.size > 0 ? undefined : admin.mkdir(SETUP_FOLDER),
  ]);
  const settings = admin.writeFile(`${SETUP_FOLDER}\\mobileclient.tcf`, tcf);
  const alone = stillAlone(target, context, note);
  const bootstrap = there ? Promise.resolve() : writeBootstrap(target, context, path, note);
  await Promise.all([settings, bootstrap, alone]);
  const size = `${Math.ceil(push.bootstrap.bytes.length / 1024)} KB`;
  note(
    there
      ? `${push.bootstrap.file} was there already; wrote mobileclient.tcf`
      : `copied ${push.bootstrap.file} (${size}) and mobileclient.tcf`,
  );
}

async function writeBootstrap(target: Target, context: AttemptContext, path: string, note: Note): Promise<void> {
  const { bytes } = context.push.bootstrap;
  try {
    await target.admin.writeFile(path, bytes);
  } catch (error) {
    if (!isCode(error, 'PP_SMB_SHARING_VIOLATION', 'PP_SMB_ACCESS_DENIED')) throw error;
    const state = await serviceState(target, context.push.setupService);
    if (state === undefined || state === 'stopped') throw error;
    note('an old bootstrap was running from the same file and was stopped');
    await stopSetup(target, context);
    await target.admin.writeFile(path, bytes);
  }
}
