import type { ClientRecord } from '#records/client';
import type { Sql } from '#store/database';
import type { AssignmentRow } from './assignment.ts';
import { takeMembers } from './make.ts';

/** Advanced is what a round changed of one assignment. */
export interface Advanced {
  id: number;
  offered: number;
  done: number;
  failed: number;
  ended?: { state: 'stopped' | 'finished'; why: string | undefined } | undefined;
}

/** State ids of topic 800 that end a run of ccmsetup badly (facts F7). 317 waits for a restart of the machine, and goes on after it. */
const FAILED_STATES = 's.topic_type = 800 and s.state_id between 300 and 399 and s.state_id <> 317 and s.proven';

/**
 * advance brings one assignment forward: takes who came to its target, sees who has done it and who failed, stops it where too many did, and
 * asks the next wave when the one before it is through. A client that was not heard since it was asked keeps no wave waiting longer than the
 * patience, and is no failure: it is away.
 */
export async function advance(tx: Sql, client: ClientRecord, row: AssignmentRow, now: Date): Promise<Advanced> {
  if (row.follow) await takeMembers(tx, row, now);
  const done = await judgeDone(tx, row, now);
  const failed = await judgeFailed(tx, row, now);
  await release(tx, client, row, [...done, ...failed]);
  const why = failed.length > 0 ? await tooMany(tx, row) : undefined;
  const result = { id: row.id, done: done.length, failed: failed.length, offered: 0 };
  if (why !== undefined) {
    await withdraw(tx, client, row, now);
    await tx.query("update policy_assignment set state = 'stopped', stop_reason = $2 where id = $1", [row.id, why]);
    return { ...result, ended: { state: 'stopped', why } };
  }
  const offered = await offerNext(tx, client, row, now);
  if (offered > 0 || row.follow) return { ...result, offered };
  const ended = await tx.count(
    `update policy_assignment set state = 'finished', ended_at = $2 where id = $1 and not exists (
       select from policy_target where assignment_id = $1 and state in ('waiting', 'offered'))`,
    [row.id, now],
  );
  return { ...result, ended: ended === 1 ? { state: 'finished', why: undefined } : undefined };
}

/**
 * judgeDone sees who has done what was asked: is of that version; or said farewell, and is not there any more. Of an upgrade, who is not there
 * any more is asked no longer.
 */
async function judgeDone(tx: Sql, row: AssignmentRow, now: Date): Promise<number[]> {
  const gone = row.kind === 'upgrade' ? 'withdrawn' : 'done';
  const rows = await tx.query<{ client_id: number }>(
    `update policy_target t set state = case when f.gone then $3 else 'done' end, at = $2, detail = case when f.gone and $3 = 'withdrawn' then 'the client is gone' end
     from (select u.client_id, c.id is null or c.obsolete as gone, c.version from policy_target u left join client c on c.id = u.client_id
       where u.assignment_id = $1 and u.state in ('waiting', 'offered')) f
     where t.assignment_id = $1 and t.client_id = f.client_id and (f.gone or f.version = $4) returning t.client_id`,
    [row.id, now, gone, row.version],
  );
  return rows.map((one) => one.client_id);
}

async function judgeFailed(tx: Sql, row: AssignmentRow, now: Date): Promise<number[]> {
  const rows = await tx.query<{ client_id: number }>(
    `update policy_target t set state = 'failed', at = $2, detail = f.why from (
       select u.client_id, case when c.id is null then 'the client is gone' when c.blocked then 'the client is blocked'
         when e.state_id is not null then 'state ' || e.state_id || coalesce(': ' || e.detail, '')
         else 'not done ' || $3::integer || ' hours after it was asked' end as why
       from policy_target u left join client c on c.id = u.client_id
       left join lateral (select s.state_id, s.detail from client_state s where ${FAILED_STATES} and s.received_at > u.offered_at
         and (s.resource_id = c.resource_id or (c.resource_id is null and s.name_key = c.name_key and s.guid = c.guid)) order by s.id desc limit 1) e on true
       where u.assignment_id = $1 and u.state = 'offered' and (c.id is null or c.blocked or e.state_id is not null
         or (c.last_seen_at > u.offered_at and u.offered_at + make_interval(hours => $3) < $2))
     ) f where t.assignment_id = $1 and t.client_id = f.client_id returning t.client_id`,
    [row.id, now, row.patience_hours],
  );
  return rows.map((one) => one.client_id);
}

/** release takes the wish out of the policies of clients. */
async function release(tx: Sql, client: ClientRecord, row: AssignmentRow, ids: readonly number[]): Promise<void> {
  if (ids.length > 0) await client.want(tx, ids, row.kind, undefined);
}

/** withdraw takes back what nobody has done yet. */
export async function withdraw(tx: Sql, client: ClientRecord, row: AssignmentRow, now: Date): Promise<void> {
  const rows = await tx.query<{ client_id: number }>(
    "update policy_target set state = 'withdrawn', at = $2 where assignment_id = $1 and state = 'offered' returning client_id",
    [row.id, now],
  );
  await release(
    tx,
    client,
    row,
    rows.map((one) => one.client_id),
  );
}

async function tooMany(tx: Sql, { id, stop_after: most, stop_percent: percent }: AssignmentRow): Promise<string | undefined> {
  if (most === null && percent === null) return undefined;
  const [row] = await tx.query<{ failed: number; machines: number }>(
    `select count(*) filter (where state = 'failed')::integer as failed, count(*)::integer as machines from policy_target where assignment_id = $1`,
    [id],
  );
  const { failed, machines } = row!;
  const allowed = Math.min(most ?? machines, percent === null ? machines : Math.ceil((machines * percent) / 100));
  if (failed <= allowed) return undefined;
  return `${failed} of ${machines} clients have failed, ${most === null ? `${percent} % were` : `${most} were`} allowed`;
}

/** offerNext asks the next wave, unless one is still under way; gives how many were asked. */
async function offerNext(tx: Sql, client: ClientRecord, row: AssignmentRow, now: Date): Promise<number> {
  if (row.wave_size !== null) {
    const [busy] = await tx.query(
      "select from policy_target where assignment_id = $1 and state = 'offered' and offered_at + make_interval(hours => $3) >= $2 limit 1",
      [row.id, now, row.patience_hours],
    );
    if (busy) return 0;
  }
  const rows = await tx.query<{ client_id: number }>(
    `update policy_target set state = 'offered', offered_at = $2, at = $2, wave = $3 where assignment_id = $1 and client_id = any(array(
       select t.client_id from policy_target t join client c on c.id = t.client_id and not c.obsolete and not c.blocked
       where t.assignment_id = $1 and t.state = 'waiting' order by t.client_id limit $4)) returning client_id`,
    [row.id, now, row.wave + 1, row.wave_size ?? AT_ONCE],
  );
  if (rows.length === 0) return 0;
  const ids = rows.map((one) => one.client_id);
  // Who asks last is heard: what an older assignment asked of the same kind is no more in the policy.
  await tx.query(
    `update policy_target t set state = 'withdrawn', at = $3, detail = 'asked anew by assignment ' || $1 from policy_assignment a
     where a.id = t.assignment_id and t.assignment_id <> $1 and t.client_id = any($2) and t.state = 'offered' and a.kind = $4`,
    [row.id, ids, now, row.kind],
  );
  await client.want(tx, ids, row.kind, row.wish);
  await tx.query('update policy_assignment set wave = wave + 1 where id = $1', [row.id]);
  return ids.length;
}

/** One transaction asks no more than so many; the next round goes on. */
const AT_ONCE = 2000;
