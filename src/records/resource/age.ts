import type { Sql } from '#store/database';

/** Aged is a machine that a maintenance task has touched. */
export interface Aged {
  id: number;
  name: string;
}

/** The believed client of a machine that was heard last, beside the machine. */
const WITH_CLIENT = `resource r left join lateral (
  select max(last_seen_at) as heard from client where resource_id = r.id and not obsolete and believed) c on true`;

/** A machine is flagged as installed while a client was heard, or seen by a push, since the flag was last cleared. */
const FLAGGED = `(c.heard > coalesce(r.client_cleared_at, '-infinity')
  or (r.seen_client_version is not null and r.seen_at > coalesce(r.client_cleared_at, '-infinity')))`;

/** Somebody still works on such a machine, or wants to. */
const IDLE = 'not exists (select from ccr q where q.resource_id = r.id and q.finished_at is null)';

/** clearInstallFlags takes the install flag from machines whose client was not heard since `before`, so that site-wide push takes them again. */
export function clearInstallFlags(sql: Sql, before: Date, now: Date, limit: number): Promise<Aged[]> {
  return sql.query<Aged>(
    `update resource set client_cleared_at = $2, changed_at = $2 where id = any(array(
       select r.id from ${WITH_CLIENT} where not r.obsolete and ${FLAGGED} and greatest(c.heard, r.seen_at) < $1 order by r.id limit $3))
     returning id, name`,
    [before, now, limit],
  );
}

/** removeAged forgets machines that no source named since `before` and whose client was not heard since; obsolete ones too. */
export function removeAged(sql: Sql, before: Date, limit: number): Promise<Aged[]> {
  return sql.query<Aged>(
    `delete from resource where id = any(array(
       select r.id from ${WITH_CLIENT} where r.created_at < $1 and (c.heard is null or c.heard < $1) and ${IDLE}
         and not exists (select from resource_source s where s.resource_id = r.id and s.at >= $1 and (s.trusted or not r.trusted)) order by r.id limit $2))
     returning id, name`,
    [before, limit],
  );
}

/** removeInactive forgets machines that had a client which was not heard since `before`. Machines without a client stay. */
export function removeInactive(sql: Sql, before: Date, limit: number): Promise<Aged[]> {
  return sql.query<Aged>(
    `delete from resource where id = any(array(
       select r.id from ${WITH_CLIENT} where (c.heard is not null or r.seen_client_version is not null)
         and greatest(c.heard, r.seen_at) < $1 and ${IDLE} order by r.id limit $2))
     returning id, name`,
    [before, limit],
  );
}

/**
 * forgetKinds forgets the systems and places that no machine has any more, and all but one of those that were noted twice. Who changes machines
 * waits for it, so that nobody relies on a kind that is just being forgotten; it takes milliseconds.
 */
export async function forgetKinds(tx: Sql): Promise<void> {
  await tx.query("select set_config('lock_timeout', '1s', true)");
  await tx.query('lock table resource in share mode');
  const kinds = {
    system: 'os, os_version, os_build, architecture, type, trusted',
    place: 'domain_key, assigned_site, ad_site, ou',
  };
  for (const [alike, columns] of Object.entries(kinds)) {
    const of = (row: string) => columns.replaceAll(/\w+/g, (column) => `${row}.${column}`);
    await tx.query(
      `delete from resource_${alike} k where not exists (select from resource r where r.${alike}_key = k.key and not r.obsolete)
         or exists (select from resource_${alike} o where o.key = k.key and o.id < k.id and (${of('o')}) is not distinct from (${of('k')}))`,
    );
  }
}
