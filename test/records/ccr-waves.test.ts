import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock, systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { CcrRecord } from '#records/ccr';
import { openDatabase } from '#store/database';
import { testDatabase, type TestDatabase } from '#test/database';

const CAPS = { perSubnet: 10_000, perAccount: 10_000 };
const REFUSED = { code: 'PP_TARGET_ACCESS', win32: 5, message: 'no', detail: undefined } as never;
const SILENT = { code: 'PP_NET_SILENT', win32: 53, message: 'no answer', detail: undefined } as const;

let base: TestDatabase;
let clock: ManualClock;
let ccrs: CcrRecord;

before(async () => {
  base = await testDatabase();
});
after(() => base.close());
beforeEach(async () => {
  await base.db.query('truncate ccr, ccr_name, ccr_tally, ccr_attempt, ccr_step, ccr_worker, ccr_wave');
  await base.db.query('update ccr_sweep set worker_id = null, lease_until = null, at = 0');
  clock = new ManualClock();
  ccrs = new CcrRecord(base.db, clock);
});

const later = (ms: number) => new Date(clock.now().getTime() + ms);

async function wave(
  prefix: string,
  count: number,
  more: { stopAfter?: { failures?: number; percent?: number }; address?: (i: number) => string; wave?: false } = {},
): Promise<number> {
  const made =
    more.wave === false ? undefined : await ccrs.waves.make({ by: 'test', machines: count, stopAfter: more.stopAfter });
  for (let from = 0; from < count; from += 1000)
    await ccrs.requestMany(
      Array.from({ length: Math.min(1000, count - from) }, (_, i) => ({
        name: `${prefix}${from + i}`,
        source: 'push' as const,
        requestedBy: 'test',
        addresses: more.address ? [more.address(from + i)] : [],
        wave: made?.id,
      })),
    );
  return made?.id ?? 0;
}

test('a push of one machine is in the next claim, however many were queued before it', async () => {
  await wave('BIG', 5000);
  await clock.advance(1000);
  const worker = await ccrs.claims.registerWorker('w');
  const first = await ccrs.claims.take({ worker, limit: 64, caps: CAPS });
  assert.equal(first.length, 64);
  const one = await wave('ONE', 1);
  await clock.advance(1000);
  // Slots become free one by one, so that is how they are claimed.
  const [next] = await ccrs.claims.take({ worker, limit: 1, caps: CAPS });
  assert.equal(next?.ccr.wave, one);
  await wave('FILE', 1, { wave: false });
  await clock.advance(1000);
  const more = await ccrs.claims.take({ worker, limit: 2, caps: CAPS });
  assert.ok(
    more.some((c) => c.ccr.name === 'FILE0'),
    'what came without a wave has its turn too',
  );
  await worker.leave(clock.now());
});

test('verifications have a quarter of what is being worked, however many are queued before them, and no more', async () => {
  const worker = await ccrs.claims.registerWorker('w');
  await wave('DONE', 40, { wave: false });
  for (const started of await ccrs.claims.take({ worker, limit: 40, caps: CAPS }))
    await ccrs.claims.started(started, { startedAt: clock.now(), verifyAt: later(60_000) });
  await wave('BIG', 1000, { wave: false });
  await clock.advance(120_000);
  const many = await ccrs.claims.take({ worker, limit: 64, caps: CAPS });
  assert.equal(many.filter((c) => c.ccr.name.startsWith('DONE')).length, 16);
  // Slots that become free one by one are shared in the same way.
  const shown = new Map<string, number>();
  for (let i = 0; i < 16; i++) {
    const [next] = await ccrs.claims.take({ worker, limit: 1, caps: CAPS });
    const kind = next!.ccr.name.slice(0, 3);
    shown.set(kind, (shown.get(kind) ?? 0) + 1);
  }
  assert.deepEqual(Object.fromEntries(shown), { DON: 4, BIG: 12 });
  await worker.leave(clock.now());
});

test('two waves share the slots, and what is left of one goes on alone', async () => {
  const a = await wave('A', 400);
  await clock.advance(1000);
  const b = await wave('B', 100);
  await clock.advance(1000);
  const worker = await ccrs.claims.registerWorker('w');
  const got = await ccrs.claims.take({ worker, limit: 64, caps: CAPS });
  assert.equal(got.filter((c) => c.ccr.wave === a).length, 32);
  assert.equal(got.filter((c) => c.ccr.wave === b).length, 32);
  let all = got.length;
  for (let n = got.length; n > 0; all += n) n = (await ccrs.claims.take({ worker, limit: 64, caps: CAPS })).length;
  assert.equal(all, 500);
  await worker.leave(clock.now());
});

test('many waves, full subnets and a wave behind 11,000 of a full one: each is claimed once and the caps hold', async () => {
  await wave('FULL', 11_000, { address: () => '10.9.9.9' });
  await clock.advance(1000);
  for (let w = 0; w < 40; w++) await wave(`W${w}X`, 3, { address: (i) => `10.1.${w}.${i + 1}` });
  await clock.advance(1000);
  const worker = await ccrs.claims.registerWorker('w');
  const caps = { perSubnet: 5, perAccount: 1000 };
  const names = new Set<string>();
  for (;;) {
    const got = await ccrs.claims.take({ worker, limit: 16, caps });
    if (got.length === 0) break;
    for (const { ccr } of got) {
      assert.ok(!names.has(ccr.name));
      names.add(ccr.name);
    }
  }
  assert.equal(names.size, 5 + 40 * 3);
  await worker.leave(clock.now());
});

test('caps of subnet, site and of the account in use hold over two processes', async () => {
  await wave('PC', 300, { address: (i) => `10.0.${i % 10}.${1 + (i % 200)}` });
  const other = await openDatabase({
    dataDir: '/nonexistent',
    url: base.url,
    clock: systemClock,
    log: silentLog,
    connections: 4,
  });
  const records = [ccrs, new CcrRecord(other, clock)];
  const caps = { perSubnet: 7, perAccount: 1000, perSite: 50 };
  const workers = await Promise.all(records.map((r) => r.claims.registerWorker('w')));
  const got = (
    await Promise.all(
      records.map(async (record, i) => {
        const mine = [];
        for (let n = 1; n > 0;) {
          const some = await record.claims.take({ worker: workers[i]!, limit: 9, caps });
          n = some.length;
          mine.push(...some.map((claimed) => ({ record, claimed })));
        }
        return mine;
      }),
    )
  ).flat();
  assert.equal(got.length, 50, 'the cap of the site');
  const subnets = Map.groupBy(got, (g) => g.claimed.ccr.capKey);
  for (const [key, some] of subnets) assert.ok(some.length <= 7, `${key} has ${some.length}`);
  // None of them had an account before: what is counted is the one that each is about to use.
  const given = await Promise.all(
    got.map(async ({ record, claimed }) => (await record.claims.useAccount([claimed], 'push', 20)).size),
  );
  assert.equal(given.filter((n) => n === 1).length, 20);
  const first = got[given.indexOf(1)]!;
  const refused = got[given.indexOf(0)]!;
  assert.equal((await first.record.claims.useAccount([first.claimed], 'push', 20)).size, 1, 'who has the place keeps it');
  assert.equal((await refused.record.claims.useAccount([refused.claimed], 'push', 20)).size, 0);
  await first.record.claims.complete(first.claimed, 'done');
  assert.equal((await refused.record.claims.useAccount([refused.claimed], 'push', 20)).size, 1, 'a place that was left is given');
  for (const worker of workers) await worker.leave(clock.now());
  await other.close();
});

test('a wave is stopped when more machines have failed than were allowed; those away do not count', async () => {
  const id = await wave('PC', 10, { stopAfter: { failures: 2 } });
  const worker = await ccrs.claims.registerWorker('w');
  const got = await ccrs.claims.take({ worker, limit: 6, caps: CAPS });
  const fail = async (n: number, error: typeof SILENT) => {
    await ccrs.claims.retry(got[n]!, { error, nextAt: later(3_600_000) });
    return ccrs.waves.halt(id);
  };
  assert.equal(await fail(0, SILENT), undefined);
  assert.equal(await fail(1, SILENT), undefined);
  assert.equal(await fail(2, REFUSED), undefined);
  assert.equal(await fail(3, REFUSED), undefined);
  const reason = await fail(4, REFUSED);
  assert.match(reason!, /^3 of 10 machines have failed, 2 were allowed$/);
  const stopped = await ccrs.waves.get(id);
  assert.deepEqual(stopped?.counts, { processing: 1, paused: 9 });
  // What was under way goes to its end, and is then paused like the rest.
  assert.equal(await fail(5, REFUSED), undefined);
  assert.deepEqual((await ccrs.waves.get(id))?.counts, { paused: 10 });
  await ccrs.waves.resume(id);
  const ids = (await ccrs.waves.ccrs(id)).map((c) => c.id);
  assert.equal((await ccrs.resume(ids)).length, 10);
  assert.equal((await ccrs.waves.get(id))?.stoppedAt, undefined);
  assert.equal((await ccrs.claims.take({ worker, limit: 64, caps: CAPS })).length, 10);
  await worker.leave(clock.now());
});

test('the sweep goes round, one process at a time, and asks only for those that are away and rested', async () => {
  await wave('PC', 12, { address: (i) => `10.0.0.${i + 1}` });
  const worker = await ccrs.claims.registerWorker('a');
  const got = await ccrs.claims.take({ worker, limit: 12, caps: CAPS });
  for (const [i, claimed] of got.entries())
    await ccrs.claims.retry(claimed, { error: i < 10 ? SILENT : REFUSED, nextAt: later(3_600_000) });
  assert.deepEqual(await ccrs.absences.next(0, 100), [], 'just tried');
  await clock.advance(11 * 60_000);
  const until = () => later(60_000);
  assert.equal(await ccrs.absences.turn(worker, until()), 0);
  const other = await ccrs.claims.registerWorker('b');
  assert.equal(await ccrs.absences.turn(other, until()), undefined, 'one has it');
  const seen: number[] = [];
  for (let n = 0; n < 5; n++) {
    const at = (await ccrs.absences.turn(worker, until()))!;
    const some = await ccrs.absences.next(at, 4);
    seen.push(...some.map((c) => c.id));
    await ccrs.absences.done(worker, some.at(-1)!.id);
  }
  const away = got.slice(0, 10).map((c) => c.ccr.id);
  assert.deepEqual(seen, [...away, ...away]);
  await clock.advance(61_000);
  assert.equal(await ccrs.absences.turn(other, until()), away[9], 'a lease ends, and the next one goes on where it was');
  await ccrs.absences.leave(other);
  assert.equal(await ccrs.absences.turn(worker, until()), away[9]);
  assert.equal(await ccrs.absences.seen({ ids: away.slice(0, 3) }), 3);
  assert.equal((await ccrs.claims.take({ worker, limit: 64, caps: CAPS })).length, 3);
  await worker.leave(clock.now());
  await other.leave(clock.now());
});

test('what workers counted is summed over processes and stays when they end', async () => {
  await wave('PC', 2);
  const other = new CcrRecord(base.db, clock);
  const workers = [await ccrs.claims.registerWorker('a'), await other.claims.registerWorker('b')];
  for (const [i, record] of [ccrs, other].entries()) {
    const [claimed] = await record.claims.take({ worker: workers[i]!, limit: 1, caps: CAPS });
    record.claims.attempt(claimed!).step({ name: 'probe', outcome: 'ok', startedAt: clock.now(), durationMs: 30 });
    await record.claims.complete(claimed!, 'done');
    await record.claims.tellMeter(workers[i]!);
    await workers[i]!.leave(clock.now());
  }
  const sums = await ccrs.claims.metered();
  assert.equal(sums['pushpoint_attempts_total{purpose="attempt",outcome="complete",code=""}'], 2);
  assert.equal(sums['pushpoint_step_seconds_bucket{step="probe",outcome="ok",le="0.02"}'], 0);
  assert.equal(sums['pushpoint_step_seconds_bucket{step="probe",outcome="ok",le="0.05"}'], 2);
});
