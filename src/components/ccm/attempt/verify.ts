import type { PushpointError } from '#base/errors';

import { bounded, STEP_LIMIT_MS } from './bounded.ts';
import type { AttemptContext } from './context.ts';
import { Interrupted, type InterruptReason } from './interrupted.ts';
import { logon, wrongHost } from './logon.ts';
import { AddressSearch } from './probe.ts';
import { isSetupFailure, setupEnd } from './setup-failure.ts';
import { Target } from './target.ts';
import type { Note } from './timeline.ts';

/** VerifyResult is what a look at the machine after the start showed. */
export type VerifyResult =
  | { kind: 'complete'; proof: string }
  | { kind: 'working' }
  | { kind: 'nothing' }
  | { kind: 'restart' }
  | { kind: 'failed'; error: PushpointError }
  | { kind: 'unreached'; error: PushpointError }
  | { kind: 'interrupted'; why: InterruptReason };

/** verify looks whether the client that was pushed runs. It is one step of the timeline, changes nothing, and never throws. */
export async function verify(context: AttemptContext): Promise<VerifyResult> {
  const { timeline, stop } = context;
  try {
    stop.soft.throwIfAborted();
    return await timeline.run('verify', (note) => look(context, note));
  } catch (error) {
    if (error instanceof Interrupted) return { kind: 'interrupted', why: error.why };
    const known = error as PushpointError;
    if (known.code === 'PP_PUSH_DEFECT') context.log.error('a verification met a defect', { error: known.cause });
    return isSetupFailure(known) ? { kind: 'failed', error: known } : { kind: 'unreached', error: known };
  }
}

async function connected(context: AttemptContext, note: Note): Promise<Target> {
  const { accounts, ccr, wanted, clock } = context;
  const search = new AddressSearch(context);
  let wrong: unknown;
  for (;;) {
    const found = await search.next(note).catch((error: unknown) => {
      throw wrong ?? error;
    });
    try {
      const { session } = await logon(context, found, await accounts.choose(ccr), note);
      return new Target(session, wanted.name, clock);
    } catch (error) {
      if (!wrongHost(error)) throw error;
      wrong = error;
    } finally {
      found.line?.drop();
    }
  }
}

async function look(context: AttemptContext, note: Note): Promise<VerifyResult> {
  const { stop, clock, wanted } = context;
  const target = await connected(context, note);
  try {
    return await bounded(services(context, target, note), {
      clock,
      host: wanted.name,
      doing: 'step verify',
      ms: STEP_LIMIT_MS.verify,
      signal: stop.hard,
      cut: () => target.session.close(),
    });
  } finally {
    await target.leave();
  }
}

/** removed: neither the service of the client nor that of the bootstrap is there any more, which is the last thing it takes away. */
function removed(agent: string | undefined, setup: unknown, note: Note): VerifyResult {
  if (agent === undefined && setup === undefined) {
    note('the client and its bootstrap are gone');
    return { kind: 'complete', proof: 'the client is removed' };
  }
  note(agent === undefined ? 'the bootstrap is still there' : `the service of the client is ${agent}`, 'unknown');
  return { kind: 'nothing' };
}

async function services(context: AttemptContext, target: Target, note: Note): Promise<VerifyResult> {
  const { push, ccr } = context;
  await target.openPipes();
  const manager = await target.services();
  const agent = await manager.open(push.verifyService);
  const agentState = agent && (await agent.status()).state;
  const setup = await manager.open(push.setupService);
  const status = setup && (await setup.status());
  await setup?.close();
  if (status && status.state !== 'stopped') {
    note(`service ${push.setupService} is ${status.state}: the installation is still at work`);
    return { kind: 'working' };
  }
  // A client that runs beside a bootstrap that failed is the old one.
  const end = status && setupEnd(ccr.name, status, push.bootstrap);
  if (end?.kind === 'failed') throw end.error;
  if (ccr.uninstall) return removed(agentState, status, note);
  if (agentState === 'running') {
    note(`service ${push.verifyService} is running`);
    return { kind: 'complete', proof: `service ${push.verifyService} is running` };
  }
  if (end?.kind === 'restart') {
    note('the bootstrap has ended; the machine has to be restarted first', 'unknown');
    return { kind: 'restart' };
  }
  note(
    agentState ? `service ${push.verifyService} is ${agentState}` : `there is no service ${push.verifyService} yet`,
    'unknown',
  );
  return { kind: 'nothing' };
}
