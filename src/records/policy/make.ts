import { raise } from '#base/errors';
import type { PolicyMigrate, PolicyUpgrade } from '#messages';
import type { Sql } from '#store/database';
import type { AssignmentRow } from './assignment.ts';

/** Ask is a new assignment. */
export interface Ask {
  /** What is asked of each client. */
  wish:
    | { kind: 'upgrade'; upgrade: PolicyUpgrade; platform: 'windows' | 'linux' }
    | { kind: 'migrate'; migrate: PolicyMigrate }
    | { kind: 'uninstall' };
  /** Of whom: clients by their ids, the members of a collection, or the clients of a site. */
  of: { clients: readonly number[] } | { collection: string } | { site: string };
  follow?: boolean | undefined;
  waveSize?: number | undefined;
  stopAfter?: { failures?: number | undefined; percent?: number | undefined } | undefined;
  patienceHours?: number | undefined;
  by: string;
}

const PATIENCE_HOURS = 24;

/** makeAssignment keeps an assignment and takes the clients that its target has now. */
export async function makeAssignment(tx: Sql, ask: Ask, now: Date): Promise<AssignmentRow> {
  const { wish, of, stopAfter } = ask;
  const collection = 'collection' in of ? await collectionOf(tx, of.collection) : undefined;
  const what = wish.kind === 'upgrade' ? wish.upgrade : wish.kind === 'migrate' ? wish.migrate : true;
  const [row] = await tx.query<AssignmentRow>(
    `insert into policy_assignment (kind, target_kind, target, collection_id, site, follow, wish, platform, version, wave_size, stop_after,
       stop_percent, patience_hours, state, made_by, made_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'active', $14, $15) returning *`,
    [
      wish.kind,
      Object.keys(of)[0],
      collection?.name ??
        ('site' in of ? of.site : 'clients' in of && of.clients.length !== 1 ? `${of.clients.length} clients` : '1 client'),
      collection?.id,
      'site' in of ? of.site : undefined,
      'clients' in of ? false : ask.follow === true,
      JSON.stringify(what),
      wish.kind === 'upgrade' ? wish.platform : undefined,
      wish.kind === 'upgrade' ? wish.upgrade.version : undefined,
      ask.waveSize,
      stopAfter?.failures,
      stopAfter?.percent,
      ask.patienceHours ?? PATIENCE_HOURS,
      ask.by,
      now,
    ],
  );
  if ('clients' in of) await takeClients(tx, row!, of.clients, now);
  else await takeMembers(tx, row!, now);
  return row!;
}

async function collectionOf(tx: Sql, name: string): Promise<{ id: number; name: string }> {
  const [row] = await tx.query<{ id: number; name: string }>('select id, name from collection where name_key = upper($1)', [
    name.trim(),
  ]);
  if (!row) throw raise('PP_API_NOT_FOUND', { kind: 'collection', name: name.slice(0, 100) });
  return row;
}

/** An upgrade is for the clients of its platform. What a client says of its system is all that is known of it. */
const FITS = `($3::text is null or (c.os ilike '%windows%') = ($3 = 'windows'))`;
const TAKE = `insert into policy_target (assignment_id, client_id, state, at)
  select $1, c.id, case when $4::text is not null and c.version = $4 then 'done' else 'waiting' end, $2 from client c`;

/** takeClients takes clients that a person named, whatever their approval is: who names one means that one. */
async function takeClients(tx: Sql, row: AssignmentRow, ids: readonly number[], now: Date): Promise<void> {
  await tx.query(`${TAKE} where c.id = any($5) and not c.obsolete and not c.blocked and ${FITS} on conflict do nothing`, [
    row.id,
    now,
    row.platform,
    row.version,
    ids,
  ]);
}

/**
 * takeMembers takes the clients that a collection or site has now and that are not there yet. Only those that are approved: what belongs to a
 * machine goes to nobody who only says to be it. Only those that get their policy from this site: its own, and those of its secondaries.
 */
export async function takeMembers(tx: Sql, row: AssignmentRow, now: Date): Promise<number> {
  return tx.count(
    `${TAKE} left join resource r on r.id = c.resource_id cross join (select code from site where own) own
     cross join lateral (select coalesce(r.assigned_site, c.via_site, own.code) as code) at
     where not c.obsolete and not c.blocked and c.approval = 'approved' and c.believed and ${FITS}
       and (at.code = own.code or not exists (select from site s where s.code = at.code)
         or exists (select from site s where s.code = at.code and s.kind = 'secondary' and s.parent = own.code))
       and case when $5::integer is not null then c.resource_id in (select resource_id from collection_member where collection_id = $5)
         else $6 in (own.code, at.code) end
       and not exists (select from policy_target t where t.assignment_id = $1 and t.client_id = c.id)
     on conflict do nothing`,
    [row.id, now, row.platform, row.version, row.collection_id, row.site],
  );
}
