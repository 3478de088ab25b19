import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';
import { raise } from '#base/errors';
import { KEY_ID, keyId, publicKeyFrom, rawPublic } from './key.ts';

/**
 * A sealed value, version 1:
 *   octet  0      version = 1
 *   octets 1-8    id of the receiver's key
 *   octets 9-40   the sender's X25519 public key, made for this value only
 *   then          AES-256-GCM ciphertext and its 16 octets of tag
 * Key and nonce are HKDF-SHA256 (RFC 5869) of the X25519 secret (RFC 7748 section 6.1), salted with both public keys. They serve one
 * value only, because the sender's key does. The head and the purpose are authenticated: a value sealed for one purpose or one
 * row opens for no other.
 */
const VERSION = 1;
const PUBLIC = 32;
const TAG = 16;
const HEAD = 1 + KEY_ID + PUBLIC;
const KEY = 32;
const NONCE = 12;
const INFO = 'pushpoint vault 1';

/** Sealer seals secrets that only the holder of the private key opens. */
export interface Sealer {
  /** seal closes a secret; opening it takes the same purpose, such as `account/CORP\push`. */
  seal(plain: Uint8Array | string, purpose: string): Uint8Array;
}

/** Vault opens what was sealed for its key; it never shows the key. */
export interface Vault extends Sealer {
  open(sealed: Uint8Array, purpose: string): Uint8Array;
  readonly publicKey: string;
}

function derive(secret: Uint8Array, sender: Uint8Array, receiver: Uint8Array): { key: Buffer; nonce: Buffer } {
  const octets = Buffer.from(hkdfSync('sha256', secret, Buffer.concat([sender, receiver]), INFO, KEY + NONCE));
  return { key: octets.subarray(0, KEY), nonce: octets.subarray(KEY) };
}

function bound(head: Uint8Array, purpose: string): Buffer {
  return Buffer.concat([head, Buffer.from(purpose)]);
}

/** sealWith seals for the holder of a public key given as 32 octets. */
export function sealWith(receiver: Uint8Array, plain: Uint8Array | string, purpose: string): Uint8Array {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  const sender = rawPublic(publicKey);
  const secret = diffieHellman({ privateKey, publicKey: publicKeyFrom(receiver) });
  const { key, nonce } = derive(secret, sender, receiver);
  const head = Buffer.concat([Buffer.of(VERSION), keyId(receiver), sender]);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG });
  cipher.setAAD(bound(head, purpose));
  const text = typeof plain === 'string' ? cipher.update(plain, 'utf8') : cipher.update(plain);
  return new Uint8Array(Buffer.concat([head, text, cipher.final(), cipher.getAuthTag()]));
}

/** What is worked out once for a private key: its public half, and the keys of values that it opened lately. */
interface Known {
  raw: Buffer;
  id: Buffer;
  values: Map<string, { key: KeyObject; nonce: Buffer }>;
}

/**
 * The password of an account is opened for each push, and the curve costs more than the rest of that. Whoever could read these keys in the
 * process's memory could read the private key beside them; they go with it.
 */
const known = new WeakMap<KeyObject, Known>();
const MOST_VALUES = 64;

function knownOf(privateKey: KeyObject): Known {
  let found = known.get(privateKey);
  if (!found) {
    const raw = rawPublic(privateKey);
    known.set(privateKey, (found = { raw, id: keyId(raw), values: new Map() }));
  }
  return found;
}

/** keep remembers the key of a value that opened; the oldest makes room. */
function keep({ values }: Known, name: string, value: { key: KeyObject; nonce: Buffer }): void {
  if (values.has(name)) return;
  if (values.size >= MOST_VALUES) values.delete(values.keys().next().value!);
  values.set(name, value);
}

/** isFor tells whether a value was sealed for the holder of this private key. */
export function isFor(privateKey: KeyObject, sealed: Uint8Array): boolean {
  return knownOf(privateKey).id.equals(sealed.subarray(1, 1 + KEY_ID));
}

function keyOf(privateKey: KeyObject, sender: Uint8Array, receiver: Uint8Array): { key: KeyObject; nonce: Buffer } {
  const { key, nonce } = derive(diffieHellman({ privateKey, publicKey: publicKeyFrom(sender) }), sender, receiver);
  return { key: createSecretKey(key), nonce };
}

/** openWith opens a sealed value with the private key. */
export function openWith(privateKey: KeyObject, sealed: Uint8Array, purpose: string): Uint8Array {
  if (sealed.length < HEAD + TAG || sealed[0] !== VERSION)
    throw raise('PP_STORE_VAULT_FORMAT', { purpose, length: sealed.length });
  const own = knownOf(privateKey);
  const mine = own.id;
  const theirs = Buffer.from(sealed.subarray(1, 1 + KEY_ID));
  if (!isFor(privateKey, sealed))
    throw raise('PP_STORE_VAULT_OTHER_KEY', { purpose, sealedFor: theirs.toString('hex'), have: mine.toString('hex') });
  const sender = sealed.subarray(1 + KEY_ID, HEAD);
  try {
    const name = Buffer.from(sender).toString('base64');
    const value = own.values.get(name) ?? keyOf(privateKey, sender, own.raw);
    const { key, nonce } = value;
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG });
    decipher.setAAD(bound(sealed.subarray(0, HEAD), purpose));
    decipher.setAuthTag(sealed.subarray(-TAG));
    const plain = decipher.update(sealed.subarray(HEAD, -TAG));
    const whole = new Uint8Array(Buffer.concat([plain, decipher.final()]));
    keep(own, name, value);
    return whole;
  } catch {
    // No cause goes along: what OpenSSL says does not help, and nothing that touched the plain text leaves here.
    throw raise('PP_STORE_VAULT_BROKEN', { purpose });
  }
}
