import type { Sql } from '#store/database';

/** Bounds are how far ahead a CCR of a state may be due, in milliseconds. */
export interface Bounds {
  retry: number;
  waiting: number;
}

const MINUTE_MS = 60_000;
/** Clocks of two processes may differ by so much. */
const SKEW_MS = 5_000;
/** Who reported in between the setting of the clock and this counts as heard after the start. */
const BETWEEN_MS = 30_000;

const SET_BACK = `
update ccr c set
  due_at = least(c.due_at, case when now.ahead and c.state in ('queued', 'verifying') then $1 else now.latest end),
  retry_interval_start = least(c.retry_interval_start, $1),
  last_attempt_at = least(c.last_attempt_at, $1),
  last_requested_at = least(c.last_requested_at, $1),
  started_at = case when c.started_at > $2 then $3 else c.started_at end,
  changed = pg_current_xact_id()
from (
  select o.id, b.latest, greatest(o.retry_interval_start, o.started_at, o.last_attempt_at, o.last_requested_at) > $2 as ahead
  from ccr o join (values ('queued', $4::timestamptz), ('verifying', $5), ('retry', $6), ('waiting', $7)) as b(state, latest)
    on b.state = o.state
  where o.finished_at is null and o.worker_id is null
) now
where c.id = now.id and c.finished_at is null and c.worker_id is null and (now.ahead or c.due_at > now.latest)`;

/**
 * setBack brings the times of CCRs that nobody has back to what they would be, had the clock always stood as it stands now: nothing is due
 * later than its state allows, and nothing was asked for or begun in the future. Doing it twice, or in two processes, changes nothing more.
 */
export function setBack(sql: Sql, now: Date, bounds: Bounds): Promise<number> {
  const at = (ms: number) => new Date(now.getTime() + ms);
  const latest = [MINUTE_MS, 61 * MINUTE_MS, bounds.retry, bounds.waiting].map((ms) => at(ms + SKEW_MS));
  return sql.count(SET_BACK, [now, at(SKEW_MS), at(-BETWEEN_MS), ...latest]);
}
