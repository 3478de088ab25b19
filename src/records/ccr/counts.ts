import type { Clock } from '#base/clock';
import type { Sql } from '#store/database';
import { CCR_STATES, type CcrState } from './ccr.ts';

/** Up to so many live CCRs are counted whenever somebody asks, which takes some milliseconds. */
const COUNTED = 20_000;
/** Counts of more than that may be as old as this at the very least, and as old as this many times what counting takes. */
const KEPT_MS = 2000;
const KEPT_TIMES = 30;
/** Nobody is told counts that are older. */
const OLDEST_MS = 60_000;

type Counts = Record<CcrState, number>;

/** CountedCcrs is the number of CCRs in each state, and the moment they were counted in. */
export interface CountedCcrs {
  counts: Counts;
  at: Date;
}

async function countWhere(sql: Sql, most: number | undefined): Promise<{ counts: Counts; live: number }> {
  const rows = await sql.exec<{ state: CcrState; n: number; live: boolean }>(
    {
      name: most === undefined ? 'ccr_count' : 'ccr_count_few',
      text: `select state, count(*) as n, true as live
        from (select state from ccr where finished_at is null ${most === undefined ? '' : `limit ${most + 1}`}) open group by state
        union all select state, sum(n)::bigint, false from ccr_tally group by state`,
    },
    [],
  );
  const counts = Object.fromEntries(CCR_STATES.map((state) => [state, 0])) as Counts;
  let open = 0;
  for (const { state, n, live } of rows) {
    counts[state] = n;
    if (live) open += n;
  }
  return { counts, live: open };
}

/**
 * StateCounts gives the number of CCRs in each state, zeros included: the finished ones from their tally, the live ones counted. More live
 * ones than 20,000 are not counted for everybody who asks: what was counted before is told again, while a new count is under way.
 */
export class StateCounts {
  readonly #sql: Sql;
  readonly #clock: Clock;
  #kept: { counts: Counts; at: Date; counted: number; ms: number } | undefined;
  #counting: Promise<CountedCcrs> | undefined;

  constructor(sql: Sql, clock: Clock) {
    this.#sql = sql;
    this.#clock = clock;
  }

  async now(): Promise<CountedCcrs> {
    const kept = this.#kept;
    const age = kept ? this.#clock.monotonic() - kept.counted : Infinity;
    if (kept && age <= Math.max(KEPT_MS, Math.min(kept.ms * KEPT_TIMES, OLDEST_MS))) return kept;
    if (kept && age <= OLDEST_MS) {
      // Whoever asks first has it counted anew, and does not wait; a failure is for the one who asks next.
      this.#counting ??= this.#count();
      this.#counting.catch(() => {});
      return kept;
    }
    if (!this.#counting) {
      const at = this.#clock.now();
      const { counts, live } = await countWhere(this.#sql, COUNTED);
      if (live <= COUNTED) return { counts, at };
    }
    return (this.#counting ??= this.#count());
  }

  async #count(): Promise<CountedCcrs> {
    try {
      const begun = this.#clock.monotonic();
      const at = this.#clock.now();
      const { counts, live } = await countWhere(this.#sql, undefined);
      const ms = this.#clock.monotonic() - begun;
      // When there are few again, everybody is told exactly how many.
      this.#kept = live > COUNTED ? { counts, at, counted: begun, ms } : undefined;
      return { counts, at };
    } finally {
      this.#counting = undefined;
    }
  }
}
