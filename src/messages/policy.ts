import * as Type from 'typebox';
import { FileName, Guid, Instant, PointUrl, Sha256, SiteCode, Version, text } from './fields.ts';
import { Requires } from './mobile-client.ts';
import { Approval } from './registration.ts';

/**
 * What the site wants of one client. `GET /ccm_system/policy` is signed with the client's SMSID as a heartbeat is (the body is empty, and the
 * signature covers that). Its ETag is the revision in quotes: with `If-None-Match` a client that has this revision hears 304. The reply to a
 * heartbeat names the revision too (`policyRevision`), so that a client asks when something changed, and every `policyMinutes` besides.
 * A blocked client is refused with PP_CLIENT_BLOCKED; one that nobody approved gets all of it but `secrets`, and of what is asked of whole
 * collections and sites nothing.
 */

/** PolicyFile is a file of the client content, by its hash: `GET /CCM_Client/<sha256>/<name>`. */
export const PolicyFile = Type.Object({
  name: FileName,
  sha256: Sha256,
  size: Type.Integer({ minimum: 0, maximum: 4_294_967_296 }),
});
export type PolicyFile = Type.Static<typeof PolicyFile>;

/** PolicyUpgrade asks the client to install these files unless it is of this version already; not before a time where one is given. */
export const PolicyUpgrade = Type.Object({
  version: Version,
  files: Type.Array(PolicyFile, { minItems: 1, maxItems: 256 }),
  /** Which of the files is the bootstrap; absent: the one called ccmsetup. */
  bootstrap: Type.Optional(FileName),
  arguments: Type.Optional(text(1024)),
  /** Which of them the bootstrap installs; absent: the other one. */
  payload: Type.Optional(FileName),
  /** The command that installs it, as in mobileclient.tcf. */
  command: Type.Optional(text(1024)),
  /** What a machine must have, and which of the files are installed first, in this order; as in mobileclient.tcf. */
  requires: Type.Optional(Requires),
  prerequisites: Type.Optional(
    Type.Array(Type.Object({ file: FileName, command: text(1024), check: Type.Optional(text(500)) }), { maxItems: 8 }),
  ),
  notBefore: Type.Optional(Instant),
});
export type PolicyUpgrade = Type.Static<typeof PolicyUpgrade>;

/** PolicyMigrate asks the client to leave for another site, or for other management points of this one. */
export const PolicyMigrate = Type.Object({
  site: SiteCode,
  managementPoints: Type.Array(PointUrl, { minItems: 1, maxItems: 32 }),
});
export type PolicyMigrate = Type.Static<typeof PolicyMigrate>;

/** Policy is all that a site wants of a client; whatever is absent is left as the client has it. */
export const Policy = Type.Object({
  /** Changes whenever anything below does; nothing else can be read from it. */
  revision: text(64),
  site: SiteCode,
  approval: Approval,
  heartbeatMinutes: Type.Integer({ minimum: 1, maximum: 60 * 24 * 90 }),
  policyMinutes: Type.Integer({ minimum: 1, maximum: 60 * 24 * 90 }),
  /** 0 = everything to 3 = errors only, as CCMLOGLEVEL. */
  logLevel: Type.Optional(Type.Integer({ minimum: 0, maximum: 3 })),
  cacheMegabytes: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_048_576 })),
  /** In order of preference; empty means: keep what you have. */
  managementPoints: Type.Array(PointUrl, { maxItems: 32 }),
  fallbackStatusPoint: Type.Optional(PointUrl),
  upgrade: Type.Optional(PolicyUpgrade),
  migrate: Type.Optional(PolicyMigrate),
  uninstall: Type.Optional(Type.Literal(true)),
  /** Only for approved clients; each sealed for the key of the client (sealed.ts). */
  secrets: Type.Optional(
    Type.Record(Type.String({ maxLength: 64, pattern: '^[A-Za-z][A-Za-z0-9._-]*$' }), Type.String({ maxLength: 8192 })),
  ),
});
export type Policy = Type.Static<typeof Policy>;

/**
 * Farewell is the last thing a client says before it forgets its key (POST /ccm_system/farewell, signed as a heartbeat): it is being
 * removed, or it moves to another site. The site then expects no sign of life of it, and an uninstall or migration that it asked for is done.
 */
export const Farewell = Type.Object({
  guid: Guid,
  reason: Type.Union([Type.Literal('uninstall'), Type.Literal('migrate')]),
  sentAt: Instant,
});
export type Farewell = Type.Static<typeof Farewell>;

/** FarewellReply says that the site took note. */
export const FarewellReply = Type.Object({ accepted: Type.Literal(true), serverTime: Instant });
export type FarewellReply = Type.Static<typeof FarewellReply>;
