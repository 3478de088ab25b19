import { nameKey, sameDomain, shortKey, type Named } from '#records/resource';
import type { Sql } from '#store/database';
import { ccrOf, type Ccr, type CcrRow } from './ccr.ts';

/**
 * Woken says which CCRs are meant: by themselves, by the machine that showed up, by the error whose cause is gone (PP_PUSH_NO_ACCOUNT), or
 * those in verification whose client was heard since the start, for whoever did not hear it being announced.
 */
export type Woken =
  | { heard: true }
  | { ids: readonly number[] }
  | { resourceId: number }
  | { name: string; domain?: string | undefined }
  | { lastError: string };

const LIVE = 'finished_at is null';

const HEARD = `$2::boolean and state = 'verifying' and worker_id is null and exists (
  select from client k where not k.obsolete and k.last_seen_at >= ccr.started_at
    and case when ccr.resource_id is not null then k.resource_id = ccr.resource_id else k.name_key = ccr.name_key end)`;

/** wake makes CCRs due at once, because their machine was seen; those a worker has are verified at once when they are started. */
export async function wake(sql: Sql, who: Woken, now: Date): Promise<number> {
  let where: string;
  let value: unknown;
  let domain = '';
  if ('ids' in who) [where, value] = ['id = any($2)', who.ids];
  else if ('heard' in who) [where, value] = [HEARD, who.heard];
  else if ('lastError' in who) [where, value] = ["last_error = $2 and state in ('waiting', 'retry')", who.lastError];
  else if ('resourceId' in who) [where, value] = ['resource_id = $2', who.resourceId];
  else {
    const dot = who.name.indexOf('.');
    domain = nameKey(who.domain ?? (dot < 0 ? '' : who.name.slice(dot + 1)));
    [where, value] = [`name_key = $2 and ($3 = '' or domain_key = '' or ccr_same_domain(domain_key, $3))`, shortKey(who.name)];
  }
  return sql.count(
    `update ccr set due_at = case when worker_id is null then $1::timestamptz end, woken = worker_id is not null,
       changed = pg_current_xact_id()
     where ${where} and ${LIVE} and state in ('queued', 'retry', 'waiting', 'verifying', 'processing')
       and (worker_id is not null or due_at is distinct from $1)`,
    'name' in who ? [now, value, domain] : [now, value],
  );
}

/** cancel ends live CCRs for good; a worker that has one is refused at its next write. */
export async function cancel(sql: Sql, ids: readonly number[], by: string, now: Date): Promise<Ccr[]> {
  const rows = await sql.query<CcrRow>(
    `with done as (
       update ccr set state = 'cancelled', finished_at = $2, finished_by = $3, due_at = null, worker_id = null, fence = fence + 1,
         paused_from = null, rerun = 0, woken = false, changed = pg_current_xact_id()
       where id = any($1) and ${LIVE} returning *
     ), tally as (
       insert into ccr_tally (state, shard, n) select state, pg_backend_pid() % 16, count(*) from done group by state
       on conflict (state, shard) do update set n = ccr_tally.n + excluded.n
     ), cut as (
       update ccr_attempt a set ended_at = $2, outcome = 'cancelled' from done d
       where a.ccr_id = d.id and a.n = d.attempts and a.ended_at is null
     )
     select * from done order by id`,
    [ids, now, by],
  );
  return rows.map(ccrOf);
}

/** pause keeps live CCRs from being worked until somebody resumes them; a worker that has one is refused at its next write. */
export async function pause(sql: Sql, ids: readonly number[], now: Date): Promise<Ccr[]> {
  const rows = await sql.query<CcrRow>(
    `with done as (
       update ccr set paused_from = case when state = 'processing' then 'queued' else state end, state = 'paused', due_at = null,
         worker_id = null, fence = fence + 1, rerun = 0, woken = false, changed = pg_current_xact_id()
       where id = any($1) and ${LIVE} and state <> 'paused' returning *
     ), cut as (
       update ccr_attempt a set ended_at = $2, outcome = 'paused' from done d
       where a.ccr_id = d.id and a.n = d.attempts and a.ended_at is null
     )
     select * from done order by id`,
    [ids, now],
  );
  return rows.map(ccrOf);
}

/** resume lets paused CCRs go on where they were, due at once. */
export async function resume(sql: Sql, ids: readonly number[], now: Date): Promise<Ccr[]> {
  const rows = await sql.query<CcrRow>(
    `update ccr set state = case when paused_from = 'verifying' then 'verifying' else 'queued' end, paused_from = null, due_at = $2,
       changed = pg_current_xact_id()
     where id = any($1) and state = 'paused' returning *`,
    [ids, now],
  );
  return rows.map(ccrOf);
}

/** retryNow makes live CCRs due at once and restarts their week; a paused one goes on, one that a worker has is tried once more. */
export async function retryNow(sql: Sql, ids: readonly number[], now: Date): Promise<Ccr[]> {
  const rows = await sql.query<CcrRow>(
    `update ccr set state = case when worker_id is not null or state = 'verifying' then state
         when state = 'paused' and paused_from = 'verifying' then 'verifying' else 'queued' end,
       paused_from = null, due_at = case when worker_id is null then $2::timestamptz end,
       rerun = case when worker_id is null then 0 else greatest(rerun, 1::smallint) end,
       retry_interval_start = null, interval_attempts = 0, changed = pg_current_xact_id()
     where id = any($1) and ${LIVE} returning *`,
    [ids, now],
  );
  return rows.map(ccrOf);
}

/** find gives the CCRs of a machine by its name, live ones first, then the newest; more than one live means more than one machine. */
export async function find(sql: Sql, name: string, domain?: string, limit = 50): Promise<Ccr[]> {
  const dot = name.indexOf('.');
  const wanted = nameKey(domain ?? (dot < 0 ? '' : name.slice(dot + 1)));
  const rows = await sql.query<CcrRow & { domain_key: string }>(
    `select * from ccr where name_key = $1 order by finished_at is not null, id desc limit $2`,
    [shortKey(name), limit],
  );
  return rows.filter((r) => wanted === '' || r.domain_key === wanted || sameDomain(r.domain_key, wanted)).map(ccrOf);
}

/** findLive gives the live CCRs of many machines by their names, with one look-up and in the order given. */
export async function findLive(sql: Sql, wanted: readonly Named[]): Promise<Ccr[][]> {
  const rows = await sql.exec<CcrRow & { name_key: string; domain_key: string }>(
    { name: 'ccr_find_live', text: `select * from ccr where name_key = any($1) and ${LIVE} order by id desc` },
    [wanted.map(({ name }) => shortKey(name))],
  );
  const byName = Map.groupBy(rows, (row) => row.name_key);
  return wanted.map(({ name, domain }) => {
    const dot = name.indexOf('.');
    const where = nameKey(domain ?? (dot < 0 ? '' : name.slice(dot + 1)));
    const of = (byName.get(shortKey(name)) ?? []).filter((row) => where === '' || sameDomain(row.domain_key, where));
    return of.map(ccrOf);
  });
}
