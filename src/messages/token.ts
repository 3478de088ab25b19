import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/**
 * A one-time registration token is an id, which anybody may see, and a secret, which travels once, inside mobileclient.tcf over the signed
 * SMB session. Both sides work with SHA-256(secret), so the site needs to store no more than that, and only proofs cross the wire after it.
 */

/** tokenKeyOf is the key that both sides derive from a token's secret; the site stores this and not the secret. */
export function tokenKeyOf(secret: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(secret, 'utf8').digest());
}

/** tokenProof shows that its maker holds the token, for this public key and this time only: HMAC-SHA256 over `register\n<spki>\n<time>`. */
export function tokenProof(tokenKey: Uint8Array, publicKey: string, time: string): string {
  return createHmac('sha256', tokenKey).update(`register\n${publicKey}\n${time}`, 'utf8').digest('base64');
}

/** tokenProofHolds checks such a proof in a time that does not depend on where it is wrong. */
export function tokenProofHolds(tokenKey: Uint8Array, publicKey: string, time: string, proof: string): boolean {
  const right = Buffer.from(tokenProof(tokenKey, publicKey, time), 'base64');
  const given = Buffer.from(proof, 'base64');
  return given.length === right.length && timingSafeEqual(given, right);
}
