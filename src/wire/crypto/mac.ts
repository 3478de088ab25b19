import { createCipheriv, createHash, createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import type { Bytes } from '#wire/bytes';

// Every key goes in as a KeyObject: given octets, Node first finds out by two exceptions that they are none, which costs more than the rest.

/** A copy, so that the result never is a view into Node's shared pool. */
const own = (octets: Uint8Array): Bytes => new Uint8Array(octets);

/** md5 is the digest of [RFC 1321]; NTLM makes its signing and sealing keys with it. */
export function md5(...parts: Uint8Array[]): Bytes {
  const hash = createHash('md5');
  for (const part of parts) hash.update(part);
  return own(hash.digest());
}

/** hmacMd5 is [RFC 2104] with MD5; NTLMv2 is built on it. */
export function hmacMd5(key: Uint8Array, ...parts: Uint8Array[]): Bytes {
  const hmac = createHmac('md5', createSecretKey(key));
  for (const part of parts) hmac.update(part);
  return own(hmac.digest());
}

/** Doubling in GF(2^128), [RFC 4493] 2.3. */
function doubled(block: Uint8Array): Bytes {
  const out = new Uint8Array(16);
  for (let i = 0; i < 16; i++) out[i] = (block[i]! << 1) | ((block[i + 1] ?? 0) >> 7);
  if (block[0]! & 0x80) out[15]! ^= 0x87;
  return out;
}

function encryptedZeros(key: KeyObject): Uint8Array {
  const cipher = createCipheriv('aes-128-ecb', key, null).setAutoPadding(false);
  return cipher.update(new Uint8Array(16));
}

/**
 * aesCmac is AES-128-CMAC of [RFC 4493]. It is CBC with a zero vector over the message with its last block masked, so one native CBC
 * run does it; the tag is the last block that comes out.
 */
export function aesCmac(key: Uint8Array, message: Uint8Array): Bytes {
  const head = message.length === 0 ? 0 : Math.floor((message.length - 1) / 16) * 16;
  const last = new Uint8Array(16);
  last.set(message.subarray(head));
  const taken = createSecretKey(key);
  const k1 = doubled(encryptedZeros(taken));
  let mask = k1;
  if (message.length - head < 16) {
    last[message.length - head] = 0x80;
    mask = doubled(k1);
  }
  for (let i = 0; i < 16; i++) last[i]! ^= mask[i]!;
  const cipher = createCipheriv('aes-128-cbc', taken, new Uint8Array(16)).setAutoPadding(false);
  if (head > 0) cipher.update(message.subarray(0, head));
  return own(cipher.update(last));
}

/** gmac is AES-128-GMAC of NIST SP 800-38D: GCM over no plaintext with the message as additional data ([MS-SMB2] 3.1.4.1). */
export function gmac(key: Uint8Array, nonce: Uint8Array, message: Uint8Array): Bytes {
  const cipher = createCipheriv('aes-128-gcm', createSecretKey(key), nonce);
  cipher.setAAD(message);
  cipher.final();
  return own(cipher.getAuthTag());
}
