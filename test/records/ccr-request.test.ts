import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { isCode } from '#base/errors';
import { CcrRecord, exhausted, weekEnd, type CcrRequest } from '#records/ccr';
import { ResourceRecord } from '#records/resource';
import { testDatabase, type TestDatabase } from '#test/database';

let base: TestDatabase;
let clock: ManualClock;
let ccrs: CcrRecord;
let resources: ResourceRecord;

before(async () => {
  base = await testDatabase();
});
after(() => base.close());
beforeEach(async () => {
  await base.db.query('truncate ccr, ccr_name, ccr_tally, ccr_attempt, ccr_step, ccr_worker, resource, resource_source');
  clock = new ManualClock();
  ccrs = new CcrRecord(base.db, clock);
  resources = new ResourceRecord(base.db, clock);
});

const wish = (name: string, more: Partial<CcrRequest> = {}): CcrRequest => ({
  name,
  source: 'push',
  requestedBy: 'CORP\\admin',
  ...more,
});

test('fifty requests for one machine at the same moment make one CCR', async () => {
  const done = await Promise.all(
    Array.from({ length: 50 }, (_, i) => ccrs.request(wish(i % 2 ? 'pc1' : 'PC1', { domain: 'CORP', forced: i === 31 }))),
  );
  assert.equal(done.filter((d) => d.made === 'new').length, 1);
  assert.equal(new Set(done.map((d) => d.ccr.id)).size, 1);
  const { items } = await ccrs.list();
  assert.equal(items.length, 1);
  assert.equal(items[0]!.requestCount, 50);
  assert.equal(items[0]!.forced, true);
});

test('one short name in two domains is two CCRs, each with a request of its own', async () => {
  const a = await ccrs.request(wish('PC1', { domain: 'SALES' }));
  const b = await ccrs.request(wish('PC1', { domain: 'PLANT' }));
  assert.notEqual(a.ccr.id, b.ccr.id);
  assert.equal((await ccrs.request(wish('pc1', { domain: 'plant' }))).ccr.id, b.ccr.id);
  assert.deepEqual(
    (await ccrs.find('pc1')).map((c) => c.domain),
    ['PLANT', 'SALES'],
  );
});

test('NetBIOS and DNS name of one domain are one machine, two DNS domains are two', async () => {
  const a = await ccrs.request(wish('PC1', { domain: 'CORP' }));
  assert.equal((await ccrs.request(wish('pc1.corp.example'))).ccr.id, a.ccr.id);
  const b = await ccrs.request(wish('pc2.east.example'));
  const c = await ccrs.request(wish('pc2.west.example'));
  assert.notEqual(b.ccr.id, c.ccr.id);
});

test('a request finds the resource of its name, and one made before the resource was known becomes it', async () => {
  const early = await ccrs.request(wish('PC7'));
  assert.equal(early.ccr.resourceId, undefined);
  const { ids } = await resources.importDevices([{ name: 'PC7', domain: 'CORP', addresses: ['10.1.2.3'] }], {
    source: 'import',
    site: 'P01',
  });
  const late = await ccrs.request(wish('PC7', { domain: 'CORP', addresses: ['10.1.2.3'] }));
  assert.equal(late.made, 'merged');
  assert.equal(late.ccr.id, early.ccr.id);
  assert.equal(late.ccr.resourceId, ids[0]);
  assert.equal(late.ccr.domain, 'CORP');
  assert.equal(late.ccr.capKey, '10.1.2.0/24');
});

test('a merge keeps the history, ORs the flags, restarts the week and is due at once', async () => {
  const first = await ccrs.request(wish('PC1', { includeDcs: true, inspectOnly: true }));
  const worker = await ccrs.claims.registerWorker('w');
  const [claimed] = await ccrs.claims.take({ worker, limit: 1, caps: { perSubnet: 9, perAccount: 9 } });
  const error = { code: 'PP_NET_SILENT', win32: 53, message: 'no answer', detail: undefined } as const;
  assert.equal(await ccrs.claims.retry(claimed!, { error, nextAt: new Date(clock.now().getTime() + 3_600_000) }), true);
  await clock.advance(60_000);
  const { ccr } = await ccrs.request(wish('PC1', { forced: true }));
  assert.equal(ccr.id, first.ccr.id);
  assert.deepEqual([ccr.forced, ccr.includeDcs, ccr.inspectOnly], [true, true, false]);
  assert.deepEqual([ccr.state, ccr.attempts, ccr.intervalAttempts, ccr.lastErrorCode], ['queued', 1, 0, 53]);
  assert.equal(ccr.retryIntervalStart, undefined);
  assert.deepEqual(ccr.nextAttemptAt, clock.now());
  assert.deepEqual(ccr.firstRequestedAt, first.ccr.firstRequestedAt);
  await worker.leave(clock.now());
});

test('who asks for the opposite of what is being done gets it: the end of an installation is no end of a removal, nor the other way round', async () => {
  await ccrs.request(wish('PC1', { uninstall: true }));
  const worker = await ccrs.claims.registerWorker('w');
  const take = async () => (await ccrs.claims.take({ worker, limit: 1, caps: { perSubnet: 9, perAccount: 9 } }))[0]!;
  const removing = await take();
  const asked = await base.db.transaction((tx) => ccrs.request(wish('PC1', { uninstall: false }), tx));
  assert.deepEqual([asked.ccr.uninstall, asked.ccr.state], [false, 'processing']);
  const at = clock.now();
  assert.equal(await ccrs.claims.started(removing, { startedAt: at, verifyAt: at }), true);
  // The client that is about to be removed still runs at this look.
  assert.equal(await ccrs.claims.complete(await take(), 'service CcmExec is running'), true);
  assert.equal((await ccrs.byId(asked.ccr.id))!.state, 'queued');

  // While nobody looks, what waits for its verification is worked anew; so is what was paused in between.
  const installing = await take();
  assert.equal(await ccrs.claims.started(installing, { startedAt: at, verifyAt: at }), true);
  const again = await base.db.transaction((tx) => ccrs.request(wish('PC1', { uninstall: true }), tx));
  assert.deepEqual([again.made, again.ccr.uninstall, again.ccr.state], ['merged', true, 'queued']);
  assert.equal(await ccrs.claims.started(await take(), { startedAt: at, verifyAt: at }), true);
  await ccrs.pause([again.ccr.id]);
  await base.db.transaction((tx) => ccrs.request(wish('PC1', { uninstall: false }), tx));
  const [resumed] = await ccrs.resume([again.ccr.id]);
  assert.deepEqual([resumed!.uninstall, resumed!.state], [false, 'queued']);
  await worker.leave(clock.now());
});

test('discovery that sees a machine again neither restarts its week nor makes it due', async () => {
  await ccrs.request(wish('PC1'));
  const worker = await ccrs.claims.registerWorker('w');
  const [claimed] = await ccrs.claims.take({ worker, limit: 1, caps: { perSubnet: 9, perAccount: 9 } });
  const nextAt = new Date(clock.now().getTime() + 3_600_000);
  await ccrs.claims.retry(claimed!, { error: { code: 'PP_NET_SILENT', win32: 53, message: 'x', detail: undefined }, nextAt });
  const { ccr } = await ccrs.request(wish('PC1', { source: 'discovery', requestedBy: 'ddm', addresses: ['10.0.0.9'] }));
  assert.deepEqual([ccr.state, ccr.source, ccr.nextAttemptAt, ccr.intervalAttempts], ['retry', 'push', nextAt, 1]);
  assert.deepEqual(ccr.addresses, ['10.0.0.9']);
  await worker.leave(clock.now());
});

test('a finished CCR is history, and the next request makes a new one', async () => {
  const first = await ccrs.request(wish('PC1'));
  const [gone] = await ccrs.cancel([first.ccr.id], 'CORP\\admin');
  assert.equal(gone!.state, 'cancelled');
  const second = await ccrs.request(wish('PC1'));
  assert.equal(second.made, 'new');
  assert.deepEqual(
    (await ccrs.find('pc1')).map((c) => [c.id, c.state]),
    [
      [second.ccr.id, 'queued'],
      [first.ccr.id, 'cancelled'],
    ],
  );
});

test('many requests in one statement come back in their order, repeats merged', async () => {
  const done = await ccrs.requestMany([wish('B2'), wish('A1'), wish('b2'), wish('C3')]);
  assert.deepEqual(
    done.map((d) => [d.ccr.name, d.made]),
    [
      ['B2', 'new'],
      ['A1', 'new'],
      ['B2', 'merged'],
      ['C3', 'new'],
    ],
  );
});

test('hostile names are refused before anything is written', async () => {
  for (const name of ['host@8080', 'host:445', 'a/b', 'a\\b', '', '10.1.2.3', '-x', 'x..y', 'pc 1', 'a'.repeat(16), 'pc1\u0000'])
    await assert.rejects(ccrs.request(wish(name)), (e) => isCode(e, 'PP_REQUEST_NAME'), name);
  await assert.rejects(ccrs.request(wish('PC1', { domain: 'corp@80' })), (e) => isCode(e, 'PP_REQUEST_DOMAIN'));
  await assert.rejects(ccrs.request(wish('PC1', { resourceNames: ['pc1@80'] })), (e) => isCode(e, 'PP_REQUEST_NAME'));
  await assert.rejects(ccrs.request(wish('PC1', { addresses: ['10.1.2.3:80'] })), (e) => isCode(e, 'PP_REQUEST_ADDRESS'));
  assert.deepEqual((await ccrs.list()).items, []);
});

test('a request inside a transaction that fails leaves nothing behind', async () => {
  await assert.rejects(
    base.db.transaction(async (tx) => {
      await ccrs.request(wish('PC1'), tx);
      throw new Error('no');
    }),
    /no/,
  );
  assert.deepEqual((await ccrs.list()).items, []);
});

test('the week is over after 168 attempts or 7 days, whichever comes first', () => {
  const week = { maxAttempts: 168, windowDays: 7 };
  const start = new Date('2026-01-05T08:00:00Z');
  const at = (hours: number) => new Date(start.getTime() + hours * 3_600_000);
  assert.equal(exhausted({ intervalAttempts: 167, retryIntervalStart: start }, at(167), week), false);
  assert.equal(exhausted({ intervalAttempts: 168, retryIntervalStart: start }, at(1), week), true);
  assert.equal(exhausted({ intervalAttempts: 4, retryIntervalStart: start }, at(168), week), true);
  // Hardly tried at all: the clock was set forward, or the site was off for all the week.
  assert.equal(exhausted({ intervalAttempts: 3, retryIntervalStart: start }, at(168), week), false);
  assert.equal(exhausted({ intervalAttempts: 1, retryIntervalStart: start }, at(168), { ...week, retryMinutes: 10_080 }), true);
  assert.equal(exhausted({ intervalAttempts: 0, retryIntervalStart: undefined }, at(10_000), week), false);
  assert.deepEqual(weekEnd({ retryIntervalStart: start }, week), at(168));
});
