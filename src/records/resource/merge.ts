import type { Sql } from '#store/database';
import type { SystemType } from './device.ts';
import { sameDomain } from './names.ts';
import { knownDevice, type KnownDevice, type RawDevice, type Rejected } from './row.ts';

/** ImportOptions say where rows come from. */
export interface ImportOptions {
  /** The method of discovery: 'import', 'ad', 'network', 'heartbeat', … */
  source: string;
  site: string;
  /** An administrator's import is trusted; other sources only when the caller says so. */
  trusted?: boolean | undefined;
}

/** Imported counts what an import did; `ids` are the resources of the rows taken, in their order. */
export interface Imported {
  added: number;
  changed: number;
  unchanged: number;
  rejected: Rejected[];
  ids: number[];
}

/** One transaction merges so many rows. */
export const BATCH = 500;
/** Merging looks first and writes then, so it is done by one at a time. */
const LOCK = 1128481394;

interface Stored {
  id: number;
  name: string;
  name_key: string;
  domain: string;
  domain_key: string;
  fqdn: string | null;
  guid: string | null;
  addresses: string[];
  macs: string[];
  os: string | null;
  os_version: string | null;
  type: SystemType;
  ad_site: string | null;
  smb_port: number | null;
  ssh_port: number | null;
  trusted: boolean;
  obsolete: boolean;
}

/** Known is a resource while a batch is merged into it. */
interface Known extends Stored {
  was: string;
  touched: boolean;
}

const FIELDS = `id, name, name_key, domain, domain_key, fqdn, guid, addresses, macs, os, os_version, type, ad_site, smb_port, ssh_port,
  trusted, obsolete`;
const TYPED = `id integer, name text, name_key text, domain text, domain_key text, fqdn text, guid text, addresses text[], macs text[],
  os text, os_version text, type text, ad_site text, smb_port integer, ssh_port integer, trusted boolean, obsolete boolean`;

function shape({ was: _was, touched: _touched, ...stored }: Known): string {
  return JSON.stringify(stored);
}

/**
 * Pool is what the database knows of the machines of one batch, with the batch merged in row by row. A machine is the same by its guid, or
 * else by name and domain; a MAC address alone never says so, because docks and virtual machines share them (facts F6).
 */
class Pool {
  readonly all: Known[] = [];
  readonly #byGuid = new Map<string, Known>();
  readonly #byName = new Map<string, Known[]>();

  add(stored: Stored): Known {
    const known: Known = { ...stored, was: '', touched: false };
    known.was = stored.id === 0 ? '' : shape(known);
    this.all.push(known);
    if (known.guid) this.#byGuid.set(known.guid, known);
    this.#index(known);
    return known;
  }

  #index(known: Known): void {
    const same = this.#byName.get(known.name_key);
    if (same) same.push(known);
    else this.#byName.set(known.name_key, [known]);
  }

  #named(device: KnownDevice): Known | undefined {
    const same = (this.#byName.get(device.nameKey) ?? []).filter((k) => !k.obsolete && k.name_key === device.nameKey);
    const exact = same.find((k) => k.domain_key === device.domainKey);
    if (exact) return exact;
    const near = same.filter((k) => k.domain_key === '' || device.domainKey === '' || sameDomain(k.domain_key, device.domainKey));
    return near.length === 1 ? near[0] : undefined;
  }

  /** merge finds the resource of a device, or makes it, and brings in what is new. */
  merge(device: KnownDevice, trusted: boolean): Known {
    const named = this.#named(device);
    const found = (device.guid ? this.#byGuid.get(device.guid) : undefined) ?? named;
    if (!found) return this.#make(device, trusted);
    found.touched = true;
    // What a machine says of itself does not change what a trusted source knows.
    if (found.trusted && !trusted) return found;
    this.#rename(found, device);
    found.obsolete = false;
    found.name = device.name;
    this.#fill(found, device, trusted);
    return found;
  }

  /** rename gives a resource the name of a device; whoever else had that name is obsolete until it is seen again. */
  #rename(found: Known, device: KnownDevice): void {
    // Of a domain's two names the DNS name says more, so it stays.
    const keeps = device.domainKey === '' || (sameDomain(found.domain_key, device.domainKey) && found.domain_key.includes('.'));
    const domainKey = keeps ? found.domain_key : device.domainKey;
    const renamed = found.name_key !== device.nameKey;
    if (!renamed && domainKey === found.domain_key && !found.obsolete) return;
    const holder = this.#byName
      .get(device.nameKey)
      ?.find((k) => k !== found && !k.obsolete && k.name_key === device.nameKey && k.domain_key === domainKey);
    if (holder) holder.obsolete = true;
    if (!keeps) found.domain = device.domain;
    found.domain_key = domainKey;
    found.name_key = device.nameKey;
    if (renamed) this.#index(found);
  }

  #fill(found: Known, device: KnownDevice, trusted: boolean): void {
    if (device.guid && device.guid !== found.guid) {
      if (found.guid) this.#byGuid.delete(found.guid);
      found.guid = device.guid;
      this.#byGuid.set(device.guid, found);
    }
    if (device.addresses.length > 0) found.addresses = device.addresses;
    if (device.macs.length > 0) found.macs = device.macs;
    found.fqdn = device.fqdn ?? found.fqdn;
    found.os = device.os ?? found.os;
    found.os_version = device.osVersion ?? found.os_version;
    // A guess from the system's name knows no domain controllers, so it changes nothing that is known.
    if (device.type !== 'unknown' && (!device.guessed || found.type === 'unknown')) found.type = device.type;
    found.ad_site = device.adSite ?? found.ad_site;
    // Another port than the usual one comes from a trusted source only (design section 6).
    if (trusted) {
      found.smb_port = device.smbPort ?? found.smb_port;
      found.ssh_port = device.sshPort ?? found.ssh_port;
      found.trusted = true;
    }
  }

  #make(device: KnownDevice, trusted: boolean): Known {
    const made = this.add({
      id: 0,
      name: device.name,
      name_key: device.nameKey,
      domain: device.domain,
      domain_key: device.domainKey,
      fqdn: null,
      guid: null,
      addresses: [],
      macs: [],
      os: null,
      os_version: null,
      type: 'unknown',
      ad_site: null,
      smb_port: null,
      ssh_port: null,
      trusted: false,
      obsolete: false,
    });
    made.touched = true;
    this.#fill(made, device, trusted);
    return made;
  }

  /** changed are the resources that are no longer as they were read. */
  get changed(): Known[] {
    return this.all.filter((k) => k.id !== 0 && shape(k) !== k.was);
  }
}

async function write(tx: Sql, pool: Pool, o: ImportOptions, now: Date): Promise<void> {
  const made = pool.all.filter((k) => k.id === 0);
  const changed = pool.changed;
  // Names are unique among the living: those that move make room first, so that two machines can have exchanged theirs.
  if (changed.length > 0) {
    await tx.query('update resource set obsolete = true, guid = null where id = any($1)', [changed.map((k) => k.id)]);
    await tx.query(
      `update resource r set name = d.name, name_key = d.name_key, domain = d.domain, domain_key = d.domain_key, fqdn = d.fqdn,
         fqdn_key = upper(d.fqdn), guid = d.guid, addresses = d.addresses, macs = d.macs, os = d.os, os_version = d.os_version, type = d.type,
         ad_site = d.ad_site, smb_port = d.smb_port, ssh_port = d.ssh_port, trusted = d.trusted, obsolete = d.obsolete, changed_at = $2
       from jsonb_to_recordset($1) as d(${TYPED}) where r.id = d.id`,
      [`[${changed.map(shape).join(',')}]`, now],
    );
  }
  if (made.length > 0) {
    const rows = await tx.query<{ id: number }>(
      `insert into resource (name, name_key, domain, domain_key, fqdn, fqdn_key, guid, addresses, macs, os, os_version, type, ad_site,
         smb_port, ssh_port, trusted, created_at, changed_at)
       select d.name, d.name_key, d.domain, d.domain_key, d.fqdn, upper(d.fqdn), d.guid, d.addresses, d.macs, d.os, d.os_version, d.type,
         d.ad_site, d.smb_port, d.ssh_port, d.trusted, $2, $2
       from rows from (jsonb_to_recordset($1) as (${TYPED})) with ordinality as d(${FIELDS}, n) order by d.n returning id`,
      [`[${made.map(shape).join(',')}]`, now],
    );
    made.forEach((known, i) => (known.id = rows[i]!.id));
  }
  await tx.query(
    `insert into resource_source (resource_id, method, site, at) select distinct unnest($1::integer[]), $2, $3, $4::timestamptz
     on conflict (resource_id, method, site) do update set at = excluded.at where resource_source.at < excluded.at`,
    [pool.all.filter((k) => k.touched).map((k) => k.id), o.source, o.site, now],
  );
}

/** mergeBatch merges checked rows in one transaction. */
async function mergeBatch(tx: Sql, batch: KnownDevice[], o: ImportOptions, now: Date): Promise<Omit<Imported, 'rejected'>> {
  await tx.query('select pg_advisory_xact_lock($1)', [LOCK]);
  // Not a named statement: its plan would be kept from when the table was small.
  const stored = await tx.query<Stored>(
    `select ${FIELDS} from resource where guid = any($1) or (name_key = any($2) and not obsolete) order by id`,
    [batch.flatMap((d) => d.guid ?? []), batch.map((d) => d.nameKey)],
  );
  const pool = new Pool();
  for (const row of stored) pool.add(row);
  const trusted = o.trusted ?? o.source === 'import';
  const merged = batch.map((device) => pool.merge(device, trusted));
  const added = pool.all.filter((k) => k.id === 0).length;
  const changed = pool.changed.filter((k) => k.touched).length;
  await write(tx, pool, o, now);
  const touched = pool.all.filter((k) => k.touched).length;
  return { added, changed, unchanged: touched - added - changed, ids: merged.map((k) => k.id) };
}

/** Run runs one batch in a transaction. */
type Run = <T>(fn: (tx: Sql) => Promise<T>) => Promise<T>;

/** importRows checks rows and merges the good ones, a batch in a transaction. */
export async function importRows(
  run: Run,
  rows: readonly RawDevice[],
  o: ImportOptions,
  now: Date,
  tell: (ids: readonly number[], tx: Sql) => Promise<void>,
): Promise<Imported> {
  const total: Imported = { added: 0, changed: 0, unchanged: 0, rejected: [], ids: [] };
  const good: KnownDevice[] = [];
  rows.forEach((row, i) => {
    const device = knownDevice(row);
    if ('reason' in device) total.rejected.push({ line: row.line ?? i + 1, reason: device.reason });
    else good.push(device);
  });
  for (let at = 0; at < good.length; at += BATCH) {
    const done = await run(async (tx) => {
      const merged = await mergeBatch(tx, good.slice(at, at + BATCH), o, now);
      await tell(merged.ids, tx);
      return merged;
    });
    total.added += done.added;
    total.changed += done.changed;
    total.unchanged += done.unchanged;
    total.ids.push(...done.ids);
  }
  return total;
}
