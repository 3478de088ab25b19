import { createHash, createHmac, createPublicKey, sign, timingSafeEqual, verify, type KeyObject } from 'node:crypto';
import { gunzip, gzip } from 'node:zlib';
import * as Type from 'typebox';
import { Check, Errors } from 'typebox/value';
import { raise } from '#base/errors';
import { Instant, SiteCode, TokenId, text } from './fields.ts';

/**
 * What travels between a site and its parent: a child dials, POSTs a batch to /hierarchy/v1/exchange and gets one back. Each message is
 * gzipped JSON, signed with the ECDSA P-256 key of the site that sends it. The signature (r || s) is over
 *
 *     pushpoint link 1 \n request|answer \n METHOD target \n status \n from \n to \n time \n nonce \n hex SHA-256 of the octets sent
 *
 * where an answer repeats the nonce of its request, so that it is an answer to nothing else; status is empty in a request. The signature is
 * checked before anything is unpacked.
 */

/** LINK_HEADERS are the header names of messages between sites. */
export const LINK_HEADERS = {
  from: 'x-pushpoint-from',
  to: 'x-pushpoint-to',
  time: 'x-pushpoint-time',
  nonce: 'x-pushpoint-nonce',
  signature: 'x-pushpoint-signature',
} as const;

/** A message has at most so many octets as it is sent, and so many unpacked. */
export const LINK_LARGEST = { packed: 8 * 1024 * 1024, unpacked: 24 * 1024 * 1024 } as const;

/** Envelope is what a signature between sites covers, beside the octets. */
export interface Envelope {
  method: string;
  target: string;
  /** Of an answer. */
  status?: number;
  from: string;
  to: string;
  time: string;
  nonce: string;
}

function covered(envelope: Envelope, body: Uint8Array): Buffer {
  const { method, target, status, from, to, time, nonce } = envelope;
  const digest = createHash('sha256').update(body).digest('hex');
  const direction = status === undefined ? 'request' : 'answer';
  const parts = ['pushpoint link 1', direction, `${method} ${target}`, status ?? '', from, to, time, nonce, digest];
  return Buffer.from(parts.join('\n'));
}

/** signLink makes the headers of a message between sites. */
export function signLink(key: KeyObject, envelope: Envelope, body: Uint8Array): Record<string, string> {
  const { from, to, time, nonce } = envelope;
  const signature = sign('sha256', covered(envelope, body), { key, dsaEncoding: 'ieee-p1363' }).toString('base64');
  return {
    [LINK_HEADERS.from]: from,
    [LINK_HEADERS.to]: to,
    [LINK_HEADERS.time]: time,
    [LINK_HEADERS.nonce]: nonce,
    [LINK_HEADERS.signature]: signature,
  };
}

/** LinkClaim is what the headers of a message between sites say, not yet verified. */
export interface LinkClaim {
  from: string;
  to: string;
  time: string;
  nonce: string;
  signature: Uint8Array;
}

/** readLinkClaim takes it out of the headers, or gives undefined where they are not all there in their form. */
export function readLinkClaim(headers: Record<string, string | string[] | undefined>): LinkClaim | undefined {
  const one = (name: string, right: RegExp) => {
    const value = headers[name];
    return typeof value === 'string' && right.test(value) ? value : undefined;
  };
  const from = one(LINK_HEADERS.from, /^[A-Z0-9]{3}$/);
  const to = one(LINK_HEADERS.to, /^[A-Z0-9]{3}$/);
  const time = one(LINK_HEADERS.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const nonce = one(LINK_HEADERS.nonce, /^[A-Za-z0-9_-]{22,64}$/);
  const signature = one(LINK_HEADERS.signature, /^[A-Za-z0-9+/]{86}==$/);
  if (!from || !to || !time || !nonce || !signature) return undefined;
  return { from, to, time, nonce, signature: Buffer.from(signature, 'base64') };
}

/** linkHolds tells whether the holder of a public key (base64 SPKI) signed this message. */
export function linkHolds(publicKey: string, envelope: Envelope, body: Uint8Array, signature: Uint8Array): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
    return verify('sha256', covered(envelope, body), { key, dsaEncoding: 'ieee-p1363' }, signature);
  } catch {
    return false;
  }
}

/** packLink makes the octets of a message. */
export function packLink(json: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    gzip(json, { level: 3 }, (error, packed) => (error ? reject(error) : resolve(packed)));
  });
}

/** unpackLink reads a message; a bomb is given up at the bound, and what does not have the shape is PP_LINK_MALFORMED. */
export async function unpackLink<S extends Type.TSchema>(schema: S, packed: Uint8Array): Promise<Type.Static<S>> {
  const octets = await new Promise<Buffer>((resolve, reject) => {
    gunzip(packed, { maxOutputLength: LINK_LARGEST.unpacked }, (error, plain) => {
      if (!error) return resolve(plain);
      const why =
        (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'it is too large unpacked' : 'it cannot be unpacked';
      reject(raise('PP_LINK_MALFORMED', { why }));
    });
  });
  return readLink(schema, octets);
}

/** readLink reads a message that is not packed. */
export function readLink<S extends Type.TSchema>(schema: S, octets: Uint8Array): Type.Static<S> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(octets));
  } catch {
    throw raise('PP_LINK_MALFORMED', { why: 'it is no JSON in UTF-8' });
  }
  if (Check(schema, value)) return value;
  const first = Errors(schema, value)[0];
  throw raise('PP_LINK_MALFORMED', { why: `${first?.instancePath ?? ''} ${first?.message ?? 'has another shape'}`.trim() });
}

const Key = Type.String({ minLength: 40, maxLength: 200, pattern: '^[A-Za-z0-9+/]+={0,2}$' });
const Whole = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Kind = Type.Union([Type.Literal('primary'), Type.Literal('secondary')]);
const Path = Type.Array(SiteCode, { maxItems: 64 });
const Nonce = Type.String({ pattern: '^[A-Za-z0-9_-]{22,64}$' });
const Digest = Type.String({ pattern: '^([0-9a-f]{64})?$' });

/** LinkHello is what a site says of itself to anybody who asks. */
export const LinkHello = Type.Object({
  site: SiteCode,
  kind: Kind,
  version: text(32),
  publicKey: Key,
  sealKey: Key,
  path: Path,
  serverTime: Instant,
});
export type LinkHello = Type.Static<typeof LinkHello>;

/** LinkJoin asks to become a child; `mac` proves the token for everything that stands beside it and for the parent's keys. */
export const LinkJoin = Type.Object({
  tokenId: TokenId,
  code: SiteCode,
  kind: Kind,
  publicKey: Key,
  sealKey: Key,
  /** The sites below the one that joins. */
  branch: Type.Array(SiteCode, { maxItems: 1000 }),
  version: text(32),
  /** SHA-256 of the TLS key that the child saw; empty over plain HTTP. */
  pin: Digest,
  nonce: Nonce,
  mac: Digest,
});
export type LinkJoin = Type.Static<typeof LinkJoin>;

/** LinkJoined is the answer; its `mac` proves that the parent holds the token too. */
export const LinkJoined = Type.Object({ site: SiteCode, path: Path, version: text(32), serverTime: Instant, mac: Digest });
export type LinkJoined = Type.Static<typeof LinkJoined>;

/** joinMac is the proof of either side for one join, over both sites, their keys, the branch and the TLS key. */
export function joinMac(
  tokenKey: Uint8Array,
  side: 'child' | 'parent',
  parent: Pick<LinkHello, 'site' | 'publicKey' | 'sealKey'>,
  join: Omit<LinkJoin, 'mac'>,
): string {
  const parts = [
    'pushpoint join 1',
    side,
    join.tokenId,
    parent.site,
    parent.publicKey,
    parent.sealKey,
    join.code,
    join.kind,
    join.publicKey,
    join.sealKey,
    join.branch.join(','),
    join.version,
    join.pin,
    join.nonce,
  ];
  return createHmac('sha256', tokenKey).update(parts.join('\n')).digest('hex');
}

/** macHolds compares two such proofs in a time that does not depend on where they differ. */
export function macHolds(right: string, given: string): boolean {
  const [a, b] = [Buffer.from(right, 'hex'), Buffer.from(given, 'hex')];
  return a.length === b.length && timingSafeEqual(a, b);
}

const Mark = Type.Object({ stream: Whole, seq: Whole });

/** LinkBatch is a run of items of a stream; the first has the number `first`. */
export const LinkBatch = Type.Object({
  stream: Whole,
  first: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  items: Type.Array(
    Type.Object({
      kind: Type.String({ minLength: 1, maxLength: 40, pattern: '^[a-z][a-z0-9-]*$' }),
      key: Type.String({ maxLength: 1000 }),
      to: SiteCode,
      origin: SiteCode,
      body: Type.Unknown(),
    }),
    { maxItems: 5000 },
  ),
});
export type LinkBatch = Type.Static<typeof LinkBatch>;

const Said = { version: text(32), sealKey: Key, time: Instant, session: text(64) };

/**
 * LinkRequest is what a child sends: `begin` opens a session and learns how far the parent has come; `send` brings a batch; `poll` says how
 * far this site has come and waits for the parent's next batch.
 */
export const LinkRequest = Type.Object({
  ...Said,
  what: Type.Union([Type.Literal('begin'), Type.Literal('send'), Type.Literal('poll')]),
  /** Counts the polls of a session, so that one that comes late is not taken for a site that went back in time. */
  turn: Whole,
  /** Another one each time the child's server starts. */
  instance: Type.Optional(text(64)),
  waitMs: Type.Integer({ minimum: 0, maximum: 60_000 }),
  ack: Type.Optional(Mark),
  batch: Type.Optional(LinkBatch),
});
export type LinkRequest = Type.Static<typeof LinkRequest>;

/** LinkAnswer is what the parent answers. */
export const LinkAnswer = Type.Object({
  ...Said,
  /** The parent and its own parents. */
  path: Path,
  ack: Type.Optional(Mark),
  batch: Type.Optional(LinkBatch),
});
export type LinkAnswer = Type.Static<typeof LinkAnswer>;

/** LinkPin is the SHA-256 of the TLS key of the listener that a parent answers on, empty where it does not know it. */
export const LinkPin = Type.Object({ pin: Digest });
export type LinkPin = Type.Static<typeof LinkPin>;

/** LinkTokenFile is the file that a token for joining travels in. */
export const LinkTokenFile = Type.Object({
  format: Type.Literal('pushpoint site token 1'),
  parent: SiteCode,
  publicKey: Key,
  token: TokenId,
  secret: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }),
  expiresAt: Instant,
});
export type LinkTokenFile = Type.Static<typeof LinkTokenFile>;
