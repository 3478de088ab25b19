import { bounded, STEP_LIMIT_MS } from './bounded.ts';
import type { AttemptContext } from './context.ts';
import { logon, wrongHost, type LoggedOn } from './logon.ts';
import { AddressSearch, type Found } from './probe.ts';
import type { Reached } from './release.ts';
import { Target } from './target.ts';
import type { StepName } from './timeline.ts';

/** step runs one step within its time; the attempt can be ended before it begins, and the connection is cut when it takes too long. */
export function step<T>(
  context: AttemptContext,
  name: StepName & keyof typeof STEP_LIMIT_MS,
  target: Target,
  work: (note: (detail: string, outcome?: 'unknown' | 'skipped') => void) => Promise<T>,
): Promise<T> {
  const { clock, wanted, stop, timeline } = context;
  stop.soft.throwIfAborted();
  const ms = STEP_LIMIT_MS[name];
  return timeline.run(name, (note) =>
    bounded(work(note), {
      clock,
      host: wanted.name,
      doing: `step ${name}`,
      ms,
      signal: stop.hard,
      cut: () => target.session.close(),
    }),
  );
}

/**
 * reach finds the machine and logs on to it. Where another machine answers at an address, the next address is tried, and after those
 * the names are looked up: so a stale record costs a step and not the attempt. The credential is never used for the wrong one.
 */
export async function reach(context: AttemptContext): Promise<Reached> {
  const { timeline, accounts, ccr, stop, journal, wanted, clock } = context;
  const search = new AddressSearch(context);
  let wrong: unknown;
  for (;;) {
    stop.soft.throwIfAborted();
    const found: Found = await timeline.run('probe', async (note) => {
      try {
        return await search.next(note);
      } catch (error) {
        // After a wrong machine the finding is the wrong machine, not that there is no further address.
        throw wrong ?? error;
      }
    });
    try {
      stop.soft.throwIfAborted();
      const chosen = await accounts.choose(ccr);
      journal.choosing(ccr.account !== undefined);
      const { session, account }: LoggedOn = await timeline.run('logon', (note) => logon(context, found, chosen, note));
      journal.connected(account.username, 'NTLM');
      return { target: new Target(session, wanted.name, clock), found, account };
    } catch (error) {
      if (!wrongHost(error)) throw error;
      wrong = error;
    } finally {
      found.line?.drop();
    }
  }
}
