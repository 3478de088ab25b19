import type { BoundaryRecord } from '#records/boundary';
import type { CcrRecord, CcrRequest, CcrState } from '#records/ccr';
import { nameKey, type Device, type ResourceRecord } from '#records/resource';
import { excludedBy, type Point, type Site, type SiteRecord } from '#records/site';
import type { Sql } from '#store/database';
import { automatic, notWanted, type Automatic, type Wanted } from './automatic.ts';

/** SettleParts are the records that an assignment and an automatic CCR need. */
export interface SettleParts {
  site: SiteRecord;
  boundary: BoundaryRecord;
  resource: ResourceRecord;
  ccr: CcrRecord;
}

/** Settled counts what was done for some machines. */
export interface Settled {
  assigned: number;
  requested: number;
}

/** NoLonger is what site-wide push takes back: CCRs that it made, that no person has asked for since, and that its rules do not want now. */
export interface NoLonger {
  withdrawn: number;
}

/** Who asks for a CCR that no person asked for. */
const BY = 'site-wide push';

/** hostsOf are the hosts that points stand on, as names are compared. */
function hostsOf(points: readonly Point[]): Set<string> {
  return new Set(points.map(({ address }) => nameKey(new URL(address).hostname.replace(/^\[|\]$/g, ''))));
}

function isSiteSystem({ name, domain, fqdn, addresses }: Device, hosts: ReadonlySet<string>): boolean {
  const names = [name, fqdn ?? name, domain === '' ? name : `${name}.${domain}`, ...addresses];
  return names.some((one) => hosts.has(nameKey(one)));
}

/** assignNew gives a site to those of the machines that have none, by the boundaries as they are now; what only claims to exist gets none. */
export async function assignNew(parts: SettleParts, ids: readonly number[], tx: Sql): Promise<number> {
  const index = await parts.boundary.index(tx);
  if (!index.assigns || ids.length === 0) return 0;
  // A secondary site decides only about machines that its parent told it of.
  const isPrimary = (await parts.site.here(tx)).kind === 'primary';
  // Not a named statement, here and below: its plan would be kept from when the tables were small.
  const rows = await tx.query<{ id: number; addresses: string[]; ad_site: string | null }>(
    `select id, addresses, ad_site from resource where id = any($1) and assigned_site is null and trusted and not obsolete
       and ($2 or exists (select from resource_source s where s.resource_id = resource.id and s.method = 'pdr'))`,
    [ids, isPrimary],
  );
  const sites = rows.flatMap(({ id, addresses, ad_site }) => {
    const judged = index.judge({ addresses, adSite: ad_site ?? undefined });
    return judged ? [{ id, site: judged.site }] : [];
  });
  return sites.length === 0 ? 0 : parts.resource.assign(sites, tx);
}

interface Newest {
  id: number;
  state: CcrState;
  finished_at: Date | null;
  finished_by: string | null;
}

/** wantedOf gives what is asked of each of some machines before their clients and CCRs are looked at. */
async function wantedOf(parts: SettleParts, site: Site, devices: readonly Device[], tx: Sql): Promise<Wanted[]> {
  const hosts = hostsOf(await parts.site.points(undefined, tx));
  return devices.map((device) => ({
    site: site.code,
    push: site.settings.push,
    device,
    excludedBy: excludedBy(site.settings, { ...device, others: device.fqdn ? [device.fqdn] : [] }),
    isSiteSystem: isSiteSystem(device, hosts),
  }));
}

/** decideAll decides about machines as site-wide push would, with one look-up of each kind. */
export async function decideAll(
  parts: SettleParts,
  site: Site,
  devices: readonly Device[],
  now: Date,
  tx: Sql,
): Promise<Automatic[]> {
  const wanted = await wantedOf(parts, site, devices, tx);
  const rows = await tx.query<Newest>(
    `select r.id, c.state, c.finished_at, c.finished_by from resource r cross join lateral (
       select state, finished_at, finished_by from ccr where name_key = r.name_key and resource_id = r.id order by id desc limit 1) c
     where r.id = any($1)`,
    [devices.map(({ id }) => id)],
  );
  const newest = new Map(rows.map((row) => [row.id, row]));
  return devices.map((device, i) => {
    const ccr = newest.get(device.id);
    return automatic({
      ...wanted[i]!,
      ccr: ccr && { state: ccr.state, finishedAt: ccr.finished_at ?? undefined, withdrawn: ccr.finished_by === BY },
      againDays: site.settings.ccr.windowDays,
      now,
    });
  });
}

function requestOf(device: Device, includeDcs: boolean): CcrRequest {
  const { id, name, domain, addresses, smbPort } = device;
  return { name, domain, addresses, smbPort, resourceId: id, includeDcs, source: 'discovery', requestedBy: BY };
}

/** pushNew makes CCRs for those of the machines that site-wide push takes. */
export async function pushNew(parts: SettleParts, site: Site, ids: readonly number[], now: Date, tx: Sql): Promise<number> {
  if (!site.settings.push.enabled || ids.length === 0) return 0;
  const devices = await parts.resource.byIds(ids, tx);
  const decided = await decideAll(parts, site, devices, now, tx);
  const wanted = devices.filter((_, i) => decided[i]!.push);
  const includeDcs = site.settings.push.systems.includes('dcs');
  await parts.ccr.requestMany(
    wanted.map((device) => requestOf(device, includeDcs)),
    tx,
  );
  return wanted.length;
}

/**
 * withdraw takes back the CCRs of some machines that site-wide push made and would not make any more: it was switched off, also for their type only,
 * or the machines belong to another site now. What a person has asked for stays, and so does what only waits for the client to report.
 */
export async function withdraw(parts: SettleParts, site: Site, ids: readonly number[], tx: Sql): Promise<number> {
  if (ids.length === 0) return 0;
  const rows = await tx.query<{ id: number; resource_id: number }>(
    `select id, resource_id from ccr where resource_id = any($1) and finished_at is null and source = 'discovery' and state <> 'verifying'`,
    [ids],
  );
  if (rows.length === 0) return 0;
  const devices = await parts.resource.byIds(
    rows.map((row) => row.resource_id),
    tx,
  );
  const wanted = await wantedOf(parts, site, devices, tx);
  const left = new Set(devices.filter((_, i) => notWanted(wanted[i]!) !== undefined).map(({ id }) => id));
  const done = await parts.ccr.cancel(
    rows.filter((row) => left.has(row.resource_id)).map((row) => row.id),
    BY,
    tx,
  );
  return done.length;
}
