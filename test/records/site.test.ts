import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { isCode } from '#base/errors';
import { systemRandom } from '#base/random';
import { defaultSettings, pointAddress, SiteRecord, validateCode } from '#records/site';
import { testDatabase, type TestDatabase } from '#test/database';

let base: TestDatabase;
let sites: SiteRecord;

before(async () => {
  base = await testDatabase();
});
after(() => base.close());
beforeEach(async () => {
  await base.db.query('truncate site, site_point, site_token');
  sites = new SiteRecord(base.db, new ManualClock(), systemRandom);
});

test('a database belongs to one site', async () => {
  assert.equal(await sites.own(), undefined);
  const made = await sites.create({ code: 'p01', kind: 'primary' });
  assert.deepEqual([made.code, made.own, made.settings], ['P01', true, defaultSettings]);
  await assert.rejects(sites.create({ code: 'P02', kind: 'primary' }), (e) => isCode(e, 'PP_SITE_DATABASE_TAKEN'));
  await assert.rejects(sites.create({ code: 'S01', kind: 'secondary' }), (e) => isCode(e, 'PP_SITE_PARENT'));
  await sites.learn({ code: 'S01', kind: 'secondary', parent: 'P01' });
  await sites.learn({ code: 'P01', kind: 'secondary', parent: 'X99' });
  assert.deepEqual(
    (await sites.list()).map((s) => [s.code, s.kind, s.own]),
    [
      ['P01', 'primary', true],
      ['S01', 'secondary', false],
    ],
  );
});

test('site codes have three letters or digits', () => {
  assert.equal(validateCode(' p0z '), 'P0Z');
  for (const code of ['', 'P1', 'P001', 'P-1', 'ÄÖÜ'])
    assert.throws(
      () => validateCode(code),
      (e) => isCode(e, 'PP_SITE_CODE'),
    );
});

test('settings change one by one, are announced, and go back to the default', async () => {
  await sites.create({ code: 'P01', kind: 'primary' });
  const heard = new Promise<string>((resolve) => void base.db.listen('site_settings', resolve));
  await sites.updateSettings({ push: { enabled: true } }, 'CORP\\admin');
  const settings = await sites.updateSettings({ ccr: { retryMinutes: 30 }, push: { package: 'agent' } }, 'CORP\\admin');
  assert.deepEqual(settings, {
    ...defaultSettings,
    push: { ...defaultSettings.push, enabled: true, package: 'agent' },
    ccr: { ...defaultSettings.ccr, retryMinutes: 30 },
  });
  assert.deepEqual((await sites.own())!.settings, settings);
  assert.equal(await heard, 'CORP\\admin');
  const back = await sites.updateSettings({ ccr: { retryMinutes: null }, push: { package: null, enabled: false } }, 'x');
  assert.deepEqual(back, defaultSettings);
});

test('settings out of range or unknown are refused and change nothing', async () => {
  await sites.create({ code: 'P01', kind: 'primary' });
  for (const patch of [
    { ccr: { retryMinutes: 0 } },
    { ccr: { retryMinutes: 'x' } },
    { ccr: { smsPost: 'everybody' } },
    { ccr: { nonsense: 1 } },
    { nonsense: { a: 1 } },
    { push: { systems: ['toasters'] } },
    { push: { properties: 'a\nb' } },
    { push: 7 },
  ])
    await assert.rejects(sites.updateSettings(patch as never, 'x'), (e) => isCode(e, 'PP_SITE_SETTING'), JSON.stringify(patch));
  assert.deepEqual((await sites.own())!.settings, defaultSettings);
});

test('two changes at the same moment are both kept', async () => {
  await sites.create({ code: 'P01', kind: 'primary' });
  await Promise.all([
    sites.updateSettings({ ccr: { probeMs: 999 } }, 'a'),
    sites.updateSettings({ ccr: { lockMinutes: 3 } }, 'b'),
  ]);
  const { ccr } = (await sites.own())!.settings;
  assert.deepEqual([ccr.probeMs, ccr.lockMinutes], [999, 3]);
});

test('points have an address that clients can reach, and can be off', async () => {
  await sites.create({ code: 'P01', kind: 'primary' });
  await assert.rejects(sites.setPoint('mp', { on: true }, 'x'), (e) => isCode(e, 'PP_SITE_POINT_ADDRESS'));
  const point = await sites.setPoint('mp', { address: 'http://mp.corp.example:8480/' }, 'x');
  assert.deepEqual(point, { site: 'P01', kind: 'mp', address: 'http://mp.corp.example:8480', on: true, pin: undefined });
  assert.equal((await sites.setPoint('mp', { on: false }, 'x')).address, 'http://mp.corp.example:8480');
  assert.equal((await sites.setPoint('mp', { address: 'https://mp', pin: 'aa' }, 'x')).on, false);
  assert.deepEqual(
    (await sites.points('P01')).map((p) => [p.kind, p.on, p.pin]),
    [['mp', false, 'aa']],
  );
  assert.equal((await sites.setPoint('mp', { on: false }, 'x')).pin, 'aa', 'a pin stays until it is taken away');
  assert.equal((await sites.setPoint('mp', { pin: '' }, 'x')).pin, undefined);
  assert.deepEqual(await sites.points('S01'), []);
  for (const address of [
    `http://mp'"$(x):1`,
    'http://a_b',
    'http://mp/`x`',
    'mp',
    'ftp://mp',
    'http://0.0.0.0:8480',
    'http://[::]/',
    'http://a:b@mp',
    'http://mp?x=1',
  ])
    assert.throws(
      () => pointAddress(address),
      (e) => isCode(e, 'PP_SITE_POINT_ADDRESS'),
      address,
    );
});

test('a token is given out once, only its hash is kept, and it ends when removed', async () => {
  const plain = await sites.tokens.add({ label: 'console', scopes: ['read', 'push'] });
  assert.ok(plain.length >= 40);
  assert.deepEqual(await sites.tokens.check(plain), { label: 'console', scopes: ['read', 'push'] });
  assert.equal(await sites.tokens.check(`${plain}x`), undefined);
  assert.equal(await sites.tokens.check(''), undefined);
  const [row] = await base.db.query<{ hash: Buffer }>('select * from site_token');
  assert.equal(row!.hash.length, 32);
  const [listed] = await sites.tokens.list();
  assert.equal(JSON.stringify(listed).includes(plain), false);
  assert.equal(await sites.tokens.remove(listed!.id), true);
  assert.equal(await sites.tokens.check(plain), undefined);
});
