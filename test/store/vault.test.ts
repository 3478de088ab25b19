import assert from 'node:assert/strict';
import { chmod, mkdtemp, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { inspect } from 'node:util';
import { isCode, type Code } from '#base/errors';
import { createVaultKeys, openSealer, openVault, readVaultPublicKey } from '#store/vault';

const CANARY = 'Correct-Horse-9!';
const home = await mkdtemp(path.join(tmpdir(), 'pushpoint vault ü '));
after(() => rm(home, { recursive: true }));
let count = 0;

async function freshDir(): Promise<string> {
  const dir = path.join(home, String(count++));
  await createVaultKeys(dir, {});
  return dir;
}

function says(code: Code): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isCode(error, code), `${inspect(error)} is not ${code}`);
    assert.ok(!inspect(error, { depth: 9, showHidden: true }).includes(CANARY), 'the error shows the secret');
    return true;
  };
}

const text = (octets: Uint8Array) => new TextDecoder().decode(octets);

test('what is sealed with the public key opens with the private one, for the same purpose only', async () => {
  const dir = await freshDir();
  const sealer = openSealer(await readVaultPublicKey(dir));
  const vault = await openVault({ dir, env: {} });
  const sealed = sealer.seal(CANARY, 'account/1');
  assert.ok(!Buffer.from(sealed).includes(CANARY));
  assert.equal(text(vault.open(sealed, 'account/1')), CANARY);
  assert.throws(() => vault.open(sealed, 'account/2'), says('PP_STORE_VAULT_BROKEN'));
  assert.deepEqual(vault.open(vault.seal(new Uint8Array(0), 'x'), 'x'), new Uint8Array(0));
  assert.notDeepEqual(sealer.seal(CANARY, 'account/1'), sealed);
});

test('a sealed value that was changed in any octet, or cut, does not open', async () => {
  const dir = await freshDir();
  const vault = await openVault({ dir, env: {} });
  const sealed = vault.seal(CANARY, 'p');
  for (let at = 0; at < sealed.length; at++) {
    const changed = sealed.slice();
    changed[at]! ^= 0x01;
    // The topmost bit of the sender's key is ignored by X25519, not by the authenticated head; every octet counts.
    const code = at === 0 ? 'PP_STORE_VAULT_FORMAT' : at < 9 ? 'PP_STORE_VAULT_OTHER_KEY' : 'PP_STORE_VAULT_BROKEN';
    assert.throws(() => vault.open(changed, 'p'), says(code), `octet ${at}`);
  }
  const top = sealed.slice();
  top[40]! ^= 0x80;
  assert.throws(() => vault.open(top, 'p'), says('PP_STORE_VAULT_BROKEN'));
  for (const length of [0, 1, 56]) assert.throws(() => vault.open(sealed.slice(0, length), 'p'), says('PP_STORE_VAULT_FORMAT'));
  assert.throws(() => vault.open(sealed.slice(0, -1), 'p'), says('PP_STORE_VAULT_BROKEN'));
});

test('a value sealed for another site is told apart from a changed one', async () => {
  const [a, b] = [await openVault({ dir: await freshDir(), env: {} }), await openVault({ dir: await freshDir(), env: {} })];
  assert.throws(() => a.open(b.seal(CANARY, 'p'), 'p'), says('PP_STORE_VAULT_OTHER_KEY'));
});

test('the sender key of low order, for which the secret is known to everybody, is refused', async () => {
  const vault = await openVault({ dir: await freshDir(), env: {} });
  const sealed = vault.seal(CANARY, 'p');
  sealed.fill(0, 9, 41);
  assert.throws(() => vault.open(sealed, 'p'), says('PP_STORE_VAULT_BROKEN'));
});

test('of several processes that make the key at once one does, and nothing is ever written over', async () => {
  const dir = path.join(home, 'at once');
  const keys = await Promise.all(Array.from({ length: 8 }, () => createVaultKeys(dir, {})));
  assert.equal(new Set(keys).size, 1);
  assert.equal(await createVaultKeys(dir, {}), keys[0]);
  assert.deepEqual((await readdir(dir)).sort(), ['vault.key', 'vault.pub']);
  assert.equal((await stat(path.join(dir, 'vault.key'))).mode & 0o777, 0o600);
});

test('a key file that others can reach is refused', async () => {
  const dir = await freshDir();
  const file = path.join(dir, 'vault.key');
  await chmod(file, 0o640);
  await assert.rejects(openVault({ dir, env: {} }), says('PP_STORE_VAULT_LOOSE'));
  await chmod(file, 0o600);
  await openVault({ dir, env: {} });
});

test('a key that is missing, cut or of another site is a clear error, and no new one is made in its place', async () => {
  const dir = await freshDir();
  const file = path.join(dir, 'vault.key');
  const good = await readFile(file, 'utf8');
  await truncate(file, 40);
  await assert.rejects(openVault({ dir, env: {} }), says('PP_STORE_VAULT_KEY'));
  await rename(file, `${file}.old`);
  await assert.rejects(openVault({ dir, env: {} }), says('PP_STORE_VAULT_MISSING'));
  await assert.rejects(createVaultKeys(dir, {}), says('PP_STORE_VAULT_MISSING'));
  await writeFile(file, await readFile(path.join(await freshDir(), 'vault.key')), { mode: 0o600 });
  await assert.rejects(openVault({ dir, env: {} }), says('PP_STORE_VAULT_PAIR'));
  await writeFile(file, good);
  await openVault({ dir, env: {} });
});

test('the environment brings the key as text or as a file, not both', async () => {
  const dir = await freshDir();
  const secret = (await readFile(path.join(dir, 'vault.key'), 'utf8')).trim();
  const sealed = openSealer(await readVaultPublicKey(dir)).seal(CANARY, 'p');
  const other = path.join(home, 'without key');
  await createVaultKeys(other, { PUSHPOINT_VAULT_KEY: secret });
  assert.deepEqual(await readdir(other), ['vault.pub']);
  const byText = await openVault({ dir: other, env: { PUSHPOINT_VAULT_KEY: secret } });
  assert.equal(text(byText.open(sealed, 'p')), CANARY);
  const mounted = path.join(home, 'mounted');
  await writeFile(mounted, `${secret}\n`);
  await chmod(mounted, 0o444);
  const byFile = await openVault({ dir: other, env: { PUSHPOINT_VAULT_KEY_FILE: mounted } });
  assert.equal(text(byFile.open(sealed, 'p')), CANARY);
  await chmod(mounted, 0o666);
  await assert.rejects(openVault({ dir: other, env: { PUSHPOINT_VAULT_KEY_FILE: mounted } }), says('PP_STORE_VAULT_LOOSE'));
  const both = { PUSHPOINT_VAULT_KEY: secret, PUSHPOINT_VAULT_KEY_FILE: mounted };
  await assert.rejects(openVault({ dir: other, env: both }), says('PP_STORE_VAULT_KEY'));
  await assert.rejects(openVault({ dir: other, env: { PUSHPOINT_VAULT_KEY: CANARY } }), says('PP_STORE_VAULT_KEY'));
});

test('a vault that is printed or turned into JSON shows no private key', async () => {
  const dir = await freshDir();
  const secret = (await readFile(path.join(dir, 'vault.key'), 'utf8')).trim().split(' ')[1]!;
  const vault = await openVault({ dir, env: {} });
  const raw = Buffer.from(secret, 'base64');
  const shown = inspect(vault, { depth: 9, showHidden: true }) + JSON.stringify(vault);
  for (const form of [secret, raw.toString('hex'), raw.toString('base64url')]) assert.ok(!shown.includes(form));
});
