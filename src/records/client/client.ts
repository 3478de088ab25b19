import type { Approval, PolicyMigrate, PolicyUpgrade } from '#messages';

/** Proof is how a machine showed that it is the one it says it is: by the token of a push, or as a member of a trusted domain. */
export type Proof = 'token' | 'domain';

/** TrustRules are the settings of the site that say whom it believes. */
export interface TrustRules {
  /** Who is approved without a person: nobody, those that proved themselves, or everybody. */
  approval: 'manual' | 'proven' | 'all';
  /** What becomes of a hardware id that another client has: a record of its own, or a person decides. */
  conflicts: 'automatic' | 'manual';
  /** Whether a machine that was proven and installed anew keeps its record. */
  reimage: 'keep' | 'new';
}

/** trustRules are those of a new site. */
export const trustRules: TrustRules = { approval: 'proven', conflicts: 'automatic', reimage: 'keep' };

/** Wanted is what the site asks of one client beside its settings. */
export interface Wanted {
  upgrade?: PolicyUpgrade;
  migrate?: PolicyMigrate;
  uninstall?: true;
}

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
  /** How it showed who it is. */
  provenBy: Proof | undefined;
  /** Whether it is the machine it says it is, by a proof or by a person. */
  believed: boolean;
  blocked: boolean;
  obsolete: boolean;
  /** The site that told of it, where that is another one of the branch. */
  viaSite: string | undefined;
  tokenId: string | undefined;
  lastAddress: string | undefined;
  registeredAt: Date;
  lastSeenAt: Date;
  wanted: Wanted;
  /** Grows whenever what the site wants of it changes. */
  policySerial: number;
  /** Secrets of the policy, sealed for its key. */
  sealed: Record<string, string>;
  /** Proves the site's policy to a client that was pushed. */
  policyKey: Uint8Array | undefined;
}

/** ClientRow is a row of table client. */
export interface ClientRow {
  id: number;
  guid: string;
  public_key: string;
  key_hash: Buffer;
  request_id: string;
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
  proven_by: Proof | null;
  believed: boolean;
  blocked: boolean;
  blocked_by: string | null;
  obsolete: boolean;
  via_site: string | null;
  token_id: string | null;
  last_address: string | null;
  registered_at: Date;
  last_seen_at: Date;
  sequence: number;
  started_at: Date | null;
  started_before: Date | null;
  sent_at: Date | null;
  alarm: boolean;
  wanted: Wanted | null;
  policy_serial: number;
  sealed: Record<string, string> | null;
  policy_key: Buffer | null;
}

/** clientOf turns a row into a Client. */
export function clientOf(row: ClientRow): Client {
  return {
    ...knownOf(row),
    fqdn: row.fqdn,
    addresses: row.addresses,
    hardwareId: row.hardware_id,
    os: row.os ?? undefined,
    osVersion: row.os_version ?? undefined,
    type: row.type ?? undefined,
    architecture: row.architecture ?? undefined,
    version: row.version,
    site: row.site ?? undefined,
    approvedBy: row.approved_by ?? undefined,
    provenBy: row.proven_by ?? undefined,
    obsolete: row.obsolete,
    viaSite: row.via_site ?? undefined,
    tokenId: row.token_id ?? undefined,
    lastAddress: row.last_address ?? undefined,
    registeredAt: row.registered_at,
    lastSeenAt: row.last_seen_at,
  };
}

/** KNOWN are the columns of a KnownClient: a third of the row, because reading rows is a good part of what a request costs a point. */
export const KNOWN =
  'id, guid, public_key, name, domain, resource_id, approval, believed, blocked, wanted, policy_serial, sealed, policy_key';

/** KnownRow is such a part of a row. */
export type KnownRow = Pick<
  ClientRow,
  | 'id'
  | 'guid'
  | 'public_key'
  | 'name'
  | 'domain'
  | 'resource_id'
  | 'approval'
  | 'believed'
  | 'blocked'
  | 'wanted'
  | 'policy_serial'
  | 'sealed'
  | 'policy_key'
>;

/** KnownClient is what a point asks of a client with each of its requests. */
export type KnownClient = Pick<
  Client,
  | 'id'
  | 'guid'
  | 'publicKey'
  | 'name'
  | 'domain'
  | 'resourceId'
  | 'approval'
  | 'believed'
  | 'blocked'
  | 'wanted'
  | 'policySerial'
  | 'sealed'
  | 'policyKey'
>;

/** knownOf turns such a part of a row into what the point asks. */
export function knownOf(row: KnownRow): KnownClient {
  const { id, guid, public_key, name, domain, resource_id, approval, believed, blocked } = row;
  return {
    id,
    guid,
    publicKey: public_key,
    resourceId: resource_id ?? undefined,
    name,
    domain,
    approval,
    believed,
    blocked,
    wanted: row.wanted ?? {},
    policySerial: row.policy_serial,
    sealed: row.sealed ?? {},
    policyKey: row.policy_key ? new Uint8Array(row.policy_key) : undefined,
  };
}
