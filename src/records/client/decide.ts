import { raise } from '#base/errors';
import type { Sql } from '#store/database';
import type { ClientRow } from './client.ts';
import { noteEvent } from './event.ts';
import { conflictsOf, rekey, retireKey, settle, type Conflict } from './identity.ts';

/** What people decide about clients. Each of these is one row of the client's history, and gives the client as it is after it. */

/** Decision is by whom and when. */
export interface Decision {
  by: string;
  now: Date;
}

async function locked(tx: Sql, guid: string): Promise<ClientRow> {
  const [row] = await tx.query<ClientRow>('select * from client where guid = $1 for update', [guid]);
  if (!row) throw raise('PP_CLIENT_UNKNOWN', { guid });
  return row;
}

/** approve lets a client count as what it says it is; undefined where a person did already. A conflict that holds is decided first. */
export async function approve(tx: Sql, guid: string, { by, now }: Decision): Promise<ClientRow | undefined> {
  const old = await locked(tx, guid);
  if (old.approval === 'approved' && old.approved_by !== 'setting') return undefined;
  const conflicts = await conflictsOf(tx, old.id);
  if (conflicts.some(({ holds }) => holds)) throw raise('PP_CLIENT_CONFLICT', { name: old.name });
  const [row] = await tx.query<ClientRow>(
    // A person approves the name that is shown now, whatever it was called when it registered: of that machine it is the client.
    `update client c set approval = 'approved', approved_by = $2, resource_id = coalesce((
       select min(r.id) from resource r where not r.obsolete and r.name_key = c.name_key
         and (r.domain_key = c.domain_key or c.domain_key = '' or ccr_same_domain(r.domain_key, c.domain_key)) having count(*) = 1),
       case when proven_by is not null then resource_id end)
     where id = $1 returning *`,
    [old.id, by],
  );
  // The machine was installed anew and has this record now: what it was before is over, unless it was heard since (two machines, then).
  const others = conflicts.filter(({ kind }) => kind === 'hardware').flatMap(({ otherId }) => otherId ?? []);
  await tx.query(
    `update client set obsolete = true, replaced_by = $1 where (id = any($2) or resource_id = $3) and id <> $1 and not obsolete and not blocked
       and last_seen_at < $4`,
    [old.id, others, row!.resource_id, old.registered_at],
  );
  await settle(tx, old.id, 'approved', by, now);
  await noteEvent(tx, old.id, { what: 'approved', by }, now);
  return row;
}

/** reject says no to a client: it stays, and everybody sees that it was decided. */
export async function reject(tx: Sql, guid: string, { by, now }: Decision): Promise<ClientRow | undefined> {
  const old = await locked(tx, guid);
  if (old.approval === 'rejected') return undefined;
  const [row] = await tx.query<ClientRow>("update client set approval = 'rejected', approved_by = $2 where id = $1 returning *", [
    old.id,
    by,
  ]);
  await settle(tx, old.id, 'rejected', by, now);
  await noteEvent(tx, old.id, { what: 'rejected', by, detail: { before: old.approval } }, now);
  return row;
}

/** block refuses a client from now on, by its key, wherever it comes. */
export async function block(tx: Sql, guid: string, { by, now }: Decision): Promise<ClientRow | undefined> {
  const old = await locked(tx, guid);
  if (old.blocked) return undefined;
  const [row] = await tx.query<ClientRow>('update client set blocked = true, blocked_by = $2 where id = $1 returning *', [
    old.id,
    by,
  ]);
  await settle(tx, old.id, 'blocked', by, now);
  await noteEvent(tx, old.id, { what: 'blocked', by }, now);
  return row;
}

/** unblock takes that back: what the client was before, it is again. */
export async function unblock(tx: Sql, guid: string, { by, now }: Decision): Promise<ClientRow | undefined> {
  const old = await locked(tx, guid);
  if (!old.blocked) return undefined;
  const [row] = await tx.query<ClientRow>('update client set blocked = false, blocked_by = null where id = $1 returning *', [
    old.id,
  ]);
  await noteEvent(tx, old.id, { what: 'unblocked', by }, now);
  return row;
}

async function undecided(tx: Sql, row: ClientRow): Promise<Conflict[]> {
  const conflicts = await conflictsOf(tx, row.id);
  if (conflicts.length === 0) throw raise('PP_CLIENT_NO_CONFLICT', { name: row.name });
  return conflicts;
}

/**
 * merge says that a client is the machine that was there before: the old record, its SMSID and its history go on with the new key, and the new
 * record is no more. The client hears at its next contact that its SMSID is unknown, registers with its key, and is the old one again. Of a
 * clone alarm it says that it is one machine after all.
 */
export async function merge(tx: Sql, guid: string, into: string | undefined, { by, now }: Decision): Promise<ClientRow> {
  const row = await locked(tx, guid);
  const conflicts = into === undefined ? await undecided(tx, row) : [];
  const otherId = conflicts.find((one) => one.otherId !== undefined)?.otherId;
  if (into === undefined && otherId === undefined) return oneMachine(tx, row, conflicts, { by, now });
  const [other] = await tx.query<ClientRow>(
    'select * from client where case when $1::text is null then id = $2 else guid = $1 end for update',
    [into, otherId],
  );
  if (!other) throw raise('PP_CLIENT_UNKNOWN', { guid: into ?? 'that it resembles' });
  if (other.id === row.id) throw raise('PP_CLIENT_NO_CONFLICT', { name: row.name });
  return mergeInto(tx, row, other, { by, now });
}

async function oneMachine(tx: Sql, row: ClientRow, conflicts: Conflict[], { by, now }: Decision): Promise<ClientRow> {
  const seen = (conflicts[0]?.detail ?? {}) as { hardwareIds?: string[] };
  const hardwareId = seen.hardwareIds?.at(-1) ?? row.hardware_id;
  const [kept] = await tx.query<ClientRow>(
    'update client set hardware_id = $2, alarm = false, started_before = null, sent_at = null, sequence = 0 where id = $1 returning *',
    [row.id, hardwareId],
  );
  await settle(tx, row.id, 'merged', by, now);
  await noteEvent(tx, row.id, { what: 'one machine', by, detail: { hardwareId } }, now);
  return kept!;
}

async function mergeInto(tx: Sql, row: ClientRow, other: ClientRow, { by, now }: Decision): Promise<ClientRow> {
  await settle(tx, row.id, 'merged', by, now);
  await tx.query('delete from client where id = $1', [row.id]);
  const { public_key: publicKey, key_hash: keyHash, request_id: requestId } = row;
  await rekey(tx, other, { publicKey, keyHash, requestId }, 'merged', now);
  const [kept] = await tx.query<ClientRow>(
    `update client set name = $2, name_key = $3, domain = $4, domain_key = $5, fqdn = $6, addresses = $7, version = $8, os = $9,
       os_version = $10, type = $11, architecture = $12, hardware_id = $13, last_address = coalesce($14, last_address),
       last_seen_at = greatest(last_seen_at, $15), obsolete = false, replaced_by = null, proven_by = coalesce(proven_by, $16),
       token_id = coalesce($17, token_id), resource_id = coalesce(resource_id, $18),
       policy_key = coalesce($19, policy_key), policy_serial = policy_serial + 1,
       -- A block is of the key, and that goes on here.
       blocked = blocked or $20, blocked_by = coalesce(blocked_by, $21)
     where id = $1 returning *`,
    [
      other.id,
      row.name,
      row.name_key,
      row.domain,
      row.domain_key,
      row.fqdn,
      row.addresses,
      row.version,
      row.os,
      row.os_version,
      row.type,
      row.architecture,
      row.hardware_id,
      row.last_address,
      row.last_seen_at,
      row.proven_by,
      row.token_id,
      row.resource_id,
      row.policy_key,
      row.blocked,
      row.blocked_by,
    ],
  );
  await tx.query('update client_event set client_id = $2 where client_id = $1', [row.id, other.id]);
  await tx.query('update client_conflict set client_id = $2 where client_id = $1', [row.id, other.id]);
  await tx.query('update client_conflict set other_id = $2 where other_id = $1', [row.id, other.id]);
  await tx.query('update client_key set client_id = $2 where client_id = $1', [row.id, other.id]);
  await tx.query('update client_state set guid = $2 where guid = $1', [row.guid, other.guid]);
  await noteEvent(tx, other.id, { what: 'merged', by, detail: { guid: row.guid, ...(row.blocked && { blocked: true }) } }, now);
  return kept!;
}

/**
 * asNew says that a client is a machine of its own. It still wants approval where the site approves by hand. Of a clone alarm it says that
 * there are two machines: their key counts no more, each makes one of its own and registers again.
 */
export async function asNew(tx: Sql, guid: string, { by, now }: Decision): Promise<ClientRow> {
  const row = await locked(tx, guid);
  const conflicts = await undecided(tx, row);
  await settle(tx, row.id, 'new', by, now);
  await tx.query('delete from client_key where key_hash = $1', [row.key_hash]);
  if (!conflicts.some(({ kind }) => kind === 'clone')) {
    await noteEvent(tx, row.id, { what: 'new', by }, now);
    return row;
  }
  await retireKey(tx, row, 'clone', now);
  await noteEvent(tx, row.id, { what: 'two machines', by }, now);
  await tx.query('delete from client where id = $1', [row.id]);
  return row;
}

/** leave takes note that a client said farewell: it is expected no more, and what was asked of it is done. */
export async function leave(tx: Sql, guid: string, reason: string, now: Date): Promise<ClientRow | undefined> {
  const [row] = await tx.query<ClientRow>(
    'update client set obsolete = true, wanted = null, policy_serial = policy_serial + 1 where guid = $1 and not obsolete returning *',
    [guid],
  );
  if (row) await noteEvent(tx, row.id, { what: 'left', by: 'client', detail: { reason } }, now);
  return row;
}

/** remove forgets a client; it registers again if it is still there. A blocked one is unblocked first, or it would come back as a new one. */
export async function remove(tx: Sql, guid: string): Promise<ClientRow> {
  const row = await locked(tx, guid);
  if (row.blocked) throw raise('PP_CLIENT_DELETE_BLOCKED', { name: row.name });
  await tx.query('delete from client_event where client_id = $1', [row.id]);
  await tx.query('delete from client_conflict where client_id = $1', [row.id]);
  await tx.query('update client_conflict set other_id = null where other_id = $1', [row.id]);
  await tx.query('delete from client_key where client_id = $1', [row.id]);
  await tx.query('delete from client where id = $1', [row.id]);
  return row;
}
