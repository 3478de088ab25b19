import assert from 'node:assert/strict';
import { chmod, mkdtemp, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { inspect } from 'node:util';
import { isCode, type Code } from '#base/errors';
import { createVaultKeys, openSealer, openVault, readVaultPublicKey, rotateVault } from '#store/vault';

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

/** Shelf is where sealed values lie, as in a database: what is stored is stored for all of them or for none. */
class Shelf {
  values: Map<string, Uint8Array>;

  constructor(vault: { seal(plain: string, purpose: string): Uint8Array }) {
    this.values = new Map(['account/A', 'account/B'].map((purpose) => [purpose, vault.seal(CANARY, purpose)]));
  }

  async reseal(change: (sealed: Uint8Array, purpose: string) => Uint8Array): Promise<void> {
    this.values = new Map([...this.values].map(([purpose, sealed]) => [purpose, change(sealed, purpose)]));
  }

  async opens(dir: string): Promise<void> {
    const vault = await openVault({ dir, env: {} });
    for (const [purpose, sealed] of this.values) assert.equal(text(vault.open(sealed, purpose)), CANARY, purpose);
    // What is sealed with the public file, as a point does, opens too.
    assert.equal(text(vault.open(openSealer(await readVaultPublicKey(dir)).seal(CANARY, 'p'), 'p')), CANARY);
  }
}

test('a new key pair: everything is sealed for it, the old key is gone and opens nothing any more', async () => {
  const dir = await freshDir();
  const old = await openVault({ dir, env: {} });
  const shelf = new Shelf(old);
  const { from, to } = await rotateVault(dir, (change) => shelf.reseal(change), {});
  assert.notEqual(from, to);
  assert.deepEqual((await readdir(dir)).sort(), ['vault.key', 'vault.pub']);
  assert.equal((await stat(path.join(dir, 'vault.key'))).mode & 0o777, 0o600);
  await shelf.opens(dir);
  for (const [purpose, sealed] of shelf.values) {
    assert.throws(() => old.open(sealed, purpose), says('PP_STORE_VAULT_OTHER_KEY'));
    const now = await openVault({ dir, env: {} });
    assert.throws(() => now.open(sealed, 'account/C'), says('PP_STORE_VAULT_BROKEN'));
  }
});

test('a change of keys that is cut off anywhere leaves a vault that opens everything, and is finished by the next one', async () => {
  const NAMES = ['vault.key', 'vault.key.next', 'vault.key.former', 'vault.pub'] as const;
  const put = async (dir: string, files: Partial<Record<(typeof NAMES)[number], string>>) => {
    for (const name of NAMES) {
      await rm(path.join(dir, name), { force: true });
      if (files[name] !== undefined) await writeFile(path.join(dir, name), files[name], { mode: 0o600 });
    }
  };
  const read = (dir: string, name: string) => readFile(path.join(dir, name), 'utf8');
  const dir = await freshDir();
  const shelf = new Shelf(await openVault({ dir, env: {} }));
  const before = { key: await read(dir, 'vault.key'), pub: await read(dir, 'vault.pub'), values: shelf.values };
  // Cut off while everything is sealed anew: nothing has changed but for the key that lies ready.
  await assert.rejects(
    rotateVault(dir, () => Promise.reject(new Error('power cut')), {}),
    /power cut/,
  );
  assert.deepEqual((await readdir(dir)).sort(), ['vault.key', 'vault.key.next', 'vault.pub']);
  await shelf.opens(dir);
  const next = await read(dir, 'vault.key.next');
  await rotateVault(dir, (change) => shelf.reseal(change), {});
  assert.equal(await read(dir, 'vault.key'), next, 'it went on with the key that lay there');
  const after = { key: next, pub: await read(dir, 'vault.pub'), values: shelf.values };

  const states: [what: string, files: Parameters<typeof put>[1], values: Map<string, Uint8Array>][] = [
    ['key made', { 'vault.key': before.key, 'vault.key.next': after.key, 'vault.pub': before.pub }, before.values],
    ['stored', { 'vault.key': before.key, 'vault.key.next': after.key, 'vault.pub': before.pub }, after.values],
    ['public', { 'vault.key': before.key, 'vault.key.next': after.key, 'vault.pub': after.pub }, after.values],
    [
      'kept',
      { 'vault.key': before.key, 'vault.key.next': after.key, 'vault.key.former': before.key, 'vault.pub': after.pub },
      after.values,
    ],
    ['changed', { 'vault.key': after.key, 'vault.key.former': before.key, 'vault.pub': after.pub }, after.values],
  ];
  for (const [what, files, values] of states) {
    await put(dir, files);
    shelf.values = values;
    await shelf.opens(dir);
    await rotateVault(dir, (change) => shelf.reseal(change), {});
    await shelf.opens(dir);
    assert.deepEqual((await readdir(dir)).sort(), ['vault.key', 'vault.pub'], what);
  }
});

test('no change of keys where the key comes from outside, cannot be read, or a value does not open', async () => {
  const dir = await freshDir();
  const never = () => Promise.reject(new Error('not reached'));
  const secret = (await readFile(path.join(dir, 'vault.key'), 'utf8')).trim();
  await assert.rejects(rotateVault(dir, never, { PUSHPOINT_VAULT_KEY: secret }), says('PP_STORE_VAULT_GIVEN'));
  await chmod(path.join(dir, 'vault.key'), 0o644);
  await assert.rejects(rotateVault(dir, never, {}), says('PP_STORE_VAULT_LOOSE'));
  await chmod(path.join(dir, 'vault.key'), 0o600);
  const shelf = new Shelf(await openVault({ dir, env: {} }));
  shelf.values.get('account/B')![60]! ^= 1;
  await assert.rejects(
    rotateVault(dir, (change) => shelf.reseal(change), {}),
    says('PP_STORE_VAULT_BROKEN'),
  );
  await writeFile(path.join(dir, 'vault.key.next'), 'pushpoint-vault-key-1 short\n', { mode: 0o600 });
  await assert.rejects(openVault({ dir, env: {} }), says('PP_STORE_VAULT_KEY'));
});
