import { createPublicKey, hash, sign as ecdsaSign, timingSafeEqual, verify as ecdsaVerify, type KeyObject } from 'node:crypto';
import { isCode, raise } from '#base/errors';
import { Guid, Instant, TokenId, matches } from './fields.ts';
import { hmac } from './token.ts';

/**
 * Signed requests of clients. The signature is over
 *
 *     METHOD \n request-target as sent \n time \n nonce \n hex SHA-256 of the body
 *
 * and stands in the headers below. A client signs with its own ECDSA P-256 key and SHA-256; the signature is r || s, 64 octets (IEEE
 * P1363), because that is what Windows' bcrypt gives and takes, so that the agent in C needs no DER. A bootstrap that has no key yet signs
 * with its one-time token: HMAC-SHA256 with SHA-256(secret). A registration is signed by the new key that stands in its own body.
 *
 * Time: the site accepts what lies within `SIGNATURE_WINDOW_MS` of its own clock, either way, else PP_MSG_TIME_OFF; the refusal carries the
 * site's time (Problem.serverTime), and the client signs once more with that offset, because PCs with a flat battery exist.
 * Nonce: 16 random octets, used once. The site remembers the nonces of verified requests for the whole window (`Nonces`); it must verify
 * first and remember after, so that a stranger cannot burn or fill anything.
 */

/** SIGNATURE_WINDOW_MS is how far the clocks of client and site may be apart. */
export const SIGNATURE_WINDOW_MS = 15 * 60_000;

/** SIGNATURE_HEADERS are the header names, as Node gives them. */
export const SIGNATURE_HEADERS = {
  client: 'x-pushpoint-client',
  token: 'x-pushpoint-token',
  time: 'x-pushpoint-time',
  nonce: 'x-pushpoint-nonce',
  signature: 'x-pushpoint-signature',
} as const;

/** SignableRequest is what the signature covers of an HTTP request; `path` is the request target as sent, with its query. */
export interface SignableRequest {
  method: string;
  path: string;
  body: Uint8Array;
}

/** Signer is who signs: a registered client, a key that is about to register, or the holder of a one-time token. */
export type Signer = { client?: string; privateKey: KeyObject } | { token: string; tokenKey: Uint8Array };

/** Claim is what a signed request says of its signer, not yet verified. */
export interface Claim {
  /** SMSID, of a registered client. */
  client?: string;
  /** Token id, of a bootstrap. */
  token?: string;
  time: string;
  nonce: string;
  signature: Uint8Array;
}

/** VerificationKey is what the site holds of a signer: the public key (base64 SPKI) or the token's key. */
export type VerificationKey = { publicKey: string } | { tokenKey: Uint8Array };

function canonical(request: SignableRequest, time: string, nonce: string): Buffer {
  const digest = hash('sha256', request.body, 'hex');
  return Buffer.from(`${request.method.toUpperCase()}\n${request.path}\n${time}\n${nonce}\n${digest}`, 'utf8');
}

/** signRequest makes the headers of a signed request. */
export function signRequest(request: SignableRequest, signer: Signer, at: { time: Date; nonce: string }): Record<string, string> {
  const time = at.time.toISOString();
  const message = canonical(request, time, at.nonce);
  const headers: Record<string, string> = { [SIGNATURE_HEADERS.time]: time, [SIGNATURE_HEADERS.nonce]: at.nonce };
  if ('token' in signer) {
    headers[SIGNATURE_HEADERS.token] = signer.token;
    headers[SIGNATURE_HEADERS.signature] = hmac(signer.tokenKey, message).toString('base64');
    return headers;
  }
  if (signer.client !== undefined) headers[SIGNATURE_HEADERS.client] = signer.client;
  const signature = ecdsaSign('sha256', message, { key: signer.privateKey, dsaEncoding: 'ieee-p1363' });
  headers[SIGNATURE_HEADERS.signature] = signature.toString('base64');
  return headers;
}

/** readClaim takes the claim out of a request's headers, or raises PP_MSG_UNSIGNED; the values are checked for form only. */
export function readClaim(headers: Record<string, string | string[] | undefined>): Claim {
  const one = (name: string, right: (value: string) => boolean, optional = false): string => {
    const value = headers[name];
    if (value === undefined && optional) return '';
    if (typeof value !== 'string' || !right(value)) throw raise('PP_MSG_UNSIGNED', { header: name });
    return value;
  };
  const client = one(SIGNATURE_HEADERS.client, (v) => matches(Guid, v), true);
  const token = one(SIGNATURE_HEADERS.token, (v) => matches(TokenId, v), true);
  if (client && token) throw raise('PP_MSG_UNSIGNED', { header: SIGNATURE_HEADERS.token });
  const time = one(SIGNATURE_HEADERS.time, (v) => matches(Instant, v));
  const nonce = one(SIGNATURE_HEADERS.nonce, (v) => /^[A-Za-z0-9_-]{22,64}$/.test(v));
  // One text for one signature: with bits to spare or without its padding it is another header than the one that was made.
  const signature = Buffer.from(
    one(
      SIGNATURE_HEADERS.signature,
      (v) => /^[A-Za-z0-9+/]{40,90}={0,2}$/.test(v) && Buffer.from(v, 'base64').toString('base64') === v,
    ),
    'base64',
  );
  return { ...(client && { client }), ...(token && { token }), time, nonce, signature };
}

/** verifyRequest raises PP_MSG_TIME_OFF or PP_MSG_SIGNATURE unless the holder of that key signed this request within the window. */
export function verifyRequest(request: SignableRequest, claim: Claim, key: VerificationKey, now: Date): void {
  const message = canonical(request, claim.time, claim.nonce);
  if (!holds(message, claim.signature, key)) throw raise('PP_MSG_SIGNATURE');
  checkTime(claim, now);
}

/** verifyRequestAside is verifyRequest, with the arithmetic of the curve done in another thread: a point that verifies thousands does other work meanwhile. */
export async function verifyRequestAside(
  request: SignableRequest,
  claim: Claim,
  key: { publicKey: KeyObject },
  now: Date,
): Promise<void> {
  const message = canonical(request, claim.time, claim.nonce);
  const signature = derOf(claim.signature);
  if (!signature || !(await holdsAside(message, signature, key.publicKey))) throw raise('PP_MSG_SIGNATURE');
  checkTime(claim, now);
}

function holdsAside(message: Buffer, signature: Uint8Array, key: KeyObject): Promise<boolean> {
  return new Promise((resolve) => {
    ecdsaVerify('sha256', message, key, signature, (error, right) => resolve(!error && right));
  });
}

/** integerOf is an unsigned number as DER writes it (X.690, section 8.3): as short as can be, and not negative. */
function integerOf(number: Uint8Array): Uint8Array {
  let from = 0;
  while (from < number.length - 1 && number[from] === 0) from++;
  const sign = number[from]! >= 0x80 ? [0] : [];
  return Uint8Array.of(0x02, sign.length + number.length - from, ...sign, ...number.subarray(from));
}

/**
 * derOf is r || s as ECDSA-Sig-Value (RFC 3279, section 2.2.3); undefined when it is no such thing. Node can read r || s itself, but asks the
 * library for a copy of the key each time to learn how long they are: verifying takes half as long again, most of it in the event loop.
 */
function derOf(signature: Uint8Array): Uint8Array | undefined {
  if (signature.length !== 64) return undefined;
  const [r, s] = [integerOf(signature.subarray(0, 32)), integerOf(signature.subarray(32))];
  return Buffer.concat([Uint8Array.of(0x30, r.length + s.length), r, s]);
}

function checkTime(claim: Claim, now: Date): void {
  const off = Math.abs(new Date(claim.time).getTime() - now.getTime());
  if (!(off <= SIGNATURE_WINDOW_MS)) throw raise('PP_MSG_TIME_OFF', { seconds: Math.round(off / 1000) });
}

function holds(message: Buffer, signature: Uint8Array, key: VerificationKey): boolean {
  if ('tokenKey' in key) {
    const right = hmac(key.tokenKey, message);
    return signature.length === right.length && timingSafeEqual(signature, right);
  }
  const der = derOf(signature);
  if (!der) return false;
  try {
    return ecdsaVerify('sha256', message, readPublicKey(key.publicKey), der);
  } catch (error) {
    if (isCode(error, 'PP_MSG_MALFORMED')) throw error;
    return false;
  }
}

/** publicKeyOf is the public half of a key as base64 SPKI, the form in which it is registered and compared. */
export function publicKeyOf(key: KeyObject): string {
  const half = key.type === 'private' ? createPublicKey(key) : key;
  return half.export({ type: 'spki', format: 'der' }).toString('base64');
}

/** The beginning of SubjectPublicKeyInfo for id-ecPublicKey on prime256v1, up to the mark of an uncompressed point (RFC 5480, section 2). */
const P256 = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');

/** readPublicKey takes such a text back; only P-256 in its one canonical form passes, so that one key has one text. */
export function readPublicKey(publicKey: string): KeyObject {
  const der = Buffer.from(publicKey, 'base64');
  // All that stands before the point is the same in every such key, so this is cheaper than to write the key again and compare.
  if (der.length !== P256.length + 64 || !der.subarray(0, P256.length).equals(P256) || der.toString('base64') !== publicKey) {
    throw raise('PP_MSG_MALFORMED', { message: 'publicKey', why: 'is not an uncompressed P-256 key (SPKI, base64)' });
  }
  try {
    // As PEM, because of all forms Node reads this one in the shortest time.
    return createPublicKey(`-----BEGIN PUBLIC KEY-----\n${publicKey}\n-----END PUBLIC KEY-----\n`);
  } catch (cause) {
    throw raise('PP_MSG_MALFORMED', { message: 'publicKey', why: 'is no point of P-256' }, { cause });
  }
}
