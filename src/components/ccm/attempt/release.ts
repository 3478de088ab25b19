import { bounded, STEP_LIMIT_MS } from './bounded.ts';
import type { AttemptContext, PushAccount } from './context.ts';
import { Stop } from './interrupted.ts';
import { open } from './logon.ts';
import type { Held } from './lock.ts';
import type { Found } from './probe.ts';
import type { Target } from './target.ts';
import { failure } from './timeline.ts';

/** Reached is a target with what is needed to reach it again. */
export interface Reached {
  target: Target;
  found: Found;
  account: PushAccount;
}

async function removeAgain(context: AttemptContext, { found, account }: Reached, held: Held): Promise<void> {
  // The connection is gone, the lock is not: one more connection, also when the attempt was cancelled.
  const session = await open({ ...context, stop: new Stop() }, found, account);
  try {
    const admin = await session.tree('ADMIN$');
    await admin.remove(held.name);
  } finally {
    await session.logoff();
  }
}

/**
 * release removes this site's lock, whatever became of the attempt. It never throws: a lock that cannot be removed is stale after
 * `lockMinutes`, and the timeline says so.
 */
export async function release(context: AttemptContext, reached: Reached, held: Held | undefined): Promise<void> {
  const { timeline, clock, wanted, journal } = context;
  if (!held) return timeline.skip('release', 'no lock was taken');
  journal.deletingLock(held.name);
  const bounds = { clock, host: wanted.name, doing: 'the removal of the lock', ms: STEP_LIMIT_MS.release };
  const step = timeline.run('release', async (note) => {
    // Not the attempt's signal: the lock is removed after a cancellation too. The process' own stop is bounded by its grace.
    const signal = new Stop().hard;
    try {
      await bounded(reached.target.admin.remove(held.name), { ...bounds, signal });
      note(`removed ${held.name}`);
    } catch (error) {
      note(`${failure(error, 'release').message}; connected once more`);
      await bounded(removeAgain(context, reached, held), { ...bounds, signal });
      note(`removed ${held.name}`);
    }
  });
  await step.catch(() => {});
}
