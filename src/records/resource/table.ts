import type { Sql } from '#store/database';
import { Pool, type Known, type Stored } from './identity.ts';
import { seesFromOutside } from './merge.ts';
import type { KnownDevice } from './row.ts';
import { seenAgain } from './seen.ts';
import type { StoredTold } from './told.ts';

const COLUMNS: Record<keyof Stored, string> = {
  id: 'integer',
  name: 'text',
  name_key: 'text',
  domain: 'text',
  domain_key: 'text',
  fqdn: 'text',
  guid: 'text',
  hardware_id: 'text',
  addresses: 'text[]',
  macs: 'text[]',
  os: 'text',
  os_version: 'text',
  os_build: 'integer',
  architecture: 'text',
  type: 'text',
  ad_site: 'text',
  ou: 'text',
  keys: 'text[]',
  smb_port: 'integer',
  ssh_port: 'integer',
  assigned_site: 'text',
  trusted: 'boolean',
  obsolete: 'boolean',
  seen: 'jsonb',
};
const NAMES = Object.keys(COLUMNS) as (keyof Stored)[];
const FIELDS = `${NAMES.join(', ')}, told`;
const TYPED = `${NAMES.map((name) => `${name} ${COLUMNS[name]}`).join(', ')}, told jsonb`;
const WRITTEN = NAMES.filter((name) => name !== 'id');
const CHANGED = [...WRITTEN, 'told'].map((name) => `${name} = d.${name}`).join(', ');
// A new machine may be obsolete already: in the same file another one took its name.
const INSERTED = WRITTEN.join(', ');

function shape(known: Known): string {
  const { told, dirty: _dirty, moved: _moved, touched: _touched, ...stored } = known;
  return JSON.stringify({ ...stored, told: told.stored() });
}

/**
 * poolOf reads what the rows may be about. Each key is looked up by its index, one at a time: of a table that has grown since its statistics
 * were made the server would expect thousands of rows for each, and read all of it.
 */
export async function poolOf(tx: Sql, devices: readonly KnownDevice[], ids: readonly number[]): Promise<Pool> {
  const values: unknown[] = [devices.map((d) => d.nameKey)];
  const found = [byKey('name_key', 'name_key = k and not obsolete', '$1')];
  const or = (column: 'guid' | 'hardware_id' | 'keys', keys: readonly string[]) => {
    if (keys.length === 0) return;
    const condition = column === 'keys' ? `keys @> array[k] and keys <> '{}'` : `${column} = k`;
    found.push(byKey(column, condition, `$${values.push(keys)}`));
  };
  or(
    'guid',
    devices.flatMap((d) => d.guid ?? []),
  );
  or(
    'hardware_id',
    devices.flatMap((d) => d.hardwareId ?? []),
  );
  or(
    'keys',
    devices.flatMap((d) => d.keys),
  );
  if (ids.length > 0) found.push(`select unnest($${values.push(ids)}::integer[])`);
  // Not a named statement: its plan would be kept from when the table was small.
  const stored = await tx.query<Stored & { told: StoredTold }>(
    `select ${FIELDS} from resource where id = any(array(${found.join(' union ')})) order by id`,
    values,
  );
  const pool = new Pool();
  for (const row of stored) pool.add(row);
  return pool;
}

/** OFFSET 0 keeps the server from making one join of it, for which it needs true statistics. */
function byKey(name: string, condition: string, keys: string): string {
  return `select by_${name}.id from unnest(${keys}::text[]) as k, lateral (select id from resource where ${condition} offset 0) as by_${name}`;
}

/** confirm has old news compared with what the other sources said last, not with when they said it first. */
export async function confirm(tx: Sql, pool: Pool): Promise<void> {
  const rows = await tx.query<{ resource_id: number; method: string; site: string; at: Date }>(
    'select resource_id, method, site, at from resource_source where resource_id = any($1)',
    [pool.all.map((k) => k.id)],
  );
  const last = new Map(rows.map((r) => [`${r.resource_id}|${r.method}|${r.site}`, r.at.getTime()]));
  const outside = Map.groupBy(rows.filter(seesFromOutside), (r) => r.resource_id);
  for (const known of pool.all) {
    known.told.confirm((method, site) => last.get(`${known.id}|${method}|${site}`));
    const lately = Math.max(...(outside.get(known.id) ?? []).map((r) => r.at.getTime()));
    if (known.seen && lately > 0) known.seen = seenAgain(known.seen, lately);
  }
}

/** writeResources writes what merging has made of a pool: new machines, and those that it changed. */
export async function writeResources(tx: Sql, pool: Pool, now: Date): Promise<void> {
  const made = pool.all.filter((k) => k.id === 0);
  const changed = pool.all.filter((k) => k.id !== 0 && (k.dirty || k.told.dirty));
  // Names are unique among the living: those that move make room first, so that two machines can have exchanged theirs.
  if (changed.length > 0) {
    const moving = changed.filter((k) => k.moved);
    if (moving.length > 0)
      await tx.query('update resource set obsolete = true, guid = null where id = any($1)', [moving.map((k) => k.id)]);
    await tx.query(
      `update resource r set ${CHANGED}, fqdn_key = upper(d.fqdn), changed_at = $2 from jsonb_to_recordset($1) as d(${TYPED}) where r.id = d.id`,
      [`[${changed.map(shape).join(',')}]`, now],
    );
  }
  if (made.length === 0) return;
  const rows = await tx.query<{ id: number }>(
    `insert into resource (${INSERTED}, told, fqdn_key, created_at, changed_at)
     select ${INSERTED}, told, upper(d.fqdn), $2, $2 from rows from (jsonb_to_recordset($1) as (${TYPED})) with ordinality as d(${FIELDS}, n)
     order by d.n returning id`,
    [`[${made.map(shape).join(',')}]`, now],
  );
  made.forEach((known, i) => (known.id = rows[i]!.id));
}
