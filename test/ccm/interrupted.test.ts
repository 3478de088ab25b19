import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { gated, MOMENTS, type Moment } from '#test/gate';
import { labSite, locksOn } from '#test/lab-site';
import { PASSWORD, waitFor, type AheadClock } from '#test/push-site';

const CHILD = fileURLToPath(new URL('../support/ccm-child.ts', import.meta.url));

/** Moments of an attempt after which something runs on the machine that nobody can take back. */
const STARTED: readonly Moment[] = ['after start', 'before release', 'after release'];

for (const moment of MOMENTS) {
  test(`a process killed ${moment} loses nothing: another one brings the push to its end`, async (t) => {
    const { site, hosts } = await labSite(t, { 'PC-1': {} });
    const child = fork(CHILD, [site.folder, site.url, moment], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    t.after(() => child.kill('SIGKILL'));
    const reached = new Promise<void>((resolve) => child.on('message', (message) => message === 'there' && resolve()));
    await once(child, 'message');
    await site.push('PC-1');
    await reached;
    assert.equal((await site.show('PC-1')).state, 'processing');
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    await site.startCcm();
    const done = await site.until('PC-1', 'complete', 'failed', 'retry', 'waiting', 'skipped');
    assert.equal(done.state, 'complete', JSON.stringify(done));
    assert.equal(done.attempts, 2, 'the attempt that was cut off counts');
    assert.equal(done.history[1]!.outcome, 'interrupted');
    assert.equal(hosts['PC-1']!.machine.serviceState('CcmExec'), 'running');
    await waitFor('the bootstrap to end', () => hosts['PC-1']!.machine.serviceState('ccmsetup') === undefined);
    // That the service runs is proof enough; the client registers when it comes to it.
    await waitFor('the client to register', async () => (await site.records.client.byName('PC-1')).length > 0);
    assert.equal((await site.records.client.byName('PC-1')).length, 1);
    // A lock that outlived its process goes with the next attempt that gets that far.
    if (!(moment === 'before release')) assert.deepEqual(await locksOn(site, 'PC-1'), []);
  });

  for (const act of ['cancel', 'pause'] as const) {
    test(`${act} ${moment}: the attempt ends there, its lock goes, nothing more is done`, async (t) => {
      const { site, hosts } = await labSite(t, { 'PC-1': {} });
      let acted = false;
      let listening: () => void = () => {};
      const heard = new Promise<void>((resolve) => (listening = resolve));
      const network = gated(site.network(), async (at) => {
        if (at !== moment || acted) return;
        acted = true;
        const [ccr] = await site.records.ccr.find('PC-1');
        // The step goes on when the announcement has come.
        const announced = new Promise<void>(
          (resolve) => void site.database.listen('ccr_stop', () => resolve()).then(() => listening()),
        );
        await heard;
        if (act === 'cancel') await site.records.ccr.cancel([ccr!.id], 'anna');
        else await site.records.ccr.pause([ccr!.id]);
        await announced;
      });
      const ccm = await site.startCcm({ network });
      await site.push('PC-1');
      await site.until('PC-1', act === 'cancel' ? 'cancelled' : 'paused');
      await waitFor('the moment', () => acted);
      await ccm.stop();
      const ended = await site.show('PC-1');
      assert.equal(ended.state, act === 'cancel' ? 'cancelled' : 'paused');
      assert.deepEqual(await locksOn(site, 'PC-1'), []);
      const { machine } = hosts['PC-1']!;
      if (!STARTED.includes(moment)) {
        assert.equal(machine.serviceState('CcmExec'), undefined);
        assert.equal(machine.serviceState('ccmsetup'), undefined);
      }
      if (act === 'cancel') return;
      await site.startCcm();
      await site.records.ccr.resume([ended.id]);
      const done = await site.until('PC-1', 'complete', 'failed', 'retry', 'waiting', 'skipped');
      assert.equal(done.state, 'complete', JSON.stringify(done.steps));
    });
  }
}

for (const moment of ['after lock', 'after copy', 'after start'] as const) {
  test(`a process that was stopped ${moment} beyond its lease and goes on changes nothing any more`, async (t) => {
    const { site, hosts } = await labSite(t, { 'PC-1': {} });
    const child = fork(CHILD, [site.folder, site.url, moment], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    t.after(() => child.kill('SIGKILL'));
    const reached = new Promise<void>((resolve) => child.on('message', (message) => message === 'there' && resolve()));
    await once(child, 'message');
    await site.push('PC-1');
    await reached;
    child.kill('SIGSTOP');
    // Its lock in the database is still held, for the connection lives; its lease of a minute is not renewed.
    (site.clock as AheadClock).skip(61_000);
    await site.startCcm();
    const done = await site.until('PC-1', 'complete', 'failed', 'retry', 'waiting', 'skipped');
    assert.equal(done.state, 'complete', JSON.stringify(done.steps));
    // While the zombie has a handle on it, the service stands in the list, stopped.
    await waitFor('the bootstrap to end', () => hosts['PC-1']!.machine.serviceState('ccmsetup') !== 'running');
    const before = await site.show('PC-1');
    const installed = () =>
      readFileSync(join(site.folder, 'hosts', 'PC-1', 'Windows', 'ccmsetup', 'logs', 'ccmsetup.log'), 'utf8').split(
        'ccmsetup started',
      ).length - 1;
    assert.equal(installed(), 1);
    const left = new Promise<void>((resolve) => child.on('message', (message) => message === 'left' && resolve()));
    child.kill('SIGCONT');
    child.send('go');
    await left;
    const gone = once(child, 'exit');
    child.send('stop');
    assert.deepEqual(await gone, [0, null]);
    assert.deepEqual(await site.show('PC-1'), before);
    assert.equal(before.attempts, 2);
    assert.equal(before.history[1]!.outcome, 'interrupted');
    assert.equal(installed(), 1, 'nothing was started again');
    assert.deepEqual(await locksOn(site, 'PC-1'), []);
  });
}

test('a stop of the process gives back what it had, at once, and the next process goes on', async (t) => {
  const { site } = await labSite(t, { 'PC-1': {} });
  let reached: () => void = () => {};
  const there = new Promise<void>((resolve) => (reached = resolve));
  let go: () => void = () => {};
  const gate = new Promise<void>((resolve) => (go = resolve));
  const network = gated(site.network(), async (at) => {
    if (at !== 'before copy') return;
    reached();
    await gate;
  });
  const ccm = await site.startCcm({ network });
  await site.push('PC-1');
  await there;
  const stopped = ccm.stop();
  go();
  await stopped;
  const queued = await site.show('PC-1');
  assert.equal(queued.state, 'queued');
  assert.deepEqual(await locksOn(site, 'PC-1'), []);
  await site.startCcm();
  assert.equal((await site.until('PC-1', 'complete', 'retry', 'waiting')).state, 'complete');
});

test('two CCMs on one database never install twice', async (t) => {
  const names = Array.from({ length: 12 }, (_, i) => `PC-${i + 1}`);
  const { site, hosts } = await labSite(t, Object.fromEntries(names.map((name) => [name, {}])));
  await site.startCcm();
  await site.startOther();
  await site.push(names);
  for (const name of names) {
    const done = await site.until(name, 'complete', 'failed', 'retry', 'waiting', 'skipped');
    assert.equal(done.state, 'complete', JSON.stringify(done.steps));
    assert.equal(done.attempts, 1);
    assert.deepEqual(hosts[name]!.logons.of('CORP\\push'), { succeeded: 1, failed: 0 });
  }
  const workers = await site.database.query<{ worker_id: number; n: number }>(
    'select worker_id, count(*) as n from ccr_attempt group by worker_id',
  );
  assert.equal(
    workers.reduce((sum, w) => sum + w.n, 0),
    names.length,
  );
});

test('a claim that was taken over while the bootstrap was copied starts nothing', async (t) => {
  const { site, hosts } = await labSite(t, { 'PC-1': {} });
  let taken = false;
  const network = gated(site.network(), async (at) => {
    if (at !== 'after copy' || taken) return;
    taken = true;
    // As another process does that believes this one dead; no announcement comes.
    await site.database.query(
      "update ccr set fence = fence + 1, worker_id = null, due_at = now() + interval '1 hour' where name = $1",
      ['PC-1'],
    );
  });
  const ccm = await site.startCcm({ network });
  await site.push('PC-1');
  await waitFor('the moment', () => taken);
  await ccm.stop();
  assert.equal(hosts['PC-1']!.machine.serviceState('ccmsetup'), undefined);
  assert.deepEqual(await locksOn(site, 'PC-1'), []);
});

test('no secret stands in a log, a step, an error or an audit line', async (t) => {
  const { site } = await labSite(t, { 'PC-1': {}, 'PC-2': { switches: { answersAs: 'OTHER' } } });
  await site.startCcm();
  await site.push(['PC-1', 'PC-2']);
  await site.until('PC-1', 'complete');
  await site.until('PC-2', 'retry');
  const shown = JSON.stringify([
    await site.show('PC-1'),
    await site.show('PC-2'),
    await site.records.audit.list({}),
    await site.records.account.list(),
  ]);
  for (const text of [site.lines.join(''), site.journal.join(''), shown]) assert.ok(!text.includes(PASSWORD));
});
