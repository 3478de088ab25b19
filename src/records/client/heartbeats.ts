import type { Heartbeat } from '#messages';
import { nameKey } from '#records/resource';
import type { Sql } from '#store/database';
import { KNOWN, type KnownRow } from './client.ts';

/** Beat is one heartbeat with the address it came from. */
export interface Beat {
  heartbeat: Heartbeat;
  address: string | undefined;
}

const FIELDS: readonly [column: string, type: string, of: (beat: Beat) => unknown][] = [
  ['guid', 'text', ({ heartbeat }) => heartbeat.guid],
  ['sequence', 'bigint', ({ heartbeat }) => heartbeat.sequence],
  ['name', 'text', ({ heartbeat }) => heartbeat.name],
  ['name_key', 'text', ({ heartbeat }) => nameKey(heartbeat.name)],
  ['domain', 'text', ({ heartbeat }) => heartbeat.domain],
  ['domain_key', 'text', ({ heartbeat }) => nameKey(heartbeat.domain)],
  ['fqdn', 'text', ({ heartbeat }) => heartbeat.fqdn],
  // An array of arrays wants all of one length; an address holds no blank.
  ['addresses', 'text', ({ heartbeat }) => heartbeat.addresses.join(' ')],
  ['version', 'text', ({ heartbeat }) => heartbeat.clientVersion],
  ['hardware_id', 'text', ({ heartbeat }) => heartbeat.hardwareId],
  ['os', 'text', ({ heartbeat }) => heartbeat.os.name],
  ['os_version', 'text', ({ heartbeat }) => heartbeat.os.version],
  ['type', 'text', ({ heartbeat }) => heartbeat.os.type],
  ['architecture', 'text', ({ heartbeat }) => heartbeat.architecture ?? null],
  ['address', 'text', ({ address }) => address ?? null],
  ['sent_at', 'timestamptz', ({ heartbeat }) => new Date(heartbeat.sentAt)],
  ['started_at', 'timestamptz', ({ heartbeat }) => new Date(heartbeat.startedAt)],
];

const HEARTBEATS = {
  name: 'client_heartbeats',
  text: `with said (${FIELDS.map(([column]) => column).join(', ')}) as materialized (
      select * from unnest(${FIELDS.map(([, type], i) => `$${i + 2}::${type}[]`).join(', ')})
    ), heard as (
      update client c set name = s.name, name_key = s.name_key, domain = s.domain, domain_key = s.domain_key, fqdn = s.fqdn,
        addresses = string_to_array(s.addresses, ' '), version = s.version, os = s.os, os_version = s.os_version, type = s.type,
        architecture = s.architecture, last_address = coalesce(s.address, c.last_address), sequence = s.sequence,
        last_seen_at = greatest(c.last_seen_at, $1), sent_at = s.sent_at, started_at = s.started_at,
        started_before = case when c.started_at <> s.started_at then c.started_at else c.started_before end,
        alarm = c.hardware_id <> s.hardware_id or coalesce(c.started_before = s.started_at and c.started_at <> s.started_at, false)
      from said s where c.guid = s.guid and not c.blocked and c.sequence < s.sequence
      returning ${KNOWN.replaceAll(/\w+/g, 'c.$&')}, c.alarm
    )
    select ${KNOWN}, alarm, pg_notify('client', jsonb_strip_nulls(jsonb_build_object('resourceId', resource_id, 'name', name, 'domain', domain))::text) as told
    from heard`,
};

/** HeardRow is what a heartbeat that was news tells of its client; `alarm` where it seems to come from another machine. */
export type HeardRow = KnownRow & { alarm: boolean };

/** One process writes the heartbeats of a client in the order in which they came, so one statement takes one of each client. */
function rounds(beats: readonly Beat[]): Beat[][] {
  const found: Beat[][] = [];
  const nth = new Map<string, number>();
  for (const beat of beats) {
    const { guid } = beat.heartbeat;
    const round = nth.get(guid) ?? 0;
    nth.set(guid, round + 1);
    (found[round] ??= []).push(beat);
  }
  return found;
}

/**
 * takeHeartbeats keeps signs of life and announces them on 'client', in one statement for many. It gives the row of each that was news;
 * undefined for what was not: refused, repeated, late, or of a client that is not known.
 */
export async function takeHeartbeats(sql: Sql, beats: readonly Beat[], now: Date): Promise<(HeardRow | undefined)[]> {
  const taken = new Map<Beat, HeardRow>();
  for (const round of rounds(beats)) {
    // In one order in all processes, so that two of them do not wait for each other.
    const ordered = round.toSorted((a, b) => (a.heartbeat.guid < b.heartbeat.guid ? -1 : 1));
    const rows = await sql.exec<HeardRow>(HEARTBEATS, [now, ...FIELDS.map(([, , of]) => ordered.map(of))]);
    const byGuid = new Map(rows.map((row) => [row.guid, row]));
    for (const beat of ordered) {
      const row = byGuid.get(beat.heartbeat.guid);
      if (row) taken.set(beat, row);
    }
  }
  return beats.map((beat) => taken.get(beat));
}
