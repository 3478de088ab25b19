import {
  createCipheriv,
  createDecipheriv,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import { raise } from '#base/errors';
import { readPublicKey } from './signing.ts';

/**
 * Secrets in a policy are sealed for the key that the client registered with, because a policy may travel over plain HTTP. The key is P-256,
 * so the agreement is ECDH with a key made for this one text; HKDF-SHA256 with what the text is for makes a key for AES-256-GCM.
 *
 *     base64( uncompressed point, 65 octets | nonce, 12 | ciphertext | tag, 16 )
 */

const POINT = 65;
const NONCE = 12;
const TAG = 16;
/** The head of every SubjectPublicKeyInfo of an uncompressed P-256 point (RFC 5480). */
const SPKI = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex');

const purposeOf = (guid: string, name: string): string => `pushpoint policy secret\n${guid}\n${name}`;

function keyOf(privateKey: KeyObject, publicKey: KeyObject, point: Uint8Array, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', diffieHellman({ privateKey, publicKey }), point, purpose, 32));
}

/** sealFor seals a secret of the policy for one client: nobody but the holder of its key reads it, and for no other name. */
export function sealFor(publicKey: string, of: { guid: string; name: string }, plain: string): string {
  const receiver = readPublicKey(publicKey);
  const made = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const point = made.publicKey.export({ format: 'der', type: 'spki' }).subarray(SPKI.length);
  const nonce = randomBytes(NONCE);
  const cipher = createCipheriv('aes-256-gcm', keyOf(made.privateKey, receiver, point, purposeOf(of.guid, of.name)), nonce);
  const text = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
  return Buffer.concat([point, nonce, text, cipher.getAuthTag()]).toString('base64');
}

/** openSealed reads a secret that was sealed for this client, or raises PP_MSG_MALFORMED. */
export function openSealed(privateKey: KeyObject, of: { guid: string; name: string }, sealed: string): string {
  const bytes = Buffer.from(sealed, 'base64');
  try {
    const point = bytes.subarray(0, POINT);
    const sender = readPublicKey(Buffer.concat([SPKI, point]).toString('base64'));
    const key = keyOf(privateKey, sender, point, purposeOf(of.guid, of.name));
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(POINT, POINT + NONCE), { authTagLength: TAG });
    decipher.setAuthTag(bytes.subarray(-TAG));
    return Buffer.concat([decipher.update(bytes.subarray(POINT + NONCE, -TAG)), decipher.final()]).toString('utf8');
  } catch (cause) {
    throw raise('PP_MSG_MALFORMED', { message: 'secret', why: 'is not sealed for this client' }, { cause });
  }
}
