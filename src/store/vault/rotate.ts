import { link, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { raise } from '#base/errors';
import { syncFolder } from '#store/inbox';
import { generateKey, keyId, rawPublic, readPrivateKey } from './key.ts';
import { isFor, openWith, sealWith } from './seal.ts';
import { createOnce, FORMER_FILE, givenBy, KEY_FILE, keyText, NEXT_FILE, openVault, PUBLIC_FILE } from './vault.ts';

/** Reseal gives a sealed value as it was sealed for the new key; one that is sealed for it already comes back as it is. */
export type Reseal = (sealed: Uint8Array, purpose: string) => Uint8Array;

/** Rotation is what a change of keys comes to: the ids of both, which tell nothing of the keys. */
export interface Rotation {
  from: string;
  to: string;
}

const idOf = (raw: Uint8Array) => keyId(raw).toString('hex');

/** checkRotation raises what would keep rotateVault from beginning, and changes nothing. */
export async function checkRotation(dir: string, env: NodeJS.ProcessEnv = process.env): Promise<void> {
  const given = givenBy(env);
  if (given !== undefined) throw raise('PP_STORE_VAULT_GIVEN', { where: given });
  await openVault({ dir, env });
}

/**
 * rotateVault gives a vault a new key pair. `store` seals everything anew with what it is given, in one transaction. Cut off at any point,
 * it leaves a vault that opens everything, because a key is a file of the vault from before the first value is sealed for it until after the
 * last one is sealed for another: vault.key.next is written, the transaction is committed, vault.pub names the new key, vault.key becomes
 * vault.key.former, vault.key.next becomes vault.key, and only then the former one is deleted. Done again it goes on where it was.
 */
export async function rotateVault(
  dir: string,
  store: (reseal: Reseal) => Promise<void>,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Rotation> {
  await checkRotation(dir, env);
  const at = (name: string) => path.join(dir, name);
  await createOnce(at(NEXT_FILE), generateKey(), 0o600);
  const next = readPrivateKey(await keyText(at(NEXT_FILE), 0o077), at(NEXT_FILE));
  const raw = rawPublic(next);
  const vault = await openVault({ dir, env });
  await store((sealed, purpose) => {
    if (isFor(next, sealed)) {
      openWith(next, sealed, purpose).fill(0);
      return sealed;
    }
    const plain = vault.open(sealed, purpose);
    const fresh = sealWith(raw, plain, purpose);
    plain.fill(0);
    return fresh;
  });
  await publish(dir, `${raw.toString('base64')}\n`);
  await rm(at(FORMER_FILE), { force: true });
  await link(at(KEY_FILE), at(FORMER_FILE));
  await syncFolder(dir);
  await rename(at(NEXT_FILE), at(KEY_FILE));
  await syncFolder(dir);
  await openVault({ dir, env });
  await rm(at(FORMER_FILE));
  await syncFolder(dir);
  return { from: idOf(Buffer.from(vault.publicKey, 'base64')), to: idOf(raw) };
}

/** publish puts the new public key in the place of the old one, whole. */
async function publish(dir: string, text: string): Promise<void> {
  const draft = path.join(dir, `${PUBLIC_FILE}.next`);
  await rm(draft, { force: true });
  await createOnce(draft, text, 0o644);
  await rename(draft, path.join(dir, PUBLIC_FILE));
  await syncFolder(dir);
}
