import { createPrivateKey, createPublicKey, generateKeyPairSync, hash, type KeyObject } from 'node:crypto';
import { raise } from '#base/errors';

/** The DER wrapping of 32 raw octets as X25519 keys (RFC 8410 sections 4 and 7). */
const PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex');
const SPKI = Buffer.from('302a300506032b656e032100', 'hex');
const RAW = 32;
/** The first word of a private key in text form; it names the version and keeps other secrets from being taken for one. */
const MARK = 'pushpoint-vault-key-1';
export const KEY_ID = 8;

/** rawPublic gives the 32 octets of a public key, or of the one that belongs to a private key. */
export function rawPublic(key: KeyObject): Buffer {
  const publicKey = key.type === 'public' ? key : createPublicKey(key);
  return publicKey.export({ format: 'der', type: 'spki' }).subarray(SPKI.length);
}

/** publicKeyFrom makes a key of 32 octets; the caller knows that there are 32. */
export function publicKeyFrom(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI, raw]), format: 'der', type: 'spki' });
}

/** keyId tells keys apart without telling anything about them. */
export function keyId(raw: Uint8Array): Buffer {
  return hash('sha256', raw, 'buffer').subarray(0, KEY_ID);
}

/** generateKey gives a new private key in text form, for a file. */
export function generateKey(): string {
  const { privateKey } = generateKeyPairSync('x25519');
  const raw = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(PKCS8.length);
  return `${MARK} ${raw.toString('base64')}\n`;
}

function octets(text: string): Buffer | undefined {
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(text)) return undefined;
  const raw = Buffer.from(text, 'base64');
  return raw.length === RAW ? raw : undefined;
}

/** readPrivateKey reads the text form; `where` is told in the error, the text never. */
export function readPrivateKey(text: string, where: string): KeyObject {
  const [mark, key = '', ...rest] = text.trim().split(/\s+/);
  const raw = mark === MARK && rest.length === 0 ? octets(key) : undefined;
  if (!raw) throw raise('PP_STORE_VAULT_KEY', { where });
  return createPrivateKey({ key: Buffer.concat([PKCS8, raw]), format: 'der', type: 'pkcs8' });
}

/** readPublicKey reads the text form: base64 of 32 octets. */
export function readPublicKey(text: string, where: string): Buffer {
  const raw = octets(text.trim());
  if (!raw) throw raise('PP_STORE_VAULT_KEY', { where });
  return raw;
}
