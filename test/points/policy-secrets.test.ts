import assert from 'node:assert/strict';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { openSealed, sealFor, publicKeyOf } from '#messages';
import { openVault, rotateVault } from '#store/vault';
import { manual, TestSite } from '#test/points';
import { Pc } from '#test/pc';

const CANARY = 'correct horse battery staple';

async function start(t: TestContext) {
  const site = await TestSite.make(t, manual());
  await site.know('PC042', 'PC043');
  const { url } = await site.managementPoint();
  const { call } = await site.console();
  const vault = await openVault({ dir: path.join(site.folder, 'vault') });
  const seal = async () => {
    while ((await site.records.policy.sealSecrets((sealed, purpose) => vault.open(sealed, purpose))) > 0);
  };
  const secrets = async (pc: Pc) => (await pc.get('/ccm_system/policy')).json['secrets'] as Record<string, string> | undefined;
  const decide = (pc: Pc, action: string) => call('POST', `/clients/${pc.guid}/${action}`);
  return { site, url, call, seal, secrets, decide };
}

test('secrets are withheld until a client is approved, and again when the approval is taken; only its key opens them', async (t) => {
  const { site, url, call, seal, secrets, decide } = await start(t);
  assert.equal((await call('PUT', '/policies/secrets/wifi.key', { value: CANARY })).status, 200);
  const pc = new Pc(site, url);
  const other = new Pc(site, url, 'PC043');
  for (const one of [pc, other]) await one.register();
  await seal();
  assert.equal(await secrets(pc), undefined);
  await decide(pc, 'approve');
  await seal();
  const given = (await secrets(pc))!;
  assert.equal(openSealed(pc.key, { guid: pc.guid!, name: 'wifi.key' }, given['wifi.key']!), CANARY);
  assert.throws(() => openSealed(other.key, { guid: pc.guid!, name: 'wifi.key' }, given['wifi.key']!), /PP_MSG_MALFORMED|secret/);
  assert.throws(() => openSealed(pc.key, { guid: pc.guid!, name: 'other' }, given['wifi.key']!));
  assert.equal(await secrets(other), undefined);
  const revision = (await pc.beat()).json['policyRevision'];
  await decide(pc, 'reject');
  assert.equal(await secrets(pc), undefined);
  assert.notEqual((await pc.beat()).json['policyRevision'], revision);
  await decide(pc, 'approve');
  assert.ok(await secrets(pc));
});

test('a changed secret reaches every approved client with a new revision; one that is removed is in no policy any more', async (t) => {
  const { site, url, call, seal, secrets, decide } = await start(t);
  const pc = new Pc(site, url);
  await pc.register();
  await decide(pc, 'approve');
  await call('PUT', '/policies/secrets/a', { value: 'one' });
  await seal();
  const first = (await pc.beat()).json['policyRevision'];
  await call('PUT', '/policies/secrets/a', { value: 'two' });
  await call('PUT', '/policies/secrets/b', { value: 'ü' });
  await seal();
  assert.notEqual((await pc.beat()).json['policyRevision'], first);
  const given = (await secrets(pc))!;
  const open = (name: string) => openSealed(pc.key, { guid: pc.guid!, name }, given[name]!);
  assert.deepEqual([open('a'), open('b')], ['two', 'ü']);
  assert.equal((await call('DELETE', '/policies/secrets/a')).status, 200);
  assert.equal((await call('DELETE', '/policies/secrets/a')).status, 404);
  await seal();
  assert.deepEqual(Object.keys((await secrets(pc))!), ['b']);
});

test('under a new vault key secrets go on, also where the change was cut off before or after they were stored', async (t) => {
  const { site, url, call, secrets, decide } = await start(t);
  const dir = path.join(site.folder, 'vault');
  const { policy } = site.records;
  await call('PUT', '/policies/secrets/wifi.key', { value: CANARY });
  await call('PUT', '/policies/secrets/another', { value: 'y' });
  let number = 0;
  /** opens lets a client come that has nothing yet: what it gets was opened with the keys that lie there now. */
  const opens = async () => {
    const pc = new Pc(site, url, `PC04${++number}`);
    await pc.register();
    await decide(pc, 'approve');
    const vault = await openVault({ dir });
    while ((await policy.sealSecrets((sealed, purpose) => vault.open(sealed, purpose))) > 0);
    const given = (await secrets(pc))!;
    assert.equal(openSealed(pc.key, { guid: pc.guid!, name: 'wifi.key' }, given['wifi.key']!), CANARY);
    assert.deepEqual(Object.keys(given).sort(), ['another', 'wifi.key']);
  };
  const rows = () => site.parts.database.query('select name, sealed from policy_secret order by name');
  const before = await rows();
  // Killed in the middle of the transaction.
  const cut = () =>
    rotateVault(dir, (reseal) =>
      site.parts.database.transaction(async (tx) => {
        assert.equal(await policy.reseal(reseal, tx), 2);
        throw new Error('killed');
      }),
    );
  await assert.rejects(cut(), /killed/);
  assert.deepEqual(await rows(), before);
  await opens();
  // Killed after it: stored for the new key, which is not yet the vault's.
  const late = () =>
    rotateVault(dir, async (reseal) => {
      await site.parts.database.transaction((tx) => policy.reseal(reseal, tx));
      throw new Error('killed');
    });
  await assert.rejects(late(), /killed/);
  const resealed = await rows();
  assert.notDeepEqual(resealed, before);
  await opens();
  await rotateVault(dir, (reseal) => site.parts.database.transaction(async (tx) => void (await policy.reseal(reseal, tx))));
  assert.deepEqual(await rows(), resealed, 'what was sealed for the new key already stays');
  await opens();
});

test('a secret is in no answer, no audit entry, no log line and no row as it is', async (t) => {
  const { site, url, call, seal, decide } = await start(t);
  await call('PUT', '/policies/secrets/wifi.key', { value: CANARY });
  const pc = new Pc(site, url);
  await pc.register();
  await decide(pc, 'approve');
  await seal();
  const seen = [
    (await call('GET', '/policies/secrets')).text,
    (await call('GET', `/clients/${pc.guid}`)).text,
    (await call('GET', '/audit')).text,
    (await pc.get('/ccm_system/policy')).text,
    site.logged.join('\n'),
    ...(await Promise.all(
      ['policy_secret', 'client', 'audit'].map(async (table) => {
        const rows = await site.parts.database.query(`select to_jsonb(t)::text as row from ${table} t`);
        return JSON.stringify(rows);
      }),
    )),
  ];
  for (const text of seen)
    for (const form of [CANARY, Buffer.from(CANARY).toString('hex'), Buffer.from(CANARY).toString('base64').slice(0, 20)])
      assert.equal(text.includes(form), false);
  assert.equal((await call('PUT', '/policies/secrets/1bad', { value: 'x' })).status, 400);
});

test('what is sealed twice is never the same, and a changed octet opens nothing', async (t) => {
  const { site, url } = await start(t);
  const pc = new Pc(site, url);
  const of = { guid: 'GUID:00000000-0000-4000-8000-000000000000', name: 'a' };
  const sealed = sealFor(publicKeyOf(pc.key), of, 'x');
  assert.notEqual(sealed, sealFor(publicKeyOf(pc.key), of, 'x'));
  const bytes = Buffer.from(sealed, 'base64');
  for (let at = 0; at < bytes.length; at += 7) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 1;
    assert.throws(() => openSealed(pc.key, of, changed.toString('base64')));
  }
});
