import { createCipheriv, createDecipheriv, createSecretKey, type CipherCCMTypes, type KeyObject } from 'node:crypto';
import { concat, type Bytes } from '#wire/bytes';

/** AeadName is one of the four ciphers of SMB 3.x, [MS-SMB2] 2.2.3.1.2. */
export type AeadName = 'aes-128-ccm' | 'aes-128-gcm' | 'aes-256-ccm' | 'aes-256-gcm';

/** nonceLength is how much of the 16-octet Nonce field the cipher uses, [MS-SMB2] 2.2.41. */
export function nonceLength(name: AeadName): 11 | 12 {
  return name.endsWith('ccm') ? 11 : 12;
}

export interface Sealed {
  ciphertext: Bytes;
  /** tag is 16 octets; it goes into the Signature field of the transform header. */
  tag: Bytes;
}

/** AeadKey is a key that Node has taken in once: given as octets each time, it costs three times what the encryption of a small message does. */
export type AeadKey = KeyObject;

/** aeadKey takes a key in for many uses. */
export function aeadKey(octets: Uint8Array): AeadKey {
  return createSecretKey(octets);
}

/** A length that does not fit is a defect of the caller (a key of the wrong cipher), never something a peer can cause. */
function check(name: AeadName, key: Uint8Array | AeadKey, nonce: Uint8Array): void {
  const keyLength = name.startsWith('aes-256') ? 32 : 16;
  const length = key instanceof Uint8Array ? key.length : key.symmetricKeySize;
  if (length !== keyLength) throw new RangeError(`${name} wants a key of ${keyLength} octets, not ${length}`);
  if (nonce.length !== nonceLength(name)) throw new RangeError(`${name} wants a nonce of ${nonceLength(name)} octets here`);
}

const own = (octets: Uint8Array): Bytes => new Uint8Array(octets.buffer as ArrayBuffer, octets.byteOffset, octets.byteLength);

/** seal encrypts `plain` and binds `aad` to it. */
export function seal(name: AeadName, key: Uint8Array | AeadKey, nonce: Uint8Array, aad: Uint8Array, plain: Uint8Array): Sealed {
  const { ciphertexts, tag } = sealParts(name, key, nonce, aad, [plain]);
  return { ciphertext: ciphertexts[0]!, tag };
}

/** sealParts encrypts octets that lie in several places as if they were one run, and gives them part by part. */
export function sealParts(
  name: AeadName,
  key: Uint8Array | AeadKey,
  nonce: Uint8Array,
  aad: Uint8Array,
  parts: readonly Uint8Array[],
): { ciphertexts: Bytes[]; tag: Bytes } {
  check(name, key, nonce);
  // Node takes the whole message of CCM in one go only.
  const plain = name.endsWith('ccm') && parts.length > 1 ? [concat(...parts)] : parts;
  const cipher = createCipheriv(name as CipherCCMTypes, key, nonce, { authTagLength: 16 });
  // CCM must know the length of the plaintext before the additional data; GCM does not look at it.
  cipher.setAAD(aad, { plaintextLength: plain.reduce((sum, part) => sum + part.length, 0) });
  const ciphertexts = plain.map((part) => own(cipher.update(part)));
  cipher.final();
  return { ciphertexts, tag: own(cipher.getAuthTag()) };
}

/** open decrypts, or gives undefined when the tag does not fit: the key is another one or something was changed on the way. */
export function open(
  name: AeadName,
  key: Uint8Array | AeadKey,
  nonce: Uint8Array,
  aad: Uint8Array,
  ciphertext: Uint8Array,
  tag: Uint8Array,
): Bytes | undefined {
  check(name, key, nonce);
  if (tag.length !== 16) return undefined;
  const decipher = createDecipheriv(name as CipherCCMTypes, key, nonce, { authTagLength: 16 });
  decipher.setAuthTag(tag);
  decipher.setAAD(aad, { plaintextLength: ciphertext.length });
  try {
    // CCM throws in update, GCM in final; nothing decrypted leaves here before the tag has been looked at.
    const plain = own(decipher.update(ciphertext));
    decipher.final();
    return plain;
  } catch {
    return undefined;
  }
}
