import { createHash, createHmac, hkdfSync, diffieHellman, timingSafeEqual, type KeyObject } from 'node:crypto';

/**
 * A branch token is a one-time registration token that two sites, a primary and a secondary below it, can check without having seen it: the
 * client of a machine that a secondary pushed to may have to register at the primary while the line between them is down, and the other
 * way round. To clients it is a token as any other, an id and a secret.
 *
 *     id     = <issuer>-<other site>-<base64url of: expiry (4 octets, seconds), machine (8 octets), random (12 octets)>
 *     key    = HKDF-SHA256(ECDH(own site key, other site's public key), salt = both codes in order, info)
 *     secret = base64url(HMAC-SHA256(key, "pushpoint registration token 1\n" + id))
 *
 * Only the two sites can make the key (static Diffie-Hellman over the site keys, which both have proven to each other at the join), so only
 * they can make a secret that fits an id: the secret is the signature. `machine` binds it to one name. That it serves once is kept where
 * it is used, and told to the other site with the client.
 */

const INFO = 'pushpoint registration token 1';
const FORM = /^([A-Z0-9]{3})-([A-Z0-9]{3})-([A-Za-z0-9_-]{32})$/;
const EXPIRY = 4;
const MACHINE = 8;
const RANDOM = 12;

/** BranchToken is what the id of a branch token says; nothing of it is proven before the secret's proof holds. */
export interface BranchToken {
  issuer: string;
  /** The site beside the issuer that can check it. */
  peer: string;
  expiresAt: Date;
  machine: Uint8Array;
}

/** branchKey is the secret that two sites share: each makes it of its own private key and the other's public one. */
export function branchKey(
  own: { code: string; privateKey: KeyObject },
  other: { code: string; publicKey: KeyObject },
): Uint8Array {
  const secret = diffieHellman({ privateKey: own.privateKey, publicKey: other.publicKey });
  return new Uint8Array(hkdfSync('sha256', secret, [own.code, other.code].sort().join('\n'), INFO, 32));
}

function machineOf(name: string): Buffer {
  const short = name.split('.')[0]!.toUpperCase();
  return createHash('sha256').update(short, 'utf8').digest().subarray(0, MACHINE);
}

/** branchTokenId makes the id of a new token for one machine; `random` are twelve octets. */
export function branchTokenId(o: { issuer: string; peer: string; expiresAt: Date; machine: string; random: Uint8Array }): string {
  if (o.random.length !== RANDOM) throw new Error(`a branch token wants ${RANDOM} random octets`);
  const head = Buffer.alloc(EXPIRY);
  head.writeUInt32BE(Math.min(Math.ceil(o.expiresAt.getTime() / 1000), 0xffff_ffff));
  return `${o.issuer}-${o.peer}-${Buffer.concat([head, machineOf(o.machine), o.random]).toString('base64url')}`;
}

/** branchTokenSecret is the secret that belongs to an id, for whoever has the key of the two sites. */
export function branchTokenSecret(key: Uint8Array, id: string): string {
  return createHmac('sha256', key).update(`${INFO}\n${id}`, 'utf8').digest('base64url');
}

/** readBranchToken takes an id apart; undefined for an ordinary token. */
export function readBranchToken(id: string): BranchToken | undefined {
  const [, issuer, peer, body] = FORM.exec(id) ?? [];
  if (issuer === undefined || peer === undefined || body === undefined) return undefined;
  const octets = Buffer.from(body, 'base64url');
  const expiresAt = new Date(octets.readUInt32BE(0) * 1000);
  return { issuer, peer, expiresAt, machine: new Uint8Array(octets.subarray(EXPIRY, EXPIRY + MACHINE)) };
}

/** isForMachine tells whether a branch token was made for a machine of this name. */
export function isForMachine({ machine }: Pick<BranchToken, 'machine'>, name: string): boolean {
  return timingSafeEqual(machine, machineOf(name));
}
