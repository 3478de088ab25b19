import { isCode, type PushpointError } from '#base/errors';

import type { AttemptContext } from './context.ts';
import { copy } from './copy.ts';
import { decide, type Decision } from './decide.ts';
import { osVersion, type Facts } from './facts.ts';
import { inspect } from './inspect.ts';
import { Interrupted, type InterruptReason } from './interrupted.ts';
import { lock, type Held } from './lock.ts';
import { reach, step } from './reach.ts';
import { release, type Reached } from './release.ts';
import { openAdminShare } from './shares.ts';
import { start } from './start.ts';
import { failure } from './timeline.ts';

/** AttemptResult is how an attempt ended; what follows from it is decided by whoever asked for it. */
export type AttemptResult =
  | { kind: 'started'; startedAt: Date; facts: Facts }
  | { kind: 'complete'; proof: string; facts: Facts }
  | { kind: 'reported'; found: string; facts: Facts }
  | { kind: 'ended'; error: PushpointError; facts?: Facts }
  | { kind: 'interrupted'; why: InterruptReason };

/** attempt does one attempt: every step of the life of a CCR from probe to release. It never throws. */
export async function attempt(context: AttemptContext): Promise<AttemptResult> {
  const { journal } = context;
  journal.begin();
  try {
    const result = await work(context);
    if (result.kind === 'ended') tell(context, result.error);
    return result;
  } catch (error) {
    if (error instanceof Interrupted) {
      journal.said(`the attempt was ended: ${error.why}`);
      return { kind: 'interrupted', why: error.why };
    }
    const known = failure(error, 'probe');
    tell(context, known);
    return { kind: 'ended', error: known };
  } finally {
    journal.end();
  }
}

function tell({ journal, log }: AttemptContext, error: PushpointError): void {
  if (error.code === 'PP_PUSH_DEFECT') log.error('an attempt met a defect', { error: error.cause });
  if (error.again === 'never') journal.said(error.message);
  else journal.failed(error.win32, error.message);
}

async function work(context: AttemptContext): Promise<AttemptResult> {
  const reached = await reach(context);
  const cut = () => reached.target.session.close();
  context.stop.hard.addEventListener('abort', cut, { once: true });
  let held: Held | undefined;
  try {
    return await onTarget(context, reached, (lock) => (held = lock));
  } finally {
    await release(context, reached, held);
    await reached.target.leave();
    context.stop.hard.removeEventListener('abort', cut);
  }
}

async function openShares(context: AttemptContext, { target, account }: Reached): Promise<void> {
  try {
    await step(context, 'admin-share', target, async (note) => {
      await openAdminShare(target, context.ccr.name, account);
      note('ADMIN$ and IPC$ are open');
    });
  } catch (error) {
    if (isCode(error, 'PP_SMB_NOT_ADMIN', 'PP_SMB_TOKEN_FILTERED')) context.journal.notAdministrator(account.username);
    throw error;
  }
}

/** The inspection and the lock do not need each other, so they go side by side; each is recorded in its place. */
async function lookAndLock(context: AttemptContext, { target }: Reached, held: (lock: Held) => void): Promise<Facts> {
  const looking = step(context, 'inspect', target, (note) => inspect(target, context, note));
  if (context.ccr.inspectOnly) {
    const facts = await looking;
    context.timeline.skip('lock', 'an inspection leaves nothing on the machine');
    return facts;
  }
  const locking = step(context, 'lock', target, (note) => lock(target, context, note, held));
  const [looked, locked] = await Promise.allSettled([looking, locking]);
  if (looked.status === 'rejected') throw looked.reason;
  if (locked.status === 'rejected') throw locked.reason;
  return looked.value;
}

async function onTarget(context: AttemptContext, reached: Reached, held: (lock: Held) => void): Promise<AttemptResult> {
  const { target } = reached;
  const { clock, timeline } = context;
  await openShares(context, reached);
  const facts = await lookAndLock(context, reached, held);
  const decision = await decided(context, facts);
  if (decision.do === 'refuse') return { kind: 'ended', error: decision.error, facts };
  if (decision.do === 'report') return { kind: 'reported', found: decision.why, facts };
  if (decision.do === 'complete') return { kind: 'complete', proof: decision.why, facts };
  if (decision.do === 'await') {
    timeline.skip('copy', decision.why);
    timeline.skip('start', decision.why);
    return { kind: 'started', startedAt: clock.now(), facts };
  }
  await step(context, 'copy', target, (note) => copy(target, context, facts, note));
  // The last look before something runs there: a process that lost its claim meanwhile must not install beside the one that has it.
  if (!(await context.stillOurs())) throw new Interrupted('lease lost');
  // Taken before the start: a quick client reports in before its service was seen running.
  const startedAt = clock.now();
  await step(context, 'start', target, (note) => start(target, context, facts, note));
  return { kind: 'started', startedAt, facts };
}

/** The decision is a step of its own; a refusal that is no failure is recorded as skipped. */
async function decided(context: AttemptContext, facts: Facts): Promise<Decision> {
  const { ccr, push, clientSite, timeline, journal, stop } = context;
  stop.soft.throwIfAborted();
  return timeline.run('decide', async (note) => {
    const decision = decide(facts, {
      machine: ccr.name,
      ccrId: ccr.id,
      site: clientSite,
      forced: ccr.forced,
      reinstall: ccr.reinstall,
      includeDcs: ccr.includeDcs,
      inspectOnly: ccr.inspectOnly,
      uninstall: ccr.uninstall,
      package: push,
      proven: context.proven,
    });
    if (decision.do !== 'refuse') {
      note(decision.why, decision.do === 'report' ? 'skipped' : undefined);
      return decision;
    }
    if (decision.error.win32 === 1305) journal.invalidVersion(osVersion(facts.os) ?? 'unknown');
    if (decision.error.again !== 'never') throw decision.error;
    note(decision.error.message, 'skipped');
    return decision;
  });
}
