import { raise } from '#base/errors';
import { nameKey } from '#records/resource';
import type { Sql } from '#store/database';
import type { ClientRow } from './client.ts';
import { noteEvent } from './event.ts';

/**
 * Who is who. One key is one client. A new key may be a machine that is known already, installed anew: the hardware id says so, the SMSID it
 * had before and its name support it. Each of these can be claimed by anybody, so a likeness alone never takes anything from the client that
 * is there: it is a reason to ask, and only a proof of the machine (the token of a push) settles it without a person.
 */

/** Conflict kinds: the hardware or the name of another client, hardware that is blocked, the machine of a rejected one, a key that was given up, one key on two machines. */
export type ConflictKind = 'hardware' | 'name' | 'blocked' | 'rejected' | 'retired' | 'clone';

/** Conflict is a client that seems to be somebody else, as it was found. */
export interface Conflict {
  id: number;
  clientId: number;
  otherId: number | undefined;
  kind: ConflictKind;
  /** How likely it is the same machine, of 100. */
  score: number;
  /** Nothing approves the client until this is decided. */
  holds: boolean;
  detail: unknown;
  at: Date;
}

interface ConflictRow {
  id: number;
  client_id: number;
  other_id: number | null;
  kind: ConflictKind;
  score: number;
  holds: boolean;
  detail: unknown;
  at: Date;
}

const conflictOf = (row: ConflictRow): Conflict => ({
  id: row.id,
  clientId: row.client_id,
  otherId: row.other_id ?? undefined,
  kind: row.kind,
  score: row.score,
  holds: row.holds,
  detail: row.detail ?? undefined,
  at: row.at,
});

/** Points of a likeness. The hardware id alone reaches SAME; nothing else does without it. */
const SCORE = { hardware: 60, guid: 25, name: 15 };
const SAME = 60;

/** Likeness is a known client that a new key resembles. */
export interface Likeness {
  row: ClientRow;
  score: number;
  sameHardware: boolean;
}

/** scoreOf says how much speaks for one machine behind two clients, of 100. */
export function scoreOf(same: { hardware: boolean; guid: boolean; name: boolean }): number {
  return (same.hardware ? SCORE.hardware : 0) + (same.guid ? SCORE.guid : 0) + (same.name ? SCORE.name : 0);
}

/** isSame tells whether a score is that of the same machine. */
export const isSame = (score: number): boolean => score >= SAME;

/**
 * likest gives the client that a new key resembles most: by its hardware id, unless that is known to tell no machine from another, or by
 * the name of a client that is believed.
 */
export async function likest(
  tx: Sql,
  claim: { hardwareId: string; name: string; domain: string; guid?: string | undefined },
): Promise<Likeness | undefined> {
  const rows = await tx.exec<ClientRow & { same_hardware: boolean; same_guid: boolean | null; same_name: boolean }>(
    {
      name: 'client_likest',
      text: `with k as materialized (select client_hardware_key($1) as hw)
        select c.*, coalesce(c.hardware_key = k.hw, false) as same_hardware, c.guid = $4 as same_guid,
          c.name_key = $2 and (c.domain_key = $3 or $3 = '' or ccr_same_domain(c.domain_key, $3)) as same_name
        from k, lateral (
          -- Thousands may share one that is not on the list yet: some of them are enough, and the blocked ones.
          select id from (
            (select id from client where hardware_key = k.hw and not obsolete limit 100)
            union (select id from client where hardware_key = k.hw and not obsolete and blocked limit 10)) alike
          where not exists (select from client_bad_hardware b where b.hardware_key = k.hw)
          union select id from client where name_key = $2 and not obsolete and believed
        ) found join client c on c.id = found.id
        order by coalesce(c.hardware_key = k.hw, false) desc, c.blocked desc, c.believed desc, c.last_seen_at desc limit 1`,
    },
    [claim.hardwareId, nameKey(claim.name), nameKey(claim.domain), claim.guid ?? null],
  );
  const row = rows[0];
  if (!row || !(row.same_hardware || row.same_name)) return undefined;
  const score = scoreOf({ hardware: row.same_hardware, guid: row.same_guid ?? false, name: row.same_name });
  return { row, score, sameHardware: row.same_hardware };
}

/** Barred is a client to which a person said no, on the machine of another one. */
export interface Barred {
  id: number;
  kind: 'blocked' | 'rejected';
}

/** barredOn gives the blocked or rejected client of a machine: a new key and another hardware id are no way around what a person decided. */
export async function barredOn(tx: Sql, resourceId: number | null | undefined): Promise<Barred | undefined> {
  if (resourceId === null || resourceId === undefined) return undefined;
  const [row] = await tx.exec<Barred>(
    {
      name: 'client_barred_on',
      text: `select id, case when blocked then 'blocked' else 'rejected' end as kind from client
        where resource_id = $1 and not obsolete and (blocked or approval = 'rejected') order by blocked desc, last_seen_at desc limit 1`,
    },
    [resourceId],
  );
  return row;
}

/** openConflict keeps a conflict, once while it is undecided; true when it is new. */
export async function openConflict(
  tx: Sql,
  found: { clientId: number; otherId?: number | undefined; kind: ConflictKind; score?: number; holds: boolean; detail?: unknown },
  now: Date,
): Promise<boolean> {
  const { clientId, otherId, kind, score = 0, holds, detail } = found;
  const made = await tx.count(
    `insert into client_conflict (client_id, other_id, kind, score, holds, detail, at) values ($1, $2, $3, $4, $5, $6, $7)
     on conflict (client_id, kind) where decided_at is null do nothing`,
    [clientId, otherId, kind, score, holds, detail === undefined ? null : JSON.stringify(detail), now],
  );
  if (made === 1) await noteEvent(tx, clientId, { what: 'conflict', detail: { kind, score, holds, other: otherId } }, now);
  return made === 1;
}

/** conflictsOf gives the undecided conflicts of a client. */
export async function conflictsOf(sql: Sql, clientId: number): Promise<Conflict[]> {
  const rows = await sql.query<ConflictRow>(
    'select * from client_conflict where client_id = $1 and decided_at is null order by id for update',
    [clientId],
  );
  return rows.map(conflictOf);
}

/** openConflicts gives all undecided conflicts, newest first. */
export async function openConflicts(sql: Sql, limit: number): Promise<Conflict[]> {
  const rows = await sql.query<ConflictRow>(
    `select k.* from client_conflict k join client c on c.id = k.client_id where k.decided_at is null and not c.obsolete
     order by k.id desc limit $1`,
    [limit],
  );
  return rows.map(conflictOf);
}

/** settle closes the undecided conflicts of a client. */
export async function settle(tx: Sql, clientId: number, decision: string, by: string, now: Date): Promise<void> {
  await tx.query(
    'update client_conflict set decision = $2, decided_by = $3, decided_at = $4 where client_id = $1 and decided_at is null',
    [clientId, decision, by, now],
  );
}

/** isRetired tells whether a key was a client's and was given up. */
export async function isRetired(tx: Sql, keyHash: Uint8Array): Promise<{ clientId: number; why: string } | undefined> {
  const [row] = await tx.exec<{ client_id: number; why: string }>(
    { name: 'client_retired', text: 'select client_id, why from client_key where key_hash = $1' },
    [keyHash],
  );
  return row && { clientId: row.client_id, why: row.why };
}

/** retireKey gives up the key of a client: whoever comes with it again is somebody to look at. */
export async function retireKey(tx: Sql, row: Pick<ClientRow, 'id' | 'key_hash'>, why: string, now: Date): Promise<void> {
  await tx.query(
    `insert into client_key (key_hash, client_id, ended_at, why) values ($1, $2, $3, $4)
     on conflict (key_hash) do update set client_id = excluded.client_id, ended_at = excluded.ended_at, why = excluded.why`,
    [row.key_hash, row.id, now, why],
  );
}

/** NewKey is what a client that keeps its record takes over from whoever holds the new key. */
export interface NewKey {
  publicKey: string;
  keyHash: Uint8Array;
  requestId: string;
}

/** rekey lets a client go on with another key: its SMSID, its history and what was decided about it stay. The old key is given up. */
export async function rekey(tx: Sql, row: ClientRow, key: NewKey, why: string, now: Date): Promise<ClientRow> {
  await retireKey(tx, row, why, now);
  await tx.query('delete from client_key where key_hash = $1', [key.keyHash]);
  const [next] = await tx.query<ClientRow>(
    `update client set public_key = $2, key_hash = $3, request_id = $4, sequence = 0, started_at = null, started_before = null, sent_at = null,
       alarm = false, sealed = null, sealed_edition = 0 where id = $1 returning *`,
    [row.id, key.publicKey, key.keyHash, key.requestId],
  );
  return next!;
}

/** BadHardware is a hardware id that tells no machine from another. */
export interface BadHardware {
  hardwareId: string;
  why: string;
  addedBy: string;
  addedAt: Date;
}

/** badHardware lists them. */
export async function badHardware(sql: Sql): Promise<BadHardware[]> {
  return sql.query<BadHardware>(
    `select hardware_key as "hardwareId", why, added_by as "addedBy", added_at as "addedAt" from client_bad_hardware order by hardware_key`,
  );
}

/** addBadHardware puts one on the list, and closes the conflicts that stood on nothing else. */
export async function addBadHardware(
  tx: Sql,
  o: { hardwareId: string; why: string; by: string },
  now: Date,
): Promise<{ hardwareId: string; closed: number }> {
  const [row] = await tx.query<{ hardwareId: string | null }>('select client_hardware_key($1) as "hardwareId"', [o.hardwareId]);
  if (!row?.hardwareId) throw raise('PP_CLIENT_HARDWARE', { id: o.hardwareId.slice(0, 40) });
  const { hardwareId } = row;
  await tx.query(
    `insert into client_bad_hardware (hardware_key, why, added_by, added_at) values ($1, $2, $3, $4)
     on conflict (hardware_key) do update set why = excluded.why, added_by = excluded.added_by, added_at = excluded.added_at`,
    [hardwareId, o.why, o.by, now],
  );
  const closed = await tx.count(
    `update client_conflict k set decision = 'bad hardware id', decided_by = $2, decided_at = $3 from client c
     where c.id = k.client_id and k.decided_at is null and k.kind in ('hardware', 'blocked') and c.hardware_key = $1`,
    [hardwareId, o.by, now],
  );
  return { hardwareId, closed };
}

/** removeBadHardware takes one off. */
export async function removeBadHardware(tx: Sql, hardwareId: string): Promise<boolean> {
  return (await tx.count('delete from client_bad_hardware where hardware_key = client_hardware_key($1)', [hardwareId])) === 1;
}
