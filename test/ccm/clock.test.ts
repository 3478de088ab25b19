import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import { gated } from '#test/gate';
import { labSite } from '#test/lab-site';
import { AheadClock, waitFor, type PushSite } from '#test/push-site';

/** The clock of the site is set while CCRs are on their way: nothing is lost, nothing done twice, no week is burned, nobody waits for the clock. */

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const caps = { perSubnet: 9, perAccount: 9, perSite: 9 };

const inMinutes = (site: PushSite, at: Date | undefined) => (at!.getTime() - site.clock.now().getTime()) / 60_000;

test('eight days forward in the middle of an attempt burn no week: it is tried at its hours, and completes', async (t) => {
  const its = new AheadClock();
  const { site } = await labSite(t, { 'PC-1': { clock: its } });
  let ill = true;
  const network = gated(site.network(), async (at, machine) => {
    if (at !== 'before logon' || !ill) return;
    ill = false;
    await site.skip(8 * DAY);
    // The machine's clock too: more than a day it does not go forward on the word of a point that nothing proves.
    its.skip(8 * DAY);
    throw raise('PP_NET_REFUSED', { host: machine, port: 445 });
  });
  await site.startCcm({ network });
  await site.push('PC-1');
  const failed = await site.until('PC-1', 'retry', 'failed', 'complete');
  assert.equal(failed.state, 'retry', failed.lastErrorText);
  assert.ok(
    inMinutes(site, failed.nextAttemptAt) > 25 && inMinutes(site, failed.nextAttemptAt) < 64,
    String(failed.nextAttemptAt),
  );
  await site.skip(64 * 60_000);
  assert.equal((await site.until('PC-1', 'complete', 'failed')).attempts, 2);
});

test('two hours back: what was asked for, tried and started before goes on as if nothing had been', async (t) => {
  const { site } = await labSite(t, { 'PC-1': {}, 'PC-2': { switches: { offline: 'closed' } }, 'PC-3': {}, 'PC-4': {} });
  const ccm = await site.startCcm();
  await site.push('PC-2');
  await site.until('PC-2', 'retry');
  await site.push('PC-4');
  await site.until('PC-4', 'complete');
  await ccm.stop();
  // One that was started, and whose client never said a word; and one that nobody has touched yet.
  await site.push('PC-3');
  const { ccr } = site.records;
  const worker = await ccr.claims.registerWorker('before');
  const [claimed] = await ccr.claims.take({ worker, limit: 1, caps });
  await ccr.claims.started(claimed!, { startedAt: site.clock.now(), verifyAt: new Date(site.clock.now().getTime() + 60_000) });
  await worker.leave(site.clock.now());
  await site.push('PC-1');
  await site.skip(-2 * HOUR);
  await site.startCcm();
  assert.equal((await site.until('PC-1', 'complete', 'retry', 'waiting', 'failed')).state, 'complete');
  const waits = await site.show('PC-2');
  assert.equal(waits.state, 'retry');
  assert.ok(inMinutes(site, waits.nextAttemptAt) < 64, `due in ${inMinutes(site, waits.nextAttemptAt)} minutes`);
  await waitFor('the verification to be due within its minutes', async () => {
    const { startedAt, nextAttemptAt, state } = await site.show('PC-3');
    return (
      state === 'verifying' &&
      startedAt! <= site.clock.now() &&
      nextAttemptAt !== undefined &&
      inMinutes(site, nextAttemptAt) <= 1
    );
  });
});

test('two hours back while CCM runs: no account is held by a turn of the future, and nothing waits for the clock', async (t) => {
  const { site, hosts } = await labSite(t, { 'PC-1': {}, 'PC-2': {} });
  await site.startCcm();
  await site.push('PC-1');
  await site.until('PC-1', 'complete');
  // A machine that was removed meanwhile has the turn with the account, for a minute that is far ahead in a moment.
  await site.database.query("update account set state = 'unproven', worked_at = null");
  await site.database.query("insert into account_turn select id, 'GONE', 0, null, $1 from account", [
    new Date(site.clock.now().getTime() + 59_000),
  ]);
  await site.skip(-2 * HOUR);
  await site.push('PC-2');
  const done = await site.until('PC-2', 'complete', 'retry', 'waiting', 'failed');
  assert.equal(done.state, 'complete', JSON.stringify(done.steps));
  assert.deepEqual(hosts['PC-2']!.logons.of('CORP\\push'), { succeeded: 1, failed: 0 });
});

test('two hours forward with two processes: neither takes the other for dead', async (t) => {
  const names = Array.from({ length: 8 }, (_, i) => `PC-${i + 1}`);
  const { site } = await labSite(t, Object.fromEntries(names.map((name) => [name, {}])));
  let renewals = 0;
  const renewing: Clock = Object.create(site.clock, {
    after: {
      value: (ms: number, fn: () => void) => {
        if (ms !== 15_000) return site.clock.after(ms, fn);
        renewals++;
        return site.clock.after(50, fn);
      },
    },
    now: { value: () => site.clock.now() },
    monotonic: { value: () => site.clock.monotonic() },
    sleep: { value: (ms: number, signal?: AbortSignal) => site.clock.sleep(ms, signal) },
  });
  let stepped: Promise<void> | undefined;
  const step = async () => {
    await site.skip(2 * HOUR);
    const from = renewals;
    await waitFor('the quick process to look who is dead', () => renewals > from + 4);
  };
  const network = gated(site.network(), async (at) => {
    if (at === 'before copy') await (stepped ??= step());
  });
  // Both have machines in their hands when the clock is set; the second one looks again and again who is dead.
  await site.startCcm({ network });
  await site.startOther({ network, clock: renewing });
  await site.push(names);
  for (const name of names) {
    const done = await site.until(name, 'complete', 'retry', 'waiting', 'failed');
    assert.equal(done.state, 'complete', JSON.stringify(done.steps));
    assert.equal(done.attempts, 1);
  }
});
