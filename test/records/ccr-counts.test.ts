import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#base/clock';
import { CcrRecord } from '#records/ccr';
import type { Database } from '#store/database';
import { testDatabase } from '#test/database';
import { eventually } from '#test/whole-site';

/** watched counts the statements that count every live CCR. */
function watched(db: Database): { db: Database; whole: () => number } {
  let whole = 0;
  const exec: Database['exec'] = (statement, values) => {
    if (statement.name === 'ccr_count') whole++;
    return db.exec(statement, values);
  };
  return { db: new Proxy(db, { get: (target, key) => (key === 'exec' ? exec : Reflect.get(target, key)) }), whole: () => whole };
}

test('up to 20,000 live CCRs are counted exactly; of more the last count is told, with its moment, and nobody waits for a new one', async (t) => {
  const base = await testDatabase();
  t.after(() => base.close());
  const clock = new ManualClock(new Date('2026-11-21T12:00:00Z'));
  const { db, whole } = watched(base.db);
  const ccrs = new CcrRecord(db, clock);
  const add = (from: number, to: number) =>
    base.db.query(
      `insert into ccr (machine_key, name, name_key, state, source, requested_by, first_requested_at, last_requested_at)
       select 'K' || i, 'PC' || i, 'PC' || i, case when i % 2 = 0 then 'queued' else 'retry' end, 'push', 'test', $3, $3 from generate_series($1::integer, $2::integer) i`,
      [from, to, clock.now()],
    );
  await add(1, 20_000);
  assert.deepEqual([(await ccrs.countByState()).queued, (await ccrs.countByState()).retry, whole()], [10_000, 10_000, 0]);
  await add(20_001, 20_100);
  const first = await ccrs.counted();
  assert.deepEqual([first.counts.queued, first.counts.complete, first.at, whole()], [10_050, 0, clock.now(), 1]);
  await add(20_101, 20_200);
  for (let i = 0; i < 50; i++) assert.equal((await ccrs.countByState()).queued, 10_050);
  assert.equal(whole(), 1, 'fifty askers, and nobody counted');
  await clock.advance(3000);
  // The one who asks now is told what is known, and has it counted for those who come.
  assert.equal((await ccrs.countByState()).queued, 10_050);
  assert.equal(whole(), 2);
  await eventually('the new count', async () => (await ccrs.countByState()).queued === 10_100);
  await clock.advance(61_000);
  assert.deepEqual([(await ccrs.countByState()).queued, (await ccrs.counted()).at], [10_100, clock.now()]);
  await base.db.query("delete from ccr where name_key > 'PC2'");
  await clock.advance(61_000);
  const left = (await base.db.query<{ n: number }>("select count(*) as n from ccr where state = 'queued'"))[0]!.n;
  assert.equal((await ccrs.countByState()).queued, left);
});
