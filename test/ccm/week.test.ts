import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { test } from 'node:test';

import { ManualClock } from '#base/clock';
import { OWN } from '#test/own-address';
import { PushSite, waitFor } from '#test/push-site';

/** NOBODY is a port that no program is given by the system and none listens on. */
const NOBODY = 1;

/** listenOn accepts connections and hangs up, which is all that a probe wants. */
async function listenOn(port: number, address = '127.0.0.1'): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(port, address, resolve));
  return server;
}

const HOUR = 3_600_000;

/** pass lets hours go by at once, and then time in small steps until something has happened, so that it does not outrun the database. */
async function pass(clock: ManualClock, ms: number, what: string, look: () => Promise<boolean>, step = 100): Promise<void> {
  clock.jump(new Date(clock.now().getTime() + ms));
  await waitFor(what, async () => {
    if (await look()) return true;
    await clock.advance(step);
    return false;
  });
}

test('a machine that never answers is tried 168 times in a week, at its hours, then the CCR fails', async (t) => {
  const clock = new ManualClock('2026-01-05T08:00:00Z');
  const site = await PushSite.create({ clock });
  t.after(() => site.close());
  await site.importCsv(`name,domain,ip,smbPort\r\nGONE,CORP,127.0.0.1,${NOBODY}\r\n`);
  await site.startCcm();
  const [id] = await site.push('GONE');
  const start = clock.now().getTime();
  const due: number[] = [];
  let events = 0;
  for (let tries = 1; tries <= 168; tries++) {
    let ccr = await site.records.ccr.byId(id!);
    await pass(clock, Math.max(0, (ccr!.nextAttemptAt?.getTime() ?? 0) - clock.now().getTime()), `try ${tries}`, async () => {
      ccr = await site.records.ccr.byId(id!);
      return ccr!.attempts === tries && ccr!.workerId === undefined;
    });
    assert.equal(ccr!.lastErrorCode, 53, `try ${tries}`);
    if (tries === 168) break;
    assert.equal(ccr!.state, 'retry', `try ${tries}`);
    if (ccr!.errorEventAt && events++ === 0)
      assert.ok(ccr!.errorEventAt.getTime() - start >= 24 * HOUR && ccr!.errorEventAt.getTime() - start < 25.1 * HOUR);
    due.push(ccr!.nextAttemptAt!.getTime());
  }
  const last = await site.until('GONE', 'failed');
  assert.equal(last.lastErrorCode, 53);
  assert.equal(last.lastError, 'PP_NET_REFUSED', 'the last real cause stays, with its remedy');
  assert.match(last.lastErrorText!, /^given up after 168 attempts within 7 days; last: nothing listens on 127\.0\.0\.1:1/);
  due.forEach((at, i) => assert.ok(at - start >= (i + 1) * HOUR && at - start <= (i + 1) * HOUR + 0.051 * HOUR, `try ${i + 2}`));
  assert.equal(site.sessions.length, 0, 'nobody was there to show an account to');
  assert.equal(last.steps.map((s) => `${s.name} ${s.outcome}`).join(), 'probe failed');
  const audit = await site.records.audit.list({});
  assert.equal(audit.items.filter((line) => line.what === 'ccr.failing').length, 1, 'the event is raised once');
  const journal = site.journal.join('');
  assert.match(journal, /======>Begin Processing request: "\d+\.CCR", machine name: "GONE"/);
  assert.match(
    journal,
    /---> ERROR: Unable to access target machine for request: "\d+\.CCR", machine name: "GONE", error code: 53/,
  );
});

test('a new request restarts the week', async (t) => {
  const clock = new ManualClock('2026-01-05T08:00:00Z');
  const site = await PushSite.create({ clock, settings: { ccr: { maxAttempts: 3 } } });
  t.after(() => site.close());
  await site.importCsv(`name,domain,ip,smbPort\r\nGONE,CORP,127.0.0.1,${NOBODY}\r\n`);
  await site.startCcm();
  await site.push('GONE');
  for (const [tries, ms] of [
    [1, 0],
    [2, 1.1 * HOUR],
  ] as const) {
    await pass(clock, ms, 'a try', async () => {
      const { attempts, state } = await site.show('GONE');
      return attempts === tries && state === 'retry';
    });
  }
  await site.push('GONE');
  await waitFor('the try at once', async () => (await site.show('GONE')).attempts === 3);
  const again = await site.until('GONE', 'retry');
  assert.equal(again.requestCount, 2);
  assert.equal(again.intervalAttempts, 1, 'the count of the week began anew, the history stayed');
});

test('a machine that shows up is tried at once; until then it costs a bare connection and no slot', async (t) => {
  const clock = new ManualClock('2026-01-05T08:00:00Z');
  const site = await PushSite.create({ clock });
  t.after(() => site.close());
  const there = await listenOn(0, OWN);
  const { port } = there.address() as { port: number };
  await new Promise<void>((resolve) => there.close(() => resolve()));
  await site.importCsv(`name,domain,ip,smbPort\r\nLAPTOP,CORP,${OWN},${port}\r\n`);
  await site.startCcm();
  await site.push('LAPTOP');
  await site.until('LAPTOP', 'retry');
  // Ten minutes are the least between two tries, so that one that comes and goes does not use up its week.
  const before = site.probes;
  await pass(clock, 11 * 60_000, 'a probe', async () => site.probes > before, 1000);
  assert.equal((await site.show('LAPTOP')).attempts, 1);
  const server = await listenOn(port, OWN);
  t.after(() => new Promise((resolve) => server.close(resolve)));
  await pass(clock, 0, 'the second try', async () => (await site.show('LAPTOP')).attempts === 2, 1000);
  const tried = await site.until('LAPTOP', 'waiting', 'retry');
  assert.equal(tried.lastError, 'PP_PUSH_NO_ACCOUNT');
  assert.equal(tried.steps.map((s) => `${s.name} ${s.outcome}`).join(), 'probe ok,logon failed');
});

test('without an account a CCR waits at logon, and goes on when one is added; the retries count no credential', async (t) => {
  const clock = new ManualClock('2026-01-05T08:00:00Z');
  const site = await PushSite.create({ clock });
  t.after(() => site.close());
  const server = await listenOn(0);
  t.after(() => new Promise((resolve) => server.close(resolve)));
  await site.importCsv(`name,domain,ip,smbPort\r\nPC1,CORP,127.0.0.1,${(server.address() as { port: number }).port}\r\n`);
  await site.startCcm();
  await site.push('PC1');
  const waiting = await site.until('PC1', 'waiting');
  assert.equal(waiting.lastError, 'PP_PUSH_NO_ACCOUNT');
  assert.equal(waiting.attempts, 1);
  await site.addAccount('CORP\\push');
  await waitFor('the try with the account', async () => (await site.show('PC1')).attempts === 2);
  const next = await site.until('PC1', 'retry');
  assert.notEqual(next.lastError, 'PP_PUSH_NO_ACCOUNT');
});

test('without a management point nobody is bothered, and the CCR goes on when there is one', async (t) => {
  const clock = new ManualClock('2026-01-05T08:00:00Z');
  const site = await PushSite.create({ clock, mp: false });
  t.after(() => site.close());
  await site.importCsv(`name,domain,ip,smbPort\r\nPC1,CORP,127.0.0.1,${NOBODY}\r\n`);
  await site.startCcm();
  await site.push('PC1');
  const waiting = await site.until('PC1', 'waiting');
  assert.equal(waiting.lastError, 'PP_PUSH_NO_MANAGEMENT_POINT');
  assert.equal(site.probes, 0);
  await site.records.site.setPoint('mp', { address: 'http://mp.corp.example' }, 'test');
  const tried = await site.until('PC1', 'retry');
  assert.equal(tried.lastErrorCode, 53);
});
