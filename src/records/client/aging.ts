import type { Sql } from '#store/database';

/** What is forgotten after a while. What a person decided is not: who is blocked or rejected stays, and of who stays all decisions. */

/** Gone is a client that was forgotten. */
export interface Gone {
  name: string;
  guid: string;
}

/** gone deletes the clients that a condition on `c` names, with their history; keys that were given up are remembered. */
async function gone(tx: Sql, condition: string, before: Date, limit: number): Promise<Gone[]> {
  return tx.query<Gone>(
    `with old as (select c.id from client c where ${condition} order by c.id limit $2 for update skip locked),
       events as (delete from client_event where client_id = any(array(select id from old))),
       conflicts as (delete from client_conflict where client_id = any(array(select id from old))),
       others as (update client_conflict set other_id = null
         where other_id = any(array(select id from old)) and client_id <> all(array(select id from old)))
     delete from client where id = any(array(select id from old)) returning name, guid`,
    [before, limit],
  );
}

/** UNDECIDED is the condition that no person said no to a client: the key of one that is blocked is refused only while it stands here. */
const UNDECIDED = `not c.blocked and c.approval <> 'rejected'`;

/** removeObsolete forgets clients whose place another one took, or that said farewell, and that were not heard since `before`. */
export function removeObsolete(tx: Sql, before: Date, limit: number): Promise<Gone[]> {
  return gone(tx, `c.obsolete and c.last_seen_at < $1 and ${UNDECIDED}`, before, limit);
}

/** removeUnapproved forgets clients that nobody approved, that showed nothing of who they are, and that were not heard since `before`. */
export function removeUnapproved(tx: Sql, before: Date, limit: number): Promise<Gone[]> {
  const stranger = `c.approval = 'pending' and c.proven_by is null and not c.blocked`;
  return gone(tx, `${stranger} and c.last_seen_at < $1`, before, limit);
}

/**
 * pruneHistory forgets what the site noted of clients before a time, and conflicts that were decided. Decisions stay, whoever made them, and of
 * everything else the last that happened to each client; how a conflict was decided stands among the decisions.
 */
export async function pruneHistory(tx: Sql, before: Date, limit: number): Promise<number> {
  const events = await tx.count(
    `delete from client_event where id = any(array(
       select e.id from client_event e where e.at < $1 and e.what in ('registered', 'reimaged', 'conflict', 'left')
         and (e.what = 'conflict' or exists (select from client_event l where l.client_id = e.client_id and l.what = e.what and l.id > e.id)
           or not exists (select from client c where c.id = e.client_id))
       order by e.id limit $2))`,
    [before, limit],
  );
  const conflicts = await tx.count(
    'delete from client_conflict where id = any(array(select id from client_conflict where decided_at < $1 order by id limit $2))',
    [before, limit],
  );
  return events + conflicts;
}

/** pruneStates forgets state messages that came before a time, and those of machines and clients that are both gone (facts F9). */
export async function pruneStates(tx: Sql, before: Date, limit: number): Promise<number> {
  const old = await tx.count(
    'delete from client_state where id = any(array(select id from client_state where received_at < $1 order by received_at limit $2))',
    [before, limit],
  );
  if (old === limit) return old;
  const orphans = await tx.count(
    `delete from client_state where id = any(array(select s.id from client_state s where s.resource_id is not null
       and not exists (select from resource r where r.id = s.resource_id) and not exists (select from client c where c.guid = s.guid) limit $1))`,
    [limit - old],
  );
  return old + orphans;
}

/** pruneTokens forgets registration tokens that expired before a time: nobody can use them, and who used one is a client. */
export function pruneTokens(tx: Sql, before: Date, limit: number): Promise<number> {
  return tx.count(
    'delete from client_token where id = any(array(select id from client_token where expires_at < $1 order by expires_at limit $2))',
    [before, limit],
  );
}
