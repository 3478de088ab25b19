import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock, systemClock } from '#base/clock';
import { isCode } from '#base/errors';
import { CcrRecord, type Ccr } from '#records/ccr';
import { testDatabase, type TestDatabase } from '#test/database';

let base: TestDatabase;
let clock: ManualClock;
let ccrs: CcrRecord;

before(async () => {
  base = await testDatabase();
});
after(() => base.close());
beforeEach(async () => {
  await base.db.query('truncate ccr, ccr_name, ccr_tally, ccr_attempt, ccr_step, ccr_worker');
  clock = new ManualClock();
  ccrs = new CcrRecord(base.db, clock);
});

const make = (names: string[]) =>
  ccrs.requestMany(names.map((name) => ({ name, source: 'file' as const, requestedBy: 'ccr.box' })));

test('pages show each CCR once, newest first, by state and part of the name', async () => {
  const made = await make(Array.from({ length: 25 }, (_, i) => `WEB${i}`));
  await make(['DB1', 'DB2']);
  await ccrs.cancel([made[3]!.ccr.id], 'x');
  const seen: Ccr[] = [];
  let cursor: string | undefined;
  let pages = 0;
  do {
    const page = await ccrs.list({ state: 'queued', filter: 'web', limit: 10, cursor });
    seen.push(...page.items);
    cursor = page.next;
    pages++;
  } while (cursor !== undefined);
  assert.equal(pages, 3);
  assert.deepEqual(
    seen.map((c) => c.name),
    Array.from({ length: 25 }, (_, i) => `WEB${24 - i}`).filter((n) => n !== 'WEB3'),
  );
  assert.deepEqual(
    (await ccrs.list({ state: ['cancelled', 'failed'] })).items.map((c) => c.name),
    ['WEB3'],
  );
  await assert.rejects(ccrs.list({ cursor: "1' or 1=1" }), (e) => isCode(e, 'PP_REQUEST_CURSOR'));
});

test('live walks through all live CCRs, more than a page of them', async () => {
  await make(Array.from({ length: 2100 }, (_, i) => `M${i}`));
  const [one] = (await ccrs.find('M7')).map((c) => c.id);
  await ccrs.cancel([one!], 'x');
  let count = 0;
  for await (const ccr of ccrs.live()) {
    assert.equal(ccr.state, 'queued');
    count++;
  }
  assert.equal(count, 2099);
});

/** follow asks until the transactions of other tests on the same server no longer hide what is wanted. */
async function follow(cursor: string, wanted: number): Promise<{ items: Ccr[]; cursor: string }> {
  const items: Ccr[] = [];
  for (let tries = 0; items.length < wanted && tries < 1200; tries++) {
    const changed = await ccrs.changedSince(cursor);
    items.push(...changed.items);
    cursor = changed.cursor;
    if (items.length < wanted) await systemClock.sleep(25);
  }
  return { items, cursor };
}

test('changedSince gives each change once, and none is missed when transactions overlap', async () => {
  await make(['OLD']);
  const { cursor } = await follow((await ccrs.changedSince()).cursor, 0);
  let release: () => void = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  let written: () => void = () => {};
  const wrote = new Promise<void>((resolve) => (written = resolve));
  const slow = base.db.transaction(async (tx) => {
    await ccrs.request({ name: 'SLOW', source: 'push', requestedBy: 't' }, tx);
    written();
    await held;
  });
  await wrote;
  await make(['FAST']);
  const early = await ccrs.changedSince(cursor);
  release();
  await slow;
  const { items } = await follow(early.cursor, 2 - early.items.length);
  assert.deepEqual(
    [...early.items, ...items]
      .map((c) => c.name)
      .filter((n) => n !== 'OLD')
      .sort(),
    ['FAST', 'SLOW'],
  );
});

test('prune removes old attempts with their steps, then old finished CCRs, and leaves live ones', async () => {
  await make(['A', 'B']);
  const worker = await ccrs.claims.registerWorker('w', 1e12);
  for (const claimed of await ccrs.claims.take({ worker, limit: 2, caps: { perSubnet: 9, perAccount: 9 } })) {
    ccrs.claims.attempt(claimed).step({ name: 'probe', outcome: 'ok', startedAt: clock.now(), durationMs: 1 });
    if (claimed.ccr.name === 'A') await ccrs.claims.complete(claimed, 'x');
    else
      await ccrs.claims.retry(claimed, {
        error: { code: 'PP_NET_SILENT', win32: 53, message: 'x', detail: undefined },
        nextAt: new Date(clock.now().getTime() + 1000),
      });
  }
  const now = clock.now();
  assert.deepEqual(await ccrs.prune({ attempts: now, ccrs: now }), { attempts: 0, ccrs: 0 });
  await clock.advance(1000);
  assert.equal((await ccrs.countByState()).complete, 1);
  assert.deepEqual(await ccrs.prune({ attempts: clock.now(), ccrs: clock.now() }), { attempts: 2, ccrs: 1 });
  assert.equal((await ccrs.countByState()).complete, 0);
  const [left] = await base.db.query<{ ccrs: number; attempts: number; steps: number }>(
    'select (select count(*) from ccr) as ccrs, (select count(*) from ccr_attempt) as attempts, (select count(*) from ccr_step) as steps',
  );
  assert.deepEqual(left, { ccrs: 1, attempts: 0, steps: 0 });
  await worker.leave(clock.now());
});
