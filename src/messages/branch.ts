import * as Type from 'typebox';
import { Ddr } from './ddr.ts';
import { Guid, Instant, PointUrl, Sha256, SiteCode, TokenId, Uuid, Version, text } from './fields.ts';
import { Approval } from './registration.ts';
import { StateMessage } from './state.ts';

/** The bodies of what travels between sites (records/link carries them). Each is checked where it arrives, whoever signed it. */

const strict = { additionalProperties: false };
const Method = Type.String({ minLength: 1, maxLength: 32, pattern: '^[a-z][a-z0-9-]*$' });
const SiteKind = Type.Union([Type.Literal('primary'), Type.Literal('secondary')]);

/** SentDdr is a DDR on its way up: with the method, the site that discovered, and how far that site trusts the source. */
export const SentDdr = Type.Object({ ddr: Ddr, method: Method, site: SiteCode, trusted: Type.Boolean() }, strict);
export type SentDdr = Type.Static<typeof SentDdr>;

/** Pdr is a processed DDR on its way down to the site whose boundaries hold the machine: all that the primary knows of it, and `site`, where it belongs. */
export const Pdr = Type.Object({ ddr: Ddr, trusted: Type.Boolean(), site: Type.Optional(SiteCode) }, strict);
export type Pdr = Type.Static<typeof Pdr>;

/** SentSite is a site with its points. */
export const SentSite = Type.Object(
  {
    code: SiteCode,
    kind: SiteKind,
    parent: Type.Optional(SiteCode),
    /** What it runs. */
    version: Type.Optional(Version),
    points: Type.Array(
      Type.Object(
        {
          kind: Type.Union([Type.Literal('mp'), Type.Literal('slp'), Type.Literal('fsp')]),
          address: PointUrl,
          on: Type.Boolean(),
          pin: Type.Optional(Sha256),
        },
        strict,
      ),
      { maxItems: 8 },
    ),
  },
  strict,
);
export type SentSite = Type.Static<typeof SentSite>;

/** SentBoundary is a boundary as it was last changed; `gone` is the trace of one that was removed. */
export const SentBoundary = Type.Object(
  { boundary: text(200), site: SiteCode, roaming: Type.Boolean(), gone: Type.Boolean(), changedAt: Instant },
  strict,
);
export type SentBoundary = Type.Static<typeof SentBoundary>;

/** SentClient is a client as a site knows it. */
export const SentClient = Type.Object(
  {
    guid: Guid,
    publicKey: text(200),
    requestId: Uuid,
    name: text(63),
    domain: text(255),
    fqdn: text(255),
    addresses: Type.Array(text(64), { maxItems: 64 }),
    hardwareId: text(128),
    os: Type.Optional(text(128)),
    osVersion: Type.Optional(text(64)),
    type: Type.Optional(text(16)),
    architecture: Type.Optional(text(16)),
    version: text(32),
    site: Type.Optional(SiteCode),
    approval: Approval,
    approvedBy: Type.Optional(text(128)),
    /** How it showed who it is. */
    provenBy: Type.Optional(Type.Union([Type.Literal('token'), Type.Literal('domain')])),
    blocked: Type.Boolean(),
    obsolete: Type.Boolean(),
    tokenId: Type.Optional(TokenId),
    lastAddress: Type.Optional(text(64)),
    sequence: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    registeredAt: Instant,
    lastSeenAt: Instant,
  },
  strict,
);
export type SentClient = Type.Static<typeof SentClient>;

/**
 * SentDecision is what a person at the top of a branch decided about a client that seems to be somebody else, on its way down to the site
 * that has the client. That site takes it where it asks a person itself (the setting client.conflicts).
 */
export const SentDecision = Type.Object(
  {
    guid: Guid,
    action: Type.Union([Type.Literal('merge'), Type.Literal('new'), Type.Literal('block')]),
    into: Type.Optional(Guid),
    by: text(128),
    at: Instant,
  },
  strict,
);
export type SentDecision = Type.Static<typeof SentDecision>;

/** SentState is a state message of a client; `proven` tells a signed one from a hint. */
export const SentState = Type.Object({ message: StateMessage, proven: Type.Boolean() }, strict);
export type SentState = Type.Static<typeof SentState>;

/** SentCcr is the state of a CCR of another site. The CCR itself never travels up (D1); this is only to look at. */
export const SentCcr = Type.Object(
  {
    /** The site that has it, where that is one below the site that tells. */
    site: Type.Optional(SiteCode),
    id: Type.Integer({ minimum: 1 }),
    name: text(63),
    domain: text(255),
    state: text(16),
    source: text(16),
    attempts: Type.Integer({ minimum: 0 }),
    lastErrorCode: Type.Optional(Type.Integer()),
    lastError: Type.Optional(text(64)),
    firstRequestedAt: Instant,
    lastAttemptAt: Type.Optional(Instant),
    nextAttemptAt: Type.Optional(Instant),
    finishedAt: Type.Optional(Instant),
  },
  strict,
);
export type SentCcr = Type.Static<typeof SentCcr>;

/** SentPackage is a package of the parent: its definition, and its files by their hashes; the files themselves are fetched. */
export const SentPackage = Type.Object(
  {
    name: text(64),
    gone: Type.Boolean(),
    definition: Type.Optional(Type.Unknown()),
    isDefault: Type.Boolean(),
    files: Type.Array(
      Type.Object({ name: text(128), sha256: Sha256, size: Type.Integer({ minimum: 0, maximum: 4_294_967_296 }) }, strict),
      { maxItems: 256 },
    ),
  },
  strict,
);
export type SentPackage = Type.Static<typeof SentPackage>;
