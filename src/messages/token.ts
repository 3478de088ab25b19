import { createHash, createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';

/**
 * A one-time registration token is an id, which anybody may see, and a secret, which travels once, inside mobileclient.tcf over the signed
 * SMB session. Both sides work with SHA-256(secret), so the site needs to store no more than that, and only proofs cross the wire after it.
 */

/** tokenKeyOf is the key that both sides derive from a token's secret; the site stores this and not the secret. */
export function tokenKeyOf(secret: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(secret, 'utf8').digest());
}

/** hmac is HMAC-SHA256. The key is wrapped by hand: Node takes several times as long to find out what octets as a key are. */
export function hmac(key: Uint8Array, message: string | Uint8Array): Buffer {
  return createHmac('sha256', createSecretKey(key)).update(message).digest();
}

/** tokenProof shows that its maker holds the token, for this public key and this time only: HMAC-SHA256 over `register\n<spki>\n<time>`. */
export function tokenProof(tokenKey: Uint8Array, publicKey: string, time: string): string {
  return hmac(tokenKey, `register\n${publicKey}\n${time}`).toString('base64');
}

/** tokenProofHolds checks such a proof in a time that does not depend on where it is wrong. */
export function tokenProofHolds(tokenKey: Uint8Array, publicKey: string, time: string, proof: string): boolean {
  const right = Buffer.from(tokenProof(tokenKey, publicKey, time), 'base64');
  const given = Buffer.from(proof, 'base64');
  return given.length === right.length && timingSafeEqual(given, right);
}

/**
 * policyKey is what a pushed client keeps of its token when that is used up: a key for exactly one purpose, to know its own site's policy. The
 * site makes the same of what it stores of the token. HMAC-SHA256 over `policy\n<SMSID>`.
 */
export function policyKey(tokenKey: Uint8Array, guid: string): Uint8Array {
  return new Uint8Array(hmac(tokenKey, `policy\n${guid}`));
}

/** POLICY_PROOF is the header in which the site proves a policy. */
export const POLICY_PROOF = 'x-pushpoint-policy-proof';

/**
 * policyProof shows that a policy comes from the site that pushed this client, as the answer to this question: HMAC-SHA256 over
 * `policy\n<nonce of the question>\n<hex SHA-256 of the body>`. Over plain HTTP nothing else tells it from one that somebody on the way made.
 */
export function policyProof(key: Uint8Array, nonce: string, body: string | Uint8Array): string {
  const digest = createHash('sha256').update(body).digest('hex');
  return hmac(key, `policy\n${nonce}\n${digest}`).toString('base64');
}

/** policyProofHolds checks such a proof in a time that does not depend on where it is wrong. */
export function policyProofHolds(key: Uint8Array, nonce: string, body: string | Uint8Array, proof: string): boolean {
  const right = Buffer.from(policyProof(key, nonce, body), 'base64');
  const given = Buffer.from(proof, 'base64');
  return given.length === right.length && timingSafeEqual(given, right);
}
