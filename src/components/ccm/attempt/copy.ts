import { createHash } from 'node:crypto';
import { isCode, raise } from '#base/errors';

import type { AttemptContext } from './context.ts';
import type { Facts } from './facts.ts';
import { SETUP_FOLDER } from './inspect.ts';
import { serviceState } from './inspect.ts';
import { stillAlone } from './lock.ts';
import type { Target } from './target.ts';
import type { Note } from './timeline.ts';

/** How long an old bootstrap is given to end after it was asked to. */
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

/** stopSetup ends a bootstrap that runs from the folder that is to be written. */
export async function stopSetup(target: Target, context: AttemptContext): Promise<void> {
  const { push, clock, ccr, stop } = context;
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
  const until = clock.monotonic() + STOP_WAIT_MS;
  for (let pause = 50; ; pause = Math.min(pause * 2, 1000)) {
    const state = await serviceState(target, push.setupService);
    if (state === undefined || state === 'stopped') return;
    if (clock.monotonic() >= until)
      throw raise('PP_PUSH_SETUP_RUNNING', { machine: ccr.name, service: push.setupService, state });
    await clock.sleep(pause, stop.hard);
  }
}

/**
 * copy lays the bootstrap and this machine's own mobileclient.tcf into %windir%\ccmsetup. A bootstrap that is there already is left
 * alone; one that an old run holds open is freed by stopping that run, once.
 */
export async function copy(target: Target, context: AttemptContext, facts: Facts, note: Note): Promise<void> {
  const { push } = context;
  const { admin } = target;
  const path = `${SETUP_FOLDER}\\${push.bootstrap.file}`;
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
