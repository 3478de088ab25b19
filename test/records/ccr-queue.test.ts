import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock, systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { CcrRecord, type Claimed } from '#records/ccr';
import { openDatabase, type Database } from '#store/database';
import { testDatabase, type TestDatabase } from '#test/database';

const CAPS = { perSubnet: 1000, perAccount: 1000 };
const SILENT = { code: 'PP_NET_SILENT', win32: 53, message: 'no answer', detail: undefined } as const;
const MINUTE = 60_000;

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

const later = (ms: number) => new Date(clock.now().getTime() + ms);

async function queue(count: number, more: { subnets?: number } = {}): Promise<void> {
  const wishes = Array.from({ length: count }, (_, i) => ({
    name: `PC${i}`,
    source: 'push' as const,
    requestedBy: 'test',
    addresses: more.subnets ? [`10.0.${i % more.subnets}.${(i % 250) + 1}`] : [],
  }));
  await ccrs.requestMany(wishes);
}

test('a process that cannot be made known keeps no connection', async () => {
  const failing = new Proxy(base.db, {
    get: (db, name) => {
      if (name === 'query')
        return (text: string, values: unknown[]) =>
          text.startsWith('insert into ccr_worker') ? Promise.reject(new Error('the disk is full')) : db.query(text, values);
      const value: unknown = Reflect.get(db, name, db);
      return typeof value === 'function' ? (value.bind(db) as unknown) : value;
    },
  });
  const claims = new CcrRecord(failing, clock).claims;
  const before = base.db.connections();
  for (let i = 0; i < 3; i++) await assert.rejects(claims.registerWorker('w'), /the disk is full/);
  const { open, idle } = base.db.connections();
  assert.equal(open - idle, before.open - before.idle);
});

test('four processes claim everything once', async () => {
  await queue(400);
  const others: Database[] = [];
  for (let i = 0; i < 4; i++)
    others.push(
      await openDatabase({ dataDir: '/nonexistent', url: base.url, clock: systemClock, log: silentLog, connections: 2 }),
    );
  const taken: number[] = [];
  await Promise.all(
    others.map(async (db) => {
      const record = new CcrRecord(db, clock);
      const worker = await record.claims.registerWorker('w');
      for (;;) {
        const got = await record.claims.take({ worker, limit: 7, caps: CAPS });
        if (got.length === 0) break;
        taken.push(...got.map((c) => c.ccr.id));
        await Promise.all(got.map((c) => record.claims.complete(c, 'client registered')));
      }
      await worker.leave(clock.now());
    }),
  );
  await Promise.all(others.map((db) => db.close()));
  assert.equal(taken.length, 400);
  assert.equal(new Set(taken).size, 400);
  assert.deepEqual((await ccrs.countByState()).complete, 400);
});

test('claims are fair: what is due longest comes first, then what was asked for first', async () => {
  await queue(3);
  await clock.advance(1000);
  await queue(1);
  await ccrs.request({ name: 'LATE', source: 'push', requestedBy: 'test' });
  const worker = await ccrs.claims.registerWorker('w');
  const got = await ccrs.claims.take({ worker, limit: 10, caps: CAPS });
  assert.deepEqual(
    got.map((c) => c.ccr.name),
    // PC0 was asked for again a second later, so it is due since then.
    ['PC1', 'PC2', 'PC0', 'LATE'],
  );
  await worker.leave(clock.now());
});

test('no more than the cap of a subnet is out at a time, however many claim', async () => {
  await queue(300, { subnets: 3 });
  const workers = await Promise.all([ccrs.claims.registerWorker('a'), ccrs.claims.registerWorker('b')]);
  const caps = { perSubnet: 5, perAccount: 1000 };
  const rounds = await Promise.all(
    Array.from({ length: 10 }, (_, i) => ccrs.claims.take({ worker: workers[i % 2]!, limit: 4, caps })),
  );
  const out = rounds.flat();
  const perSubnet = Map.groupBy(out, (c) => c.ccr.capKey);
  assert.deepEqual(
    [...perSubnet.values()].map((c) => c.length),
    [5, 5, 5],
  );
  assert.deepEqual(await ccrs.claims.take({ worker: workers[0], limit: 4, caps }), []);
  await ccrs.claims.complete(perSubnet.get('10.0.1.0/24')![0]!, 'x');
  const next = await ccrs.claims.take({ worker: workers[0], limit: 4, caps });
  assert.deepEqual(
    next.map((c) => c.ccr.capKey),
    ['10.0.1.0/24'],
  );
  for (const worker of workers) await worker.leave(clock.now());
});

for (const further of [0, 11_000])
  test(`a full subnet with ${300 + further} at the head of the queue does not keep the others waiting`, async () => {
    await ccrs.requestMany(
      Array.from({ length: 300 }, (_, i) => ({
        name: `A${i}`,
        addresses: ['10.0.0.1'],
        source: 'push' as const,
        requestedBy: 't',
      })),
    );
    // With 11,000 there are more of that subnet than a claim walks past.
    await base.db.query(
      `insert into ccr (machine_key, name, name_key, state, source, requested_by, first_requested_at, last_requested_at, due_at, cap_key)
       select 'X' || i, 'X' || i, 'X' || i, 'queued', 'push', 't', $1, $1, $1, '10.0.0.0/24' from generate_series(1, $2) i`,
      [clock.now(), further],
    );
    await clock.advance(1000);
    await ccrs.requestMany(
      Array.from({ length: 5 }, (_, i) => ({
        name: `B${i}`,
        addresses: ['10.9.0.1'],
        source: 'push' as const,
        requestedBy: 't',
      })),
    );
    const worker = await ccrs.claims.registerWorker('w');
    const caps = { perSubnet: 3, perAccount: 1000 };
    const names = async () => (await ccrs.claims.take({ worker, limit: 10, caps })).map((c) => c.ccr.name);
    assert.deepEqual(await names(), ['A0', 'A1', 'A2', 'B0', 'B1', 'B2']);
    assert.deepEqual(await names(), []);
    await worker.leave(clock.now());
  });

test('an account with thousands at the head of the queue, all it may have, does not keep other accounts waiting', async () => {
  const put = (prefix: string, count: number, account: string | null, ms: number) =>
    base.db.query(
      `insert into ccr (machine_key, name, name_key, state, source, requested_by, first_requested_at, last_requested_at, due_at, cap_key, account)
       select $1 || i, $1 || i, $1 || i, 'retry', 'push', 't', $2, $2, $2, '10.0.0.0/24', $3 from generate_series(1, $4) i`,
      [prefix, later(ms), account, count],
    );
  await put('A', 10_500, 'a', 0);
  await put('N', 3, null, 1);
  await put('B', 3, 'b', 2);
  await put('C', 3, 'c', 3);
  await clock.advance(10);
  const worker = await ccrs.claims.registerWorker('w');
  const caps = { perSubnet: 1000, perAccount: 2 };
  const names = async () => (await ccrs.claims.take({ worker, limit: 12, caps })).map((c) => c.ccr.name);
  assert.deepEqual(await names(), ['A1', 'A2', 'N1', 'N2', 'N3', 'B1', 'B2', 'C1', 'C2']);
  assert.deepEqual(await names(), []);
  await worker.leave(clock.now());
});

test('no more than the cap of an account is out at a time', async () => {
  await queue(20);
  const worker = await ccrs.claims.registerWorker('w');
  for (const claimed of await ccrs.claims.take({ worker, limit: 20, caps: CAPS })) {
    ccrs.claims.attempt(claimed).connected({ account: 'CORP\\push' });
    await ccrs.claims.retry(claimed, { error: SILENT, nextAt: later(MINUTE) });
  }
  await clock.advance(MINUTE);
  const got = await ccrs.claims.take({ worker, limit: 20, caps: { perSubnet: 1000, perAccount: 6 } });
  assert.equal(got.length, 6);
  assert.equal((await ccrs.claims.take({ worker, limit: 20, caps: { perSubnet: 1000, perAccount: 6 } })).length, 0);
  await worker.leave(clock.now());
});

test('an attempt counts when it begins, and its timeline comes with its outcome', async () => {
  await queue(1);
  const worker = await ccrs.claims.registerWorker('w');
  const [claimed] = await ccrs.claims.take({ worker, limit: 1, caps: CAPS });
  assert.deepEqual([claimed!.purpose, claimed!.ccr.state, claimed!.ccr.attempts], ['attempt', 'processing', 1]);
  assert.equal((await ccrs.show('pc0'))!.attempts, 1);
  const attempt = ccrs.claims.attempt(claimed!);
  attempt.step({ name: 'probe', outcome: 'ok', startedAt: clock.now(), durationMs: 12.6, detail: '10.0.0.1:445' });
  await ccrs.claims.flush();
  assert.deepEqual(
    (await ccrs.show('pc0'))!.steps.map((s) => [s.name, s.durationMs]),
    [['probe', 13]],
  );
  attempt.connected({ account: 'CORP\\push', dialect: '3.1.1', signing: 'AES-GMAC', encryption: 'AES-128-GCM' });
  attempt.step({
    name: 'logon',
    outcome: 'failed',
    startedAt: clock.now(),
    durationMs: 3,
    detail: 'no\u0000pe',
    code: 'PP_X',
    win32: 5,
  });
  assert.equal(await ccrs.claims.retry(claimed!, { error: { ...SILENT, detail: 'more' }, nextAt: later(60 * MINUTE) }), true);
  const shown = (await ccrs.show('pc0'))!;
  assert.deepEqual(
    [shown.state, shown.lastErrorCode, shown.lastError, shown.lastErrorText],
    ['retry', 53, 'PP_NET_SILENT', 'no answer; more'],
  );
  assert.deepEqual(shown.nextAttemptAt, later(60 * MINUTE));
  assert.equal(shown.account, 'CORP\\push');
  assert.deepEqual(
    shown.steps.map((s) => [s.name, s.outcome, s.detail, s.code, s.win32]),
    [
      ['probe', 'ok', '10.0.0.1:445', undefined, undefined],
      ['logon', 'failed', 'no\\u0000pe', 'PP_X', 5],
    ],
  );
  const [tried] = shown.history;
  assert.deepEqual(
    [tried!.number, tried!.outcome, tried!.dialect, tried!.signing, tried!.encryption, tried!.error],
    [1, 'retry', '3.1.1', 'AES-GMAC', 'AES-128-GCM', 'PP_NET_SILENT'],
  );
  await worker.leave(clock.now());
});

test('steps of a running attempt are seen after a quarter of a second', async () => {
  await queue(1);
  const worker = await ccrs.claims.registerWorker('w');
  const [claimed] = await ccrs.claims.take({ worker, limit: 1, caps: CAPS });
  ccrs.claims.attempt(claimed!).step({ name: 'probe', outcome: 'ok', startedAt: clock.now(), durationMs: 1 });
  await clock.advance(250);
  await ccrs.claims.flush();
  assert.equal((await ccrs.show('pc0'))!.steps.length, 1);
  await worker.leave(clock.now());
});

async function startedOne(): Promise<{ claimed: Claimed; leave: () => Promise<unknown> }> {
  await queue(1);
  const worker = await ccrs.claims.registerWorker('w');
  const [first] = await ccrs.claims.take({ worker, limit: 1, caps: CAPS });
  ccrs.claims.attempt(first!).step({ name: 'start', outcome: 'ok', startedAt: clock.now(), durationMs: 1 });
  assert.equal(await ccrs.claims.started(first!, { startedAt: clock.now(), verifyAt: later(MINUTE) }), true);
  assert.deepEqual(await ccrs.claims.take({ worker, limit: 1, caps: CAPS }), []);
  await clock.advance(MINUTE);
  const [claimed] = await ccrs.claims.take({ worker, limit: 1, caps: CAPS });
  assert.deepEqual([claimed!.purpose, claimed!.ccr.state, claimed!.ccr.attempts], ['verify', 'verifying', 1]);
  return { claimed: claimed!, leave: () => worker.leave(clock.now()) };
}

test('verifying counts no attempt, its steps follow those of the attempt, and completes it', async () => {
  const { claimed, leave } = await startedOne();
  ccrs.claims.attempt(claimed).step({ name: 'verify', outcome: 'unknown', startedAt: clock.now(), durationMs: 1 });
  assert.equal(await ccrs.claims.requeueVerify(claimed, later(MINUTE)), true);
  assert.equal((await ccrs.show('pc0'))!.verifyCount, 1);
  assert.equal(await ccrs.wake({ name: 'pc0' }), 1);
  const worker = await ccrs.claims.registerWorker('w2');
  const [again] = await ccrs.claims.take({ worker, limit: 1, caps: CAPS });
  ccrs.claims.attempt(again!).step({ name: 'verify', outcome: 'ok', startedAt: clock.now(), durationMs: 1 });
  assert.equal(await ccrs.claims.complete(again!, 'client GUID:1 registered'), true);
  const shown = (await ccrs.show('pc0'))!;
  assert.deepEqual([shown.state, shown.attempts, shown.proof], ['complete', 1, 'client GUID:1 registered']);
  assert.deepEqual(
    shown.steps.map((s) => `${s.name} ${s.outcome}`),
    ['start ok', 'verify unknown', 'verify ok'],
  );
  assert.equal(await ccrs.claims.nextDue(), undefined);
  await worker.leave(clock.now());
  await leave();
});

test('a machine that registers while it is worked is verified at once', async () => {
  await queue(1);
  const worker = await ccrs.claims.registerWorker('w');
  const [claimed] = await ccrs.claims.take({ worker, limit: 1, caps: CAPS });
  await ccrs.wake({ name: 'PC0' });
  await ccrs.claims.started(claimed!, { startedAt: clock.now(), verifyAt: later(MINUTE) });
  const [verify] = await ccrs.claims.take({ worker, limit: 1, caps: CAPS });
  assert.equal(verify!.purpose, 'verify');
  await worker.leave(clock.now());
});

test('cancel and pause are visible at once, and the worker is refused and told', async () => {
  await queue(2);
  const worker = await ccrs.claims.registerWorker('w');
  const [a, b] = await ccrs.claims.take({ worker, limit: 2, caps: CAPS });
  const attempt = ccrs.claims.attempt(a!);
  assert.equal(attempt.lost.aborted, false);
  await ccrs.cancel([a!.ccr.id], 'CORP\\admin');
  await ccrs.pause([b!.ccr.id]);
  assert.equal((await ccrs.show('pc0'))!.state, 'cancelled');
  assert.equal((await ccrs.show('pc0'))!.finishedBy, 'CORP\\admin');
  assert.equal((await ccrs.show('pc1'))!.state, 'paused');
  attempt.step({ name: 'logon', outcome: 'ok', startedAt: clock.now(), durationMs: 1 });
  await ccrs.claims.flush();
  assert.equal(attempt.lost.aborted, true);
  assert.equal(await ccrs.claims.complete(a!, 'x'), false);
  assert.equal(await ccrs.claims.retry(b!, { error: SILENT, nextAt: clock.now() }), false);
  assert.equal((await ccrs.show('pc0'))!.state, 'cancelled');
  assert.deepEqual((await ccrs.show('pc0'))!.steps, []);
  await clock.advance(24 * 60 * MINUTE);
  assert.deepEqual(await ccrs.claims.take({ worker, limit: 9, caps: CAPS }), []);
  const [resumed] = await ccrs.resume([b!.ccr.id]);
  assert.equal(resumed!.state, 'queued');
  const [c] = await ccrs.claims.take({ worker, limit: 9, caps: CAPS });
  assert.equal(await ccrs.claims.complete(b!, 'an old claim'), false);
  assert.equal(await ccrs.claims.complete(c!, 'x'), true);
  await worker.leave(clock.now());
});

test('a request for a machine that is being worked is done after it, when it asks for something else', async () => {
  await queue(2);
  const worker = await ccrs.claims.registerWorker('w');
  const [a, b] = await ccrs.claims.take({ worker, limit: 2, caps: CAPS });
  await ccrs.request({ name: 'PC0', source: 'push', requestedBy: 't', forced: true });
  await ccrs.request({ name: 'PC1', source: 'push', requestedBy: 't' });
  assert.equal(
    await ccrs.claims.skip(a!, { code: 'PP_PUSH_CLIENT_PRESENT', win32: 120, message: 'there', detail: undefined }),
    true,
  );
  assert.equal((await ccrs.show('pc0'))!.state, 'queued');
  assert.equal(await ccrs.claims.complete(b!, 'x'), true);
  assert.equal((await ccrs.show('pc1'))!.state, 'complete');
  await worker.leave(clock.now());
});

test('what a killed process had is taken over at once, and its late writes are refused', async () => {
  await queue(3);
  const killed = await ccrs.claims.registerWorker('killed');
  const alive = await ccrs.claims.registerWorker('alive');
  const [a, b] = await ccrs.claims.take({ worker: killed, limit: 2, caps: CAPS });
  const [c] = await ccrs.claims.take({ worker: alive, limit: 1, caps: CAPS });
  assert.equal(await ccrs.claims.reclaimDead(), 0);
  await killed.abandon();
  assert.equal(await ccrs.claims.reclaimDead(), 2);
  assert.equal((await ccrs.show('pc0'))!.state, 'queued');
  assert.equal((await ccrs.show('pc0'))!.history[0]!.outcome, 'interrupted');
  assert.equal(await ccrs.claims.complete(a!, 'late'), false);
  assert.equal(await ccrs.claims.retry(b!, { error: SILENT, nextAt: clock.now() }), false);
  assert.equal(await ccrs.claims.renew(killed, later(MINUTE)), false);
  assert.deepEqual(await ccrs.claims.take({ worker: killed, limit: 5, caps: CAPS }), []);
  assert.equal((await ccrs.claims.take({ worker: alive, limit: 5, caps: CAPS })).length, 2);
  assert.equal(await ccrs.claims.complete(c!, 'x'), true);
  await alive.leave(clock.now());
});

test('a worker that hangs loses its lease, one that renews keeps it', async () => {
  await queue(2);
  const hung = await ccrs.claims.registerWorker('hung', MINUTE);
  const good = await ccrs.claims.registerWorker('good', MINUTE);
  await ccrs.claims.take({ worker: hung, limit: 1, caps: CAPS });
  const [mine] = await ccrs.claims.take({ worker: good, limit: 1, caps: CAPS });
  await clock.advance(MINUTE + 1);
  assert.equal(await ccrs.claims.renew(good, later(MINUTE)), true);
  assert.equal(await ccrs.claims.reclaimDead(), 1);
  assert.equal(await ccrs.claims.complete(mine!, 'x'), true);
  assert.equal(await ccrs.claims.renew(hung, later(MINUTE)), false);
  await hung.abandon();
  await good.leave(clock.now());
});

test('a process that stops gives back what it has', async () => {
  await queue(2);
  const worker = await ccrs.claims.registerWorker('w');
  const [a] = await ccrs.claims.take({ worker, limit: 2, caps: CAPS });
  assert.equal(await ccrs.claims.release(a!), true);
  assert.deepEqual(
    (await ccrs.show('pc0'))!.history.map((h) => h.outcome),
    ['interrupted'],
  );
  assert.equal(await worker.leave(clock.now()), 1);
  assert.equal((await ccrs.countByState()).queued, 2);
});

test('a CCR lives through 168 hourly tries of a week and then is over', async () => {
  await queue(1);
  const worker = await ccrs.claims.registerWorker('w', 1e12);
  const week = { maxAttempts: 168, windowDays: 7 };
  const { exhausted } = await import('#records/ccr');
  let tries = 0;
  for (;;) {
    const [claimed] = await ccrs.claims.take({ worker, limit: 1, caps: CAPS });
    assert.ok(claimed, `try ${tries + 1}`);
    tries++;
    ccrs.claims.attempt(claimed).step({ name: 'probe', outcome: 'failed', startedAt: clock.now(), durationMs: 2000, win32: 53 });
    if (exhausted(claimed.ccr, clock.now(), week)) {
      await ccrs.claims.fail(claimed, SILENT);
      break;
    }
    await ccrs.claims.retry(claimed, { error: SILENT, nextAt: later(60 * MINUTE) });
    await clock.advance(60 * MINUTE);
  }
  assert.equal(tries, 168);
  const shown = (await ccrs.show('pc0', undefined, 200))!;
  assert.deepEqual([shown.state, shown.attempts, shown.history.length, shown.nextAttemptAt], ['failed', 168, 168, undefined]);
  await worker.leave(clock.now());
});

test('the error event is raised once', async () => {
  await queue(1);
  const [ccr] = await ccrs.find('pc0');
  const marks = await Promise.all([1, 2, 3].map(() => ccrs.claims.markErrorEvent(ccr!.id, clock.now())));
  assert.equal(marks.filter(Boolean).length, 1);
});

test('retry now restarts the week of a waiting CCR', async () => {
  await queue(1);
  const worker = await ccrs.claims.registerWorker('w');
  const [claimed] = await ccrs.claims.take({ worker, limit: 1, caps: CAPS });
  await ccrs.claims.wait(claimed!, {
    error: { code: 'PP_PUSH_NO_ACCOUNT', win32: 1317, message: 'none', detail: undefined },
    nextAt: later(1e9),
  });
  assert.equal((await ccrs.show('pc0'))!.state, 'waiting');
  assert.equal(await ccrs.wake({ lastError: 'PP_NET_SILENT' }), 0);
  assert.equal(await ccrs.wake({ lastError: 'PP_PUSH_NO_ACCOUNT' }), 1);
  const [ready] = await ccrs.retryNow([claimed!.ccr.id]);
  assert.deepEqual([ready!.state, ready!.intervalAttempts, ready!.retryIntervalStart], ['queued', 0, undefined]);
  await worker.leave(clock.now());
});
