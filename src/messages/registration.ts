import * as Type from 'typebox';
import {
  Addresses,
  DomainName,
  Guid,
  HostName,
  Instant,
  MachineName,
  OperatingSystem,
  PointUrl,
  SiteCode,
  TokenId,
  Uuid,
  Version,
  text,
} from './fields.ts';

/**
 * Registration is how a client makes itself known (POST /ccm_system/registration). It is signed by the key it brings (headers of
 * signing.ts, without `x-pushpoint-client`). The same `requestId` with the same key is the same registration, however often it comes.
 */
export const Registration = Type.Object({
  requestId: Uuid,
  /** base64 SPKI of the client's own P-256 key. */
  publicKey: Type.String({ minLength: 124, maxLength: 124, pattern: '^[A-Za-z0-9+/]+={0,2}$' }),
  /** The SMSID the client had before, when it still knows one. */
  guid: Type.Optional(Guid),
  name: MachineName,
  domain: DomainName,
  fqdn: HostName,
  addresses: Addresses,
  os: OperatingSystem,
  architecture: Type.Optional(text(16)),
  hardwareId: text(128),
  clientVersion: Version,
  site: Type.Optional(SiteCode),
  /** The one-time token that came with the push, and the proof that its secret is held; both or none. */
  tokenId: Type.Optional(TokenId),
  tokenProof: Type.Optional(Type.String({ minLength: 44, maxLength: 44, pattern: '^[A-Za-z0-9+/]{43}=$' })),
  /** When this was signed; the token's proof covers it. */
  time: Instant,
});
export type Registration = Type.Static<typeof Registration>;

/** Approval is what the site thinks of a client (facts F1): pending until it is decided, and rejected is decided too. */
export const Approval = Type.Union([Type.Literal('approved'), Type.Literal('pending'), Type.Literal('rejected')]);
export type Approval = Type.Static<typeof Approval>;

/** ServerWishes are what each reply of an MP tells a client to do from now on. */
const ServerWishes = {
  site: SiteCode,
  approval: Approval,
  heartbeatMinutes: Type.Integer({ minimum: 1, maximum: 60 * 24 * 90 }),
  /** In order of preference; empty means: keep what you have. */
  managementPoints: Type.Array(PointUrl, { maxItems: 32 }),
  /** The revision of the client's policy (policy.ts); a client asks for it when it has another one. */
  policyRevision: Type.Optional(text(64)),
  serverTime: Instant,
};

/** RegistrationReply gives a client its SMSID. */
export const RegistrationReply = Type.Object({ guid: Guid, ...ServerWishes });
export type RegistrationReply = Type.Static<typeof RegistrationReply>;

/** Heartbeat is the sign of life of a registered client (POST /ccm_system/heartbeat, signed with its SMSID). */
export const Heartbeat = Type.Object({
  guid: Guid,
  name: MachineName,
  domain: DomainName,
  fqdn: HostName,
  addresses: Addresses,
  os: OperatingSystem,
  architecture: Type.Optional(text(16)),
  hardwareId: text(128),
  clientVersion: Version,
  /** Grows with each heartbeat of one key; a lower one than the last is old news. */
  sequence: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  /** When the agent was started. */
  startedAt: Instant,
  sentAt: Instant,
});
export type Heartbeat = Type.Static<typeof Heartbeat>;

/** HeartbeatReply is the answer to it. */
export const HeartbeatReply = Type.Object({
  ...ServerWishes,
  /** The message was not news, because this sequence number was there already: a client that was set back goes on from here, at once. */
  lastSequence: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
});
export type HeartbeatReply = Type.Static<typeof HeartbeatReply>;
