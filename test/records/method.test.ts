import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { testDatabase } from '#test/database';
import { ManualClock } from '#base/clock';
import { isCode, type Code } from '#base/errors';
import { emptyReport, MethodRecord, type RunWish } from '#records/method';

const DAY_MINUTES = 1440;

async function made(t: TestContext) {
  const { db, close } = await testDatabase();
  t.after(close);
  const clock = new ManualClock();
  return { db, clock, methods: new MethodRecord(db, clock) };
}

const refused = (work: Promise<unknown>, code: Code) => assert.rejects(work, (error) => isCode(error, code));

test('a run is a wish first; one process takes it, tells how far it is, and ends it', async (t) => {
  const { methods } = await made(t);
  const wish = await methods.request({ method: 'network', kind: 'full', patch: { targets: ['10.1.0.0/24'] }, by: 'anna' });
  assert.deepEqual([wish.state, wish.total, wish.own, wish.wantedBy], ['queued', 254, true, 'anna']);
  const [one, other] = await Promise.all([methods.claim('one'), methods.claim('other')]);
  assert.equal([one, other].filter(Boolean).length, 1, 'two processes took one run');
  const worker = one ? 'one' : 'other';
  const report = { ...emptyReport(), asked: 100 };
  assert.equal(await methods.keep(wish.id, worker, { done: 90, report }), 'go on');
  const under = await methods.run(wish.id);
  assert.deepEqual([under.state, under.done, under.report.asked], ['running', 90, 100]);
  const ended = await methods.finish(wish.id, worker, 'done');
  assert.equal(ended?.state, 'done');
  assert.ok(ended.finishedAt);
  assert.equal(await methods.finish(wish.id, worker, 'failed'), undefined, 'what is over stays so');
});

test('what a process cannot end another one goes on with: given back at once, or after a minute of silence', async (t) => {
  const { methods, clock } = await made(t);
  const { id } = await methods.request({ method: 'network', kind: 'full', patch: { targets: ['10.1.0.0/24'] }, by: 'anna' });
  await methods.claim('one');
  await methods.keep(id, 'one', { done: 17, report: emptyReport() });
  await methods.release(id, 'one');
  assert.equal((await methods.claim('two'))?.done, 17);
  await clock.advance(59_000);
  assert.equal(await methods.claim('three'), undefined, 'a run that is alive was taken away');
  await clock.advance(2000);
  assert.equal((await methods.claim('three'))?.done, 17);
  assert.equal(await methods.keep(id, 'two', { done: 99, report: emptyReport() }), 'lost');
  assert.equal(await methods.finish(id, 'two', 'done'), undefined);
  assert.equal((await methods.run(id)).done, 17);
});

test('a run that waits is cancelled at once, one under way is told, one that is over refuses', async (t) => {
  const { methods } = await made(t);
  const wish: RunWish = { method: 'network', kind: 'full', patch: { targets: ['10.1.0.1'] }, by: 'anna' };
  const waiting = await methods.request(wish);
  assert.equal((await methods.cancel(waiting.id, 'ben')).state, 'cancelled');
  assert.equal(await methods.claim('one'), undefined);
  const under = await methods.request(wish);
  await methods.claim('one');
  assert.equal((await methods.cancel(under.id, 'ben')).state, 'running');
  assert.equal(await methods.keep(under.id, 'one', { done: 0, report: emptyReport() }), 'cancelled');
  await methods.finish(under.id, 'one', 'cancelled');
  assert.equal((await methods.run(under.id)).cancelledBy, 'ben');
  await refused(methods.cancel(under.id, 'ben'), 'PP_DISCOVERY_RUN_OVER');
  await refused(methods.cancel(99, 'ben'), 'PP_DISCOVERY_RUN');
});

test('a schedule begins at once and comes back; a full run makes the delta run of that time needless; off is off', async (t) => {
  const { methods, clock } = await made(t);
  await refused(methods.set('network', {}, { fullMinutes: DAY_MINUTES }, 'anna'), 'PP_DISCOVERY_NO_TARGETS');
  await methods.set('network', { targets: ['10.1.0.0/30'] }, { fullMinutes: DAY_MINUTES, deltaMinutes: 60 }, 'anna');
  const due = async () => (await methods.requestDue()).map(({ kind }) => kind);
  assert.deepEqual(await due(), ['full']);
  assert.deepEqual(await due(), []);
  await clock.advance(60 * 60_000);
  assert.deepEqual(await due(), ['delta']);
  await clock.advance(60 * 60_000);
  assert.deepEqual(await due(), ['delta']);
  const runs = await methods.runs({ limit: 10 });
  assert.deepEqual(
    runs.map(({ kind, scheduled, state }) => `${kind} ${scheduled} ${state}`),
    ['delta true queued', 'full true queued'],
    'a wish that still waits is not doubled',
  );
  await methods.set('network', { perSecond: 50 }, {}, 'anna');
  assert.equal((await methods.method('network')).settings.perSecond, 50);
  await methods.set('network', {}, { fullMinutes: 0, deltaMinutes: 0 }, 'anna');
  await clock.advance(3 * DAY_MINUTES * 60_000);
  assert.deepEqual(await due(), []);
  assert.equal(await methods.nextDueAt(), undefined);
});

test('wrong settings, targets and methods are refused by what is wrong, and nothing is stored', async (t) => {
  const { methods } = await made(t);
  const set = (patch: object) => methods.set('network', patch, {}, 'anna');
  await refused(set({ perSecond: 0 }), 'PP_DISCOVERY_SETTING');
  await refused(set({ ports: [80] }), 'PP_DISCOVERY_SETTING');
  await refused(set({ ports: [] }), 'PP_DISCOVERY_SETTING');
  await refused(set({ colour: 'red' }), 'PP_DISCOVERY_SETTING');
  await refused(set({ targets: ['10.0.0.0/8'] }), 'PP_DISCOVERY_TOO_MANY');
  await refused(set({ exclude: ['nowhere'] }), 'PP_DISCOVERY_TARGET');
  await refused(methods.set('snmp', {}, {}, 'anna'), 'PP_DISCOVERY_METHOD');
  await refused(methods.request({ method: 'network', kind: 'full', by: 'anna' }), 'PP_DISCOVERY_NO_TARGETS');
  const { settings, fullMinutes } = await methods.method('network');
  assert.deepEqual([settings.targets, settings.perSecond, settings.trusted, fullMinutes], [[], 1000, false, 0]);
});

test('of each method the last 200 runs are kept', async (t) => {
  const { methods } = await made(t);
  for (let i = 0; i < 203; i++) {
    const { id } = await methods.request({ method: 'network', kind: 'full', patch: { targets: ['10.1.0.1'] }, by: 'anna' });
    await methods.claim('one');
    await methods.finish(id, 'one', 'done');
  }
  const runs = await methods.runs({ limit: 1000 });
  assert.ok(runs.length <= 201, `${runs.length} are kept`);
  assert.equal(runs[0]!.id - runs.at(-1)!.id, runs.length - 1);
  const page = await methods.runs({ method: 'network', before: runs[1]!.id, limit: 2 });
  assert.deepEqual(
    page.map(({ id }) => id),
    [runs[2]!.id, runs[3]!.id],
  );
});
