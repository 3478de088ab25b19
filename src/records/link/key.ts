import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { Clock } from '#base/clock';
import { publicKeyOf } from '#messages';
import type { Sql } from '#store/database';
import type { Sealer, Vault } from '#store/vault';

/** SiteKey is what this site signs with. The private key stays in the process that opened it. */
export interface SiteKey {
  /** Base64 SPKI, ECDSA P-256. */
  publicKey: string;
  privateKey: KeyObject;
}

const PURPOSE = 'link/site key';

/** makeKey makes the key of a site, sealed for its vault, unless there is one. */
export async function makeKey(tx: Sql, sealer: Sealer, clock: Clock): Promise<string> {
  const [there] = await tx.query<{ public_key: string }>('select public_key from link_key');
  if (there) return there.public_key;
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const plain = privateKey.export({ format: 'der', type: 'pkcs8' });
  const sealed = sealer.seal(plain, PURPOSE);
  plain.fill(0);
  await tx.query('insert into link_key (public_key, sealed, made_at) values ($1, $2, $3) on conflict do nothing', [
    publicKeyOf(publicKey),
    sealed,
    clock.now(),
  ]);
  // Two processes that start together make one key.
  const [made] = await tx.query<{ public_key: string }>('select public_key from link_key');
  return made!.public_key;
}

/** openKey opens the key of this site, which is there. */
export async function openKey(tx: Sql, vault: Vault): Promise<SiteKey> {
  const [row] = await tx.query<{ public_key: string; sealed: Buffer }>('select public_key, sealed from link_key');
  const plain = vault.open(new Uint8Array(row!.sealed), PURPOSE);
  const privateKey = createPrivateKey({ key: Buffer.from(plain), format: 'der', type: 'pkcs8' });
  plain.fill(0);
  return { publicKey: row!.public_key, privateKey };
}

/** resealKey seals the key anew, for another key of the vault. */
export async function resealKey(tx: Sql, change: (sealed: Uint8Array, purpose: string) => Uint8Array): Promise<void> {
  const [row] = await tx.query<{ sealed: Buffer }>('select sealed from link_key for update');
  if (row) await tx.query('update link_key set sealed = $1', [change(new Uint8Array(row.sealed), PURPOSE)]);
}
