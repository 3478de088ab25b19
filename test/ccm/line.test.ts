import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { openDatabase } from '#store/database';
import { testDatabase } from '#test/database';
import { gated } from '#test/gate';
import { labSite, locksOn } from '#test/lab-site';
import { Line } from '#test/line';
import { scratch } from '#test/scratch';
import { waitFor, type PushSite } from '#test/push-site';

/** The line to an external database is spoiled in the middle of pushes; the database itself lives on. */

const NAMES = ['PC-1', 'PC-2', 'PC-3', 'PC-4'];

/** spoiled pushes to four machines over a line that `spoil` gets hold of when the first one is about to be copied to. */
async function spoiled(t: TestContext, spoil: (line: Line) => void) {
  const { site, hosts } = await labSite(t, Object.fromEntries(NAMES.map((name) => [name, {}])));
  const { line, url } = await Line.open(site.url);
  t.after(() => line.close());
  let done = false;
  const network = gated(site.network(), async (at) => {
    if (at !== 'before copy' || done) return;
    done = true;
    spoil(line);
  });
  await site.startOther({ network }, { url });
  await site.push(NAMES);
  await waitFor('the line to be spoiled', () => done);
  return { site, hosts };
}

/** allComplete lets the half minute pass that a CCR stands back whose outcome could not be written. */
async function allComplete(site: PushSite): Promise<void> {
  await waitFor('all to be complete', async () => {
    const all = await Promise.all(NAMES.map((name) => site.show(name)));
    if (all.some(({ state, nextAttemptAt }) => state === 'queued' && nextAttemptAt! > site.clock.now())) await site.skip(31_000);
    return all.every(({ state }) => state === 'complete');
  });
  for (const name of NAMES) {
    const { attempts, history } = await site.show(name);
    assert.equal(history.length, attempts);
    assert.deepEqual(
      history.slice(1).filter(({ outcome }) => outcome !== 'interrupted'),
      [],
    );
    assert.deepEqual(await locksOn(site, name), []);
    assert.equal((await site.records.client.byName(name)).length, 1);
  }
  const held = await site.database.query<{ n: number }>('select count(*) as n from ccr where worker_id is not null');
  assert.equal(held[0]!.n, 0);
}

test('a line that is cut costs no machine more than half a minute', async (t) => {
  const { site } = await spoiled(t, (line) => line.cut());
  await allComplete(site);
});

test('a line that goes silent is taken for dead when no answer comes, the next statement has a new one, and closing ends', async (t) => {
  const base = await testDatabase();
  t.after(() => base.close());
  const { line, url } = await Line.open(base.url);
  t.after(() => line.close());
  const dataDir = await mkdtemp(join(scratch, 'pushpoint-line-'));
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  const db = await openDatabase({ dataDir, url, clock: systemClock, log: silentLog, connections: 1, answerMs: 1500 });
  await db.listen('ccr', () => {});
  await db.query('select 1');
  line.silence();
  await assert.rejects(db.query('select 2'), { code: 'PP_STORE_UNREACHABLE' });
  assert.deepEqual(await db.query('select 3 as n'), [{ n: 3 }]);
  line.silence();
  await assert.rejects(
    db.transaction((tx) => tx.query('select 4')),
    { code: 'PP_STORE_UNREACHABLE' },
  );
  await db.query('select 5');
  line.silence();
  await db.close();
});

test('an outcome that was committed although its answer was lost is not written twice, and nothing is done again', async (t) => {
  let lost: Promise<void> = Promise.resolve();
  const { site, hosts } = await spoiled(t, (line) => void (lost = line.loseAnswer('ccr_attempt a set')));
  await lost;
  await allComplete(site);
  for (const name of NAMES) {
    assert.equal((await site.show(name)).attempts, 1);
    assert.deepEqual(hosts[name]!.logons.of('CORP\\push'), { succeeded: 1, failed: 0 });
  }
});
