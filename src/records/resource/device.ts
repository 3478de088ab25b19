import type { Approval } from '#messages';
import type { Sql } from '#store/database';
import type { StoredTold } from './told.ts';

export type SystemType = 'workstation' | 'server' | 'dc' | 'unknown';

/** Source says by which method and at which site a machine was discovered, and when last. */
export interface Source {
  method: string;
  site: string;
  at: Date;
}

/** DeviceClient is what is known of the client on a machine. */
export interface DeviceClient {
  /**
   * The install flag: an approved client that registered here, or one that a push saw on the machine, since the flag was last cleared; what
   * only claims to be one does not count.
   */
  installed: boolean;
  version?: string | undefined;
  guid?: string | undefined;
  site?: string | undefined;
  approval?: Approval | undefined;
  blocked: boolean;
  lastSeenAt?: Date | undefined;
}

/** Device is a resource as people and the other parts see it. */
export interface Device {
  id: number;
  name: string;
  domain: string;
  domainKey: string;
  fqdn?: string | undefined;
  guid?: string | undefined;
  hardwareId?: string | undefined;
  addresses: string[];
  macs: string[];
  os?: string | undefined;
  osVersion?: string | undefined;
  osBuild?: number | undefined;
  architecture?: string | undefined;
  type: SystemType;
  adSite?: string | undefined;
  ou?: string | undefined;
  /** Properties with the flag KEY, 'NAME=VALUE'. */
  keys: string[];
  /** Who told its properties. */
  told: StoredTold;
  smbPort?: number | undefined;
  sshPort?: number | undefined;
  assignedSite?: string | undefined;
  /** trusted: at least one source that is not the machine's own claim; without it no credential is ever sent there. */
  trusted: boolean;
  sources: Source[];
  client: DeviceClient;
  createdAt: Date;
  changedAt: Date;
}

interface DeviceRow {
  id: number;
  name: string;
  name_key: string;
  domain: string;
  domain_key: string;
  fqdn: string | null;
  guid: string | null;
  hardware_id: string | null;
  addresses: string[];
  macs: string[];
  os: string | null;
  os_version: string | null;
  os_build: number | null;
  architecture: string | null;
  type: SystemType;
  ad_site: string | null;
  ou: string | null;
  keys: string[];
  told: StoredTold;
  smb_port: number | null;
  ssh_port: number | null;
  assigned_site: string | null;
  trusted: boolean;
  seen_client_version: string | null;
  seen_client_site: string | null;
  seen_at: Date | null;
  client_cleared_at: Date | null;
  created_at: Date;
  changed_at: Date;
  sources: { method: string; site: string; at: string }[];
  c_guid: string | null;
  c_version: string | null;
  c_site: string | null;
  c_approval: Approval | null;
  c_believed: boolean | null;
  c_blocked: boolean | null;
  c_seen: Date | null;
}

/** The newest client of each resource and its sources stand beside it; both are looked up by index, for the rows of one page only. */
const COLUMNS = `
  select r.*, c.guid as c_guid, c.version as c_version, c.site as c_site, c.approval as c_approval, c.believed as c_believed, c.blocked as c_blocked,
    c.last_seen_at as c_seen,
    (select coalesce(jsonb_agg(jsonb_build_object('method', s.method, 'site', s.site, 'at', s.at) order by s.at desc, s.method), '[]')
     from resource_source s where s.resource_id = r.id) as sources`;

/** WITH_CLIENT joins the newest client of a resource r, as c. */
export const WITH_CLIENT = ` left join lateral (
    select guid, version, site, approval, believed, blocked, last_seen_at from client
    where resource_id = r.id and not obsolete order by believed desc, last_seen_at desc limit 1
  ) c on true`;

const SELECT = `${COLUMNS} from resource r ${WITH_CLIENT}`;

function isFlagged(row: DeviceRow): boolean {
  const since = (at: Date | null) => row.client_cleared_at === null || (at !== null && at > row.client_cleared_at);
  return (row.c_believed === true && since(row.c_seen)) || (row.seen_client_version !== null && since(row.seen_at));
}

function clientOf(row: DeviceRow): DeviceClient {
  return {
    installed: isFlagged(row),
    version: row.c_version ?? row.seen_client_version ?? undefined,
    guid: row.c_guid ?? undefined,
    site: row.c_site ?? row.seen_client_site ?? undefined,
    approval: row.c_approval ?? undefined,
    blocked: row.c_blocked ?? false,
    lastSeenAt: row.c_seen ?? row.seen_at ?? undefined,
  };
}

function deviceOf(row: DeviceRow): Device {
  return {
    id: row.id,
    name: row.name,
    domain: row.domain,
    domainKey: row.domain_key,
    fqdn: row.fqdn ?? undefined,
    guid: row.guid ?? undefined,
    hardwareId: row.hardware_id ?? undefined,
    addresses: row.addresses,
    macs: row.macs,
    os: row.os ?? undefined,
    osVersion: row.os_version ?? undefined,
    osBuild: row.os_build ?? undefined,
    architecture: row.architecture ?? undefined,
    type: row.type,
    adSite: row.ad_site ?? undefined,
    ou: row.ou ?? undefined,
    keys: row.keys,
    told: row.told,
    smbPort: row.smb_port ?? undefined,
    sshPort: row.ssh_port ?? undefined,
    assignedSite: row.assigned_site ?? undefined,
    trusted: row.trusted,
    sources: row.sources.map((s) => ({ ...s, at: new Date(s.at) })),
    client: clientOf(row),
    createdAt: row.created_at,
    changedAt: row.changed_at,
  };
}

/** devices gives the resources that a condition on `r` picks, obsolete ones left out; `tail` orders and limits. A fixed one has a `name`. */
export async function devices(sql: Sql, name: string, where: string, values: readonly unknown[], tail = ''): Promise<Device[]> {
  const text = `${SELECT} where not r.obsolete and (${where}) ${tail}`;
  const rows = name === '' ? await sql.query<DeviceRow>(text, values) : await sql.exec<DeviceRow>({ name, text }, values);
  return rows.map(deviceOf);
}

/** devicesPicked gives the devices that a statement picks by their id, by name; their clients and sources are looked up for these only. */
export async function devicesPicked(sql: Sql, picked: string, values: readonly unknown[]): Promise<Device[]> {
  const text = `${COLUMNS} from (${picked}) picked join resource r on r.id = picked.id ${WITH_CLIENT} order by r.name_key, r.domain_key`;
  return (await sql.query<DeviceRow>(text, values)).map(deviceOf);
}
