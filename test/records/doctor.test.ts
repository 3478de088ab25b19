import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#base/clock';
import { DoctorRecord, headline, type Check } from '#records/doctor';
import { isRefusal } from '#test/push-site';
import { testDatabase } from '#test/database';

const DAY_MS = 86_400_000;
const check = (name: string, verdict: Check['verdict'], more: Partial<Check> = {}): Check => ({
  group: 'pre-install',
  name,
  verdict,
  tried: 'something',
  found: `${name} came back`,
  durationMs: 1,
  ...more,
});

async function open(t: { after: (fn: () => Promise<void>) => void }) {
  const clock = new ManualClock();
  const { db, close } = await testDatabase();
  t.after(() => close());
  return { clock, db, record: new DoctorRecord(db, clock) };
}

test('a request is taken by one of two processes, and by the other one when the first is silent for longer than its lease', async (t) => {
  const { clock, record } = await open(t);
  const { id } = await record.request({ host: 'PC-1', logon: true, by: 'anna' });
  const both = await Promise.all([record.claim('a'), record.claim('b')]);
  const first = both[0] ? 'a' : 'b';
  const second = first === 'a' ? 'b' : 'a';
  assert.equal(both.filter(Boolean).length, 1);
  assert.equal(await record.keep(id, first, [check('known', 'ok')]), true);
  assert.deepEqual(
    (await record.byId(id))!.checks.map(({ name }) => name),
    ['known'],
    'what was found so far can be read',
  );
  await clock.advance(50_000);
  assert.equal(await record.claim(second), undefined);
  await clock.advance(20_000);
  assert.equal((await record.claim(second))?.id, id);
  assert.deepEqual((await record.byId(id))!.checks, [], 'it begins anew');
  assert.equal(await record.keep(id, first, []), false, 'the slow one is told that it lost it');
  assert.equal(await record.finish(id, first, []), false);
  assert.equal(await record.finish(id, second, [check('probe', 'problem', { failsAt: 'probe' })]), true);
  const done = await record.byId(id);
  assert.equal(done?.state, 'done');
  assert.equal(done.headline, 'The push to PC-1 would fail at probe: probe came back');
});

test('an examination that takes its process with it is begun twice, then it failed; others go on', async (t) => {
  const { clock, record } = await open(t);
  const { id } = await record.request({ host: 'DEADLY-1', logon: true, by: 'anna' });
  // A stop in good order counts as no try.
  for (const worker of ['s', 't', 'u']) {
    await record.claim(worker);
    await record.release(id, worker);
  }
  for (const worker of ['a', 'b']) {
    assert.equal((await record.claim(worker))?.id, id);
    await clock.advance(70_000);
  }
  const next = await record.request({ host: 'FINE-1', logon: true, by: 'anna' });
  assert.equal((await record.claim('c'))?.id, next.id);
  const done = await record.byId(id);
  assert.equal(done?.state, 'failed');
  assert.match(done.error!, /went away in the middle, 2 times/);
  assert.ok(done.finishedAt);
  assert.equal(await record.claim('d'), undefined);
});

test('a request that is given back is taken again; one that failed says why', async (t) => {
  const { record } = await open(t);
  const { id } = await record.request({ logon: false, by: 'anna' });
  await record.claim('a');
  await record.release(id, 'a');
  assert.equal((await record.claim('b'))?.id, id);
  await record.finish(id, 'b', [], 'it took too long');
  const done = await record.byId(id);
  assert.deepEqual([done?.state, done?.error, done?.headline], ['failed', 'it took too long', undefined]);
});

test('aged examinations are removed, and more than 200 do not wait', async (t) => {
  const { clock, record } = await open(t);
  const old = await record.request({ host: 'OLD-1', logon: true, by: 'anna' });
  await record.claim('a');
  await record.finish(old.id, 'a', []);
  await clock.advance(8 * DAY_MS);
  await record.request({ host: 'NEW-1', logon: true, by: 'anna' });
  assert.equal(await record.byId(old.id), undefined);
  for (let i = 0; i < 199; i++) await record.request({ host: `PC-${i}`, logon: true, by: 'anna' });
  await assert.rejects(record.request({ host: 'ONE-TOO-MANY', logon: true, by: 'anna' }), (error: unknown) => {
    assert.ok(isRefusal(error));
    return error.code === 'PP_DOCTOR_BUSY' && error.http === 429;
  });
});

test('the first sentence names the step at which a push would end, before problems that end none', () => {
  const later = [check('agent', 'problem'), check('logon', 'problem', { failsAt: 'logon' })];
  assert.equal(headline('PC-1', later), 'The push to PC-1 would fail at logon: logon came back');
  assert.equal(
    headline('PC-1', [check('logon', 'not-tried')]),
    'No problem was found on the way to PC-1; nobody logged on there.',
  );
  assert.equal(
    headline('PC-1', [check('logon', 'ok'), check('dns', 'warning')]),
    'A push to PC-1 would go through. One thing is worth a look.',
  );
  assert.equal(headline(undefined, [check('disk', 'ok')]), 'The site server is well.');
  assert.equal(headline(undefined, [check('disk', 'problem')]), 'The site server has a problem: disk came back');
});
