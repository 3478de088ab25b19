import type { Approval } from '#messages';

/** Client is an installed agent that registered with a management point. */
export interface Client {
  id: number;
  /** The SMSID, `GUID:…`. */
  guid: string;
  /** base64 SPKI of its key. */
  publicKey: string;
  resourceId: number | undefined;
  name: string;
  domain: string;
  fqdn: string;
  addresses: string[];
  hardwareId: string;
  os: string | undefined;
  osVersion: string | undefined;
  type: string | undefined;
  architecture: string | undefined;
  version: string;
  site: string | undefined;
  approval: Approval;
  approvedBy: string | undefined;
  blocked: boolean;
  obsolete: boolean;
  tokenId: string | undefined;
  lastAddress: string | undefined;
  registeredAt: Date;
  lastSeenAt: Date;
}

/** ClientRow is a row of table client. */
export interface ClientRow {
  id: number;
  guid: string;
  public_key: string;
  key_hash: Buffer;
  resource_id: number | null;
  name: string;
  name_key: string;
  domain: string;
  domain_key: string;
  fqdn: string;
  addresses: string[];
  hardware_id: string;
  os: string | null;
  os_version: string | null;
  type: string | null;
  architecture: string | null;
  version: string;
  site: string | null;
  approval: Approval;
  approved_by: string | null;
  blocked: boolean;
  obsolete: boolean;
  token_id: string | null;
  last_address: string | null;
  registered_at: Date;
  last_seen_at: Date;
}

/** clientOf turns a row into a Client. */
export function clientOf(row: ClientRow): Client {
  return {
    id: row.id,
    guid: row.guid,
    publicKey: row.public_key,
    resourceId: row.resource_id ?? undefined,
    name: row.name,
    domain: row.domain,
    fqdn: row.fqdn,
    addresses: row.addresses,
    hardwareId: row.hardware_id,
    os: row.os ?? undefined,
    osVersion: row.os_version ?? undefined,
    type: row.type ?? undefined,
    architecture: row.architecture ?? undefined,
    version: row.version,
    site: row.site ?? undefined,
    approval: row.approval,
    approvedBy: row.approved_by ?? undefined,
    blocked: row.blocked,
    obsolete: row.obsolete,
    tokenId: row.token_id ?? undefined,
    lastAddress: row.last_address ?? undefined,
    registeredAt: row.registered_at,
    lastSeenAt: row.last_seen_at,
  };
}
