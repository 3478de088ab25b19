import type { Clock } from '#base/clock';
import { Gatherer, isLocked, type Database, type Sql } from '#store/database';
import { clearInstallFlags, forgetKinds, removeAged, removeInactive, type Aged } from './age.ts';
import { BATCH, importRows, lockMerging, type Imported, type ImportOptions } from './batch.ts';
import { devices, type Device, type SystemType } from './device.ts';
import { BOUNDS, type Bounds, type DeviceQuery } from './asked.ts';
import { listDevices, type DevicePage } from './list.ts';
import { nameKey, sameDomain, shortKey } from './names.ts';
import { canonicalAddress, type RawDevice } from './row.ts';
import { notThere, type Looked } from './seen.ts';
import { RANK } from './told.ts';

/** Observed is what a push saw on a machine; what is left out was not seen and stays as it was. */
export interface Observed {
  os?: string | undefined;
  osVersion?: string | undefined;
  osBuild?: number | undefined;
  type?: SystemType | undefined;
  architecture?: string | undefined;
  /** The version of the client found; null when there is none. */
  clientVersion?: string | null | undefined;
  clientSite?: string | undefined;
}

const PAGE = 1000;
/** A notification has room for so many ids. */
const TOLD = 500;

/** Named is how people name a machine: NetBIOS or full DNS name, and a domain where they say one. */
export interface Named {
  name: string;
  domain?: string | undefined;
}

function isIn(device: Device, domain: string): boolean {
  if (device.domainKey === domain || sameDomain(device.domainKey, domain)) return true;
  return device.fqdn !== undefined && nameKey(device.fqdn) === `${nameKey(device.name)}.${domain}`;
}

/** ResourceRecord knows the machines, and is the only writer of resource and resource_source. */
export class ResourceRecord {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #bounds: Bounds;
  readonly #byId: Gatherer<number, Device | undefined>;
  readonly #observed: Gatherer<{ id: number; seen: Observed }, void>;

  constructor(db: Database, clock: Clock, bounds: Bounds = BOUNDS) {
    this.#db = db;
    this.#clock = clock;
    this.#bounds = bounds;
    this.#byId = new Gatherer(async (ids) => {
      const found = new Map((await this.byIds([...new Set(ids)])).map((device) => [device.id, device]));
      return ids.map((id) => found.get(id));
    });
    this.#observed = new Gatherer((many) => this.#observe(many));
  }

  /**
   * importDevices merges machines by guid, else by name and domain. Each row is either taken or in `rejected` with its line and the
   * reason. It works in transactions of 1000 rows, or in the one it is given.
   */
  importDevices(rows: readonly RawDevice[], o: ImportOptions & { by?: string | undefined }, via?: Sql): Promise<Imported> {
    const run = <T>(fn: (tx: Sql) => Promise<T>) => (via ? fn(via) : this.#db.transaction(fn));
    // Whoever waits for one of them hears that it was seen.
    const tell = async (ids: readonly number[], tx: Sql) => {
      await this.#tell(ids, tx);
    };
    return importRows(run, rows, o, this.#clock.now(), tell);
  }

  /** tell says with one statement which machines were seen, however many they are. */
  async #tell(ids: readonly number[], tx: Sql): Promise<void> {
    const parts: string[] = [];
    for (let at = 0; at < ids.length; at += TOLD) parts.push(ids.slice(at, at + TOLD).join(','));
    if (parts.length > 0) await tx.query(`select pg_notify('resource', part) from unnest($1::text[]) as part`, [parts]);
  }

  /** byId gives one device. */
  async byId(id: number, via?: Sql): Promise<Device | undefined> {
    return via ? (await devices(via, 'resource_by_id', 'r.id = $1', [id]))[0] : this.#byId.ask(id);
  }

  /** byIds gives devices, in no order. */
  byIds(ids: readonly number[], via: Sql = this.#db): Promise<Device[]> {
    return devices(via, 'resource_by_ids', 'r.id = any($1)', [ids]);
  }

  /** elsewhere gives those of some devices that are assigned to another site than this. */
  async elsewhere(ids: readonly number[], site: string, via: Sql = this.#db): Promise<number[]> {
    if (ids.length === 0) return [];
    const rows = await via.query<{ id: number }>('select id from resource where id = any($1) and assigned_site <> $2', [
      ids,
      site,
    ]);
    return rows.map(({ id }) => id);
  }

  /** byGuid gives the device with this guid. */
  async byGuid(guid: string): Promise<Device | undefined> {
    return (await devices(this.#db, 'resource_by_guid', 'r.guid = $1', [guid.toUpperCase().replace(/^GUID:/, '')]))[0];
  }

  /** byAddress gives the devices that have this address. */
  byAddress(address: string): Promise<Device[]> {
    return devices(this.#db, 'resource_by_address', 'r.addresses @> array[$1]', [canonicalAddress(address) ?? address]);
  }

  /** find gives the devices of a name, NetBIOS or full; several when two domains have one of that name. */
  async find(name: string, domain?: string, via: Sql = this.#db): Promise<Device[]> {
    return (await this.findMany([{ name, domain }], via))[0]!;
  }

  /** findMany does the same for many names with one look-up, in the order given. */
  async findMany(wanted: readonly Named[], via: Sql = this.#db): Promise<Device[][]> {
    const found = await devices(
      via,
      'resource_find',
      'r.name_key = any($1) or r.fqdn_key = any($2)',
      [
        wanted.map(({ name }) => shortKey(name)),
        wanted.filter(({ name }) => name.includes('.')).map(({ name }) => nameKey(name)),
      ],
      'order by r.id',
    );
    const byName = Map.groupBy(found, (d) => nameKey(d.name));
    const byFqdn = Map.groupBy(found, (d) => nameKey(d.fqdn ?? ''));
    return wanted.map(({ name, domain }) => {
      const key = nameKey(name);
      const dot = key.indexOf('.');
      const full = dot > 0 ? byFqdn.get(key) : undefined;
      if (full) return full;
      const where = nameKey(domain ?? (dot < 0 ? '' : key.slice(dot + 1)));
      return (byName.get(shortKey(name)) ?? []).filter((d) => where === '' || isIn(d, where));
    });
  }

  /** list gives one page of devices, by name. */
  list(query: DeviceQuery = {}, via: Sql = this.#db): Promise<DevicePage> {
    return listDevices(via, query, this.#clock.now(), this.#bounds);
  }

  /** count gives the number of devices that are not obsolete. */
  async count(): Promise<number> {
    const [row] = await this.#db.query<{ n: number }>('select count(*) as n from resource where not obsolete');
    return row!.n;
  }

  /** observe keeps what a push saw on a machine; it counts as much as what a trusted source reads there. */
  observe(id: number, seen: Observed): Promise<void> {
    return this.#observed.ask({ id, seen });
  }

  async #observe(many: readonly { id: number; seen: Observed }[]): Promise<void[]> {
    // Of a machine that was seen twice the later sight counts.
    const rows = [...new Map(many.map((one) => [one.id, one])).values()].map(({ id, seen }) => {
      const { os, osVersion, osBuild, architecture, clientVersion, clientSite } = seen;
      const said = { os, osVersion, osBuild, architecture, type: seen.type === 'unknown' ? undefined : seen.type };
      const told = Object.entries(said).flatMap(([property, value]) => (value === undefined ? [] : [property]));
      return { id, ...said, told, client: clientVersion !== undefined, clientVersion, clientSite };
    });
    await this.#db.exec(
      {
        name: 'resource_observe',
        text: `update resource r set os = coalesce(s.os, r.os), os_version = coalesce(s."osVersion", r.os_version),
          os_build = coalesce(s."osBuild", r.os_build), type = coalesce(s.type, r.type),
          architecture = coalesce(s.architecture, r.architecture), told = resource_told(r.told, 'push', '', $2, $3, s.told),
          seen_client_version = case when s.client then s."clientVersion" else r.seen_client_version end,
          seen_client_site = case when s.client then s."clientSite" else r.seen_client_site end,
          seen_at = case when s.client then $2 else r.seen_at end, changed_at = $2
        from jsonb_to_recordset($1) as s(id integer, os text, "osVersion" text, "osBuild" integer, type text, architecture text,
          told text[], client boolean, "clientVersion" text, "clientSite" text)
        where r.id = s.id`,
      },
      [JSON.stringify(rows), this.#clock.now(), RANK.known],
    );
    return many.map(() => undefined);
  }

  /** assign writes to which sites machines belong, by their boundaries; it touches only those that change and tells how many. */
  assign(sites: readonly { id: number; site: string | undefined }[], via: Sql = this.#db): Promise<number> {
    return via.count(
      `update resource r set assigned_site = a.site, changed_at = $3
       from unnest($1::integer[], $2::text[]) as a(id, site) where r.id = a.id and r.assigned_site is distinct from a.site`,
      [sites.map((s) => s.id), sites.map((s) => s.site), this.#clock.now()],
    );
  }

  /**
   * notThere is for who has looked at many addresses: where machines that were found were seen before, and were not found now though
   * `wasAsked` is true of the address, they are not any more. It tells how many have lost an address.
   */
  async notThere(looked: readonly Looked[], wasAsked: (address: string) => boolean): Promise<number> {
    let changed = 0;
    for (let at = 0; at < looked.length; at += BATCH) {
      const part = looked.slice(at, at + BATCH);
      changed += await this.#db.transaction(async (tx) => {
        await lockMerging(tx);
        const ids = await notThere(tx, part, wasAsked, this.#clock.now());
        await this.#tell(ids, tx);
        return ids.length;
      });
    }
    return changed;
  }

  /** each walks through all devices by id, a page at a time, as for assigning them anew. */
  async *each(): AsyncGenerator<Device> {
    for (let after = 0; ;) {
      const page = await devices(this.#db, 'resource_each', 'r.id > $1', [after], `order by r.id limit ${PAGE}`);
      yield* page;
      if (page.length < PAGE) return;
      after = page.at(-1)!.id;
    }
  }

  /** clearInstallFlags takes the install flag from machines whose client was not heard since; at most `limit` of them. */
  clearInstallFlags(before: Date, limit: number, via: Sql = this.#db): Promise<Aged[]> {
    return clearInstallFlags(via, before, this.#clock.now(), limit);
  }

  /** removeAged forgets machines that neither a source nor a client told of since; those with a live CCR stay. */
  async removeAged(before: Date, limit: number, via: Sql = this.#db): Promise<Aged[]> {
    const removed = await removeAged(via, before, limit);
    // With the last of them go the systems and places that none is left of.
    if (removed.length < limit && via === this.#db) await this.#forgetKinds();
    return removed;
  }

  async #forgetKinds(): Promise<void> {
    try {
      await this.#db.transaction(forgetKinds);
    } catch (error) {
      // Somebody writes machines for long; it will be done another day.
      if (!isLocked(error)) throw error;
    }
  }

  /** removeInactive forgets machines whose client was not heard since; those without a client, or with a live CCR, stay. */
  removeInactive(before: Date, limit: number, via: Sql = this.#db): Promise<Aged[]> {
    return removeInactive(via, before, limit);
  }

  /** remove forgets machines, with their sources; their CCRs and clients stay with the records that own them. */
  remove(ids: readonly number[], via: Sql = this.#db): Promise<number> {
    return via.count('delete from resource where id = any($1)', [ids]);
  }
}
