import assert from 'node:assert/strict';
import { test } from 'node:test';

import { raise } from '#base/errors';
import { AccountRecord } from '#records/account';
import { CcrRecord, Claims, type Claimed } from '#records/ccr';
import type { Database, Statement } from '#store/database';
import { labSite, locksOn } from '#test/lab-site';
import { waitFor, type PushSite } from '#test/push-site';

const CUT = () => raise('PP_STORE_UNREACHABLE', { where: 'the test' });

/** The claims of a process whose line to the database is cut once, at an outcome (nothing is written) or at a claim (its answer is lost). */
class CutClaims extends Claims {
  readonly #at: 'outcome' | 'claim';
  cut = 0;

  constructor(site: PushSite, at: 'outcome' | 'claim') {
    super(site.database, site.clock);
    this.#at = at;
  }

  override async started(claimed: Claimed, o: Parameters<Claims['started']>[1]): Promise<boolean> {
    if (this.#at === 'outcome' && this.cut++ === 0) throw CUT();
    return super.started(claimed, o);
  }

  override async take(o: Parameters<Claims['take']>[0]): Promise<Claimed[]> {
    const claimed = await super.take(o);
    if (this.#at === 'claim' && claimed.length > 0 && this.cut++ === 0) throw CUT();
    return claimed;
  }
}

for (const at of ['outcome', 'claim'] as const) {
  test(`an ${at === 'claim' ? 'answer to a claim' : 'outcome'} that never comes through leaves no CCR at processing in a process that lives on`, async (t) => {
    const { site, hosts } = await labSite(t, { 'PC-1': {} });
    const claims = new CutClaims(site, at);
    await site.startCcm({ ccr: new CcrRecord(site.database, site.clock, claims) });
    await site.push('PC-1');
    await waitFor('the cut', () => claims.cut > 0);
    // It waits half a minute, unless the client that was installed meanwhile says that its machine is there.
    await site.until('PC-1', 'queued', 'verifying', 'complete');
    await site.skip(31_000);
    const done = await site.until('PC-1', 'complete', 'failed', 'retry', 'waiting', 'skipped');
    assert.equal(done.state, 'complete', JSON.stringify(done.steps));
    assert.equal(done.attempts, 2);
    assert.equal(done.history[1]!.outcome, 'interrupted');
    assert.deepEqual(await locksOn(site, 'PC-1'), []);
    assert.equal(hosts['PC-1']!.machine.serviceState('CcmExec'), 'running');
  });
}

test('who asked for a reinstallation during a verification gets it, although the process that verified is killed', async (t) => {
  const { site } = await labSite(t, { 'PC-1': {} });
  const { ccr } = site.records;
  const caps = { perSubnet: 9, perAccount: 9 };
  const worker = await ccr.claims.registerWorker('to be killed');
  await site.push('PC-1');
  const [first] = await ccr.claims.take({ worker, limit: 1, caps });
  await ccr.claims.started(first!, { startedAt: site.clock.now(), verifyAt: site.clock.now() });
  const [second] = await ccr.claims.take({ worker, limit: 1, caps });
  assert.equal(second?.purpose, 'verify');
  await site.push('PC-1', { reinstall: true });
  await worker.abandon();
  assert.equal(await ccr.claims.reclaimDead(), 1);
  assert.equal((await site.show('PC-1')).state, 'queued');
});

/** The claims of a process that can be kept from claiming. */
class GatedClaims extends Claims {
  #open = true;
  #under: Promise<unknown> = Promise.resolve();

  override take(o: Parameters<Claims['take']>[0]): Promise<Claimed[]> {
    if (!this.#open) return Promise.resolve([]);
    const claimed = super.take(o);
    this.#under = claimed.catch(() => {});
    return claimed;
  }

  async close(): Promise<void> {
    this.#open = false;
    await this.#under;
  }

  open(): void {
    this.#open = true;
  }
}

test('what was seen of an earlier start of the same CCR does not put off the looks after the next one', async (t) => {
  const { site } = await labSite(t, { 'PC-1': {} });
  const { ccr } = site.records;
  const gated = new GatedClaims(site.database, site.clock);
  // The start is told by another process, so that the machine itself has no client and each look at it shows that.
  const worker = await ccr.claims.registerWorker('another', 3_600_000);
  const startedBefore = async (minutes: number) => {
    const [claimed] = await ccr.claims.take({ worker, limit: 1, caps: { perSubnet: 9, perAccount: 9 } });
    assert.equal(claimed?.purpose, 'attempt');
    const now = site.clock.now();
    await ccr.claims.started(claimed, { startedAt: new Date(now.getTime() - minutes * 60_000), verifyAt: now });
  };
  const looked = async () => (await site.show('PC-1')).verifyCount > 0;
  await site.push('PC-1');
  await startedBefore(20);
  await site.startCcm({ ccr: new CcrRecord(site.database, site.clock, gated) });
  await waitFor('the look of the fifteenth minute', looked);

  await gated.close();
  await site.push('PC-1', { reinstall: true });
  await startedBefore(3);
  assert.equal((await site.show('PC-1')).verifyCount, 0);
  gated.open();
  await waitFor('the look of the second minute', looked);
  await worker.leave(site.clock.now());
});

const AWAY: [string, () => Error][] = [
  ['is away', CUT],
  ['is killed again while it starts', () => raise('PP_STORE_START_FAILED', { what: 'postgres', why: 'it ended with SIGKILL' })],
];
for (const [what, error] of AWAY) {
  test(`a database that ${what} in the middle of an attempt does not cost the machine an hour`, async (t) => {
    const { site } = await labSite(t, { 'PC-1': {} });
    let cut = 0;
    class CutAccounts extends AccountRecord {
      override enter(...o: Parameters<AccountRecord['enter']>): Promise<boolean> {
        return cut++ === 0 ? Promise.reject(error()) : super.enter(...o);
      }
    }
    await site.startCcm({ account: new CutAccounts(site.database, site.clock) });
    await site.push('PC-1');
    await waitFor('the cut', () => cut > 0);
    const queued = await site.until('PC-1', 'queued', 'retry', 'waiting');
    assert.equal(queued.state, 'queued');
    assert.equal(queued.lastError, undefined);
    await site.skip(31_000);
    assert.equal((await site.until('PC-1', 'complete', 'retry', 'waiting')).state, 'complete');
  });
}

test('a database that dies right after the first logon leaves no session open, and nobody waits for that machine to end its turn', async (t) => {
  const { site } = await labSite(t, { 'PC-1': {}, 'PC-2': {} });
  let cut = 0;
  const database: Database = Object.create(site.database, {
    exec: {
      value: (statement: Statement, values: unknown[]) =>
        statement.name === 'account_worked' && cut++ === 0 ? Promise.reject(CUT()) : site.database.exec(statement, values),
    },
    query: { value: (text: string, values: unknown[]) => site.database.query(text, values) },
  });
  await site.startCcm({ account: new AccountRecord(database, site.clock) });
  await site.push(['PC-1', 'PC-2']);
  await waitFor('the cut', () => cut > 0);
  const [first] = site.sessions;
  await waitFor('the session of the cut attempt to end', () =>
    first!.echo().then(
      () => false,
      () => true,
    ),
  );
  const shown = () => Promise.all(['PC-1', 'PC-2'].map((name) => site.show(name)));
  // A turn is a minute; within it the other machine is done. The first one stands back for half of it, on a slow machine it may be on its way again.
  await waitFor('one of them to be complete', async () => (await shown()).some(({ state }) => state === 'complete'), 50_000);
  const attempts = (await shown()).filter(({ state }) => state === 'complete').map((ccr) => ccr.attempts);
  assert.ok(attempts.includes(1), 'the other one, which was not cut');
});
