import { link, mkdir, open, readFile, rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { randomBytes, type KeyObject } from 'node:crypto';
import { isCode, raise } from '#base/errors';
import { syncFolder } from '#store/inbox';
import { generateKey, rawPublic, readPrivateKey, readPublicKey } from './key.ts';
import { isFor, openWith, sealWith, type Sealer, type Vault } from './seal.ts';

export const KEY_FILE = 'vault.key';
export const PUBLIC_FILE = 'vault.pub';
/** While the keys are changed (rotate.ts), the key to come and the one that was stand beside the key. */
export const NEXT_FILE = 'vault.key.next';
export const FORMER_FILE = 'vault.key.former';

export interface VaultOptions {
  /** dir holds vault.key, unless the environment gives the key, and vault.pub. */
  dir: string;
  /** env is where PUSHPOINT_VAULT_KEY (the key's text) or PUSHPOINT_VAULT_KEY_FILE (a file's name) may stand; process.env by default. */
  env?: NodeJS.ProcessEnv;
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

async function write(file: FileHandle, text: string): Promise<void> {
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** createOnce writes a file completely or not at all, and never over another one; false when one is there. */
export async function createOnce(file: string, text: string, mode: number): Promise<boolean> {
  const draft = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  await write(await open(draft, 'wx', mode), text);
  try {
    await link(draft, file);
    await syncFolder(path.dirname(file));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** keyText reads a key file; `loose` are the rights it must not have. */
export async function keyText(file: string, loose: number): Promise<string> {
  let handle: FileHandle;
  try {
    handle = await open(file, 'r');
  } catch (error) {
    if (isMissing(error)) throw raise('PP_STORE_VAULT_MISSING', { file });
    throw raise('PP_STORE_VAULT_KEY', { where: file }, { cause: error });
  }
  try {
    // The rights of the opened file, not of whatever has that name a moment later.
    const { mode } = await handle.stat();
    // Windows has other rights, which these bits say nothing about.
    if (process.platform !== 'win32' && (mode & loose) !== 0)
      throw raise('PP_STORE_VAULT_LOOSE', { file, mode: (mode & 0o777).toString(8) });
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

/** givenBy names the variable of the environment that brings the key, if one does. */
export function givenBy(env: NodeJS.ProcessEnv): string | undefined {
  return ['PUSHPOINT_VAULT_KEY', 'PUSHPOINT_VAULT_KEY_FILE'].find((name) => env[name]);
}

async function privateKey({ dir, env = process.env }: VaultOptions): Promise<KeyObject> {
  const text = env['PUSHPOINT_VAULT_KEY'];
  const named = env['PUSHPOINT_VAULT_KEY_FILE'];
  if (text && named) throw raise('PP_STORE_VAULT_KEY', { where: 'both PUSHPOINT_VAULT_KEY and PUSHPOINT_VAULT_KEY_FILE' });
  if (text) return readPrivateKey(text, 'PUSHPOINT_VAULT_KEY');
  // Container secrets are mounted readable for everybody in the container; being writable for others is never right.
  if (named) return readPrivateKey(await keyText(named, 0o022), named);
  const file = path.join(dir, KEY_FILE);
  return readPrivateKey(await keyText(file, 0o077), file);
}

/** otherKeys are the keys beside the vault's own while a change of keys is under way; none, or one. */
async function otherKeys(dir: string): Promise<KeyObject[]> {
  const found: KeyObject[] = [];
  for (const name of [NEXT_FILE, FORMER_FILE]) {
    const file = path.join(dir, name);
    const text = await keyText(file, 0o077).catch((error: unknown) => {
      if (isCode(error, 'PP_STORE_VAULT_MISSING')) return undefined;
      throw error;
    });
    if (text !== undefined) found.push(readPrivateKey(text, file));
  }
  return found;
}

async function storedPublicKey(dir: string): Promise<Buffer | undefined> {
  const file = path.join(dir, PUBLIC_FILE);
  try {
    return readPublicKey(await readFile(file, 'utf8'), file);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/**
 * createVaultKeys makes the key pair of a site, or keeps the one that is there, and gives the public key. When the environment brings the
 * private key, only the public one is written. Of several processes at once one makes the key.
 */
export async function createVaultKeys(dir: string, env: NodeJS.ProcessEnv = process.env): Promise<string> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const given = givenBy(env);
  // A public key without its private one means the private one was lost: a new pair would hide that.
  if (!given && (await storedPublicKey(dir)) === undefined) await createOnce(path.join(dir, KEY_FILE), generateKey(), 0o600);
  const raw = rawPublic(await privateKey({ dir, env }));
  await createOnce(path.join(dir, PUBLIC_FILE), `${raw.toString('base64')}\n`, 0o644);
  return (await openVault({ dir, env })).publicKey;
}

/** readVaultPublicKey reads the site's public key, for processes that may seal and not open. */
export async function readVaultPublicKey(dir: string): Promise<string> {
  const raw = await storedPublicKey(dir);
  if (!raw) throw raise('PP_STORE_VAULT_MISSING', { file: path.join(dir, PUBLIC_FILE) });
  return raw.toString('base64');
}

/** openSealer makes a Sealer for the holder of a public key (base64, as readVaultPublicKey and createVaultKeys give it). */
export function openSealer(publicKey: string): Sealer {
  const raw = readPublicKey(publicKey, 'the public key');
  return { seal: (plain, purpose) => sealWith(raw, plain, purpose) };
}

/** openVault makes the Vault of a site from its private key, which stays in here. */
export async function openVault(options: VaultOptions): Promise<Vault> {
  const key = await privateKey(options);
  const own = rawPublic(key);
  const stored = await storedPublicKey(options.dir);
  const keys = [key, ...(await otherKeys(options.dir))];
  const raw = keys.map(rawPublic).find((one) => stored?.equals(one)) ?? own;
  // Points would go on sealing for a key that nobody has any more.
  if (stored && !stored.equals(raw)) throw raise('PP_STORE_VAULT_PAIR', { file: path.join(options.dir, PUBLIC_FILE) });
  return {
    publicKey: raw.toString('base64'),
    seal: (plain, purpose) => sealWith(raw, plain, purpose),
    open: (sealed, purpose) => openWith(keys.find((one) => isFor(one, sealed)) ?? key, sealed, purpose),
  };
}
