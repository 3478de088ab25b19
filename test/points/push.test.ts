import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import { raise } from '#base/errors';
import { manual, TestSite } from '#test/points';

interface Item {
  name: string;
  decision: string;
  reason: string;
  site: string;
  managementPoint?: string;
  account?: string;
}

async function start(t: TestContext, clock = manual()) {
  const site = await TestSite.make(t, clock);
  const { call } = await site.console();
  const push = async (names: string[], more: object = {}): Promise<Item[]> => {
    const answer = await call('POST', '/push', { names, ...more });
    assert.equal(answer.status, 200, answer.text);
    return answer.json.items as Item[];
  };
  return { site, call, push };
}

test('a dry run tells for each name what would be done and why, and does nothing', async (t) => {
  const { site, push } = await start(t);
  await site.know(
    'PC1',
    { name: 'DC1', domain: 'CORP', type: 'dc' },
    { name: 'TWIN', domain: 'SALES' },
    { name: 'TWIN', domain: 'PLANT' },
    { name: 'PC2', domain: 'CORP', fqdn: 'pc2.corp.example' },
  );
  await site.records.resource.importDevices([{ name: 'LIAR', domain: 'CORP' }], { site: 'P01', source: 'heartbeat' });
  const site1 = { name: 'all', username: 'CORP\\all', sealedPassword: new Uint8Array(1), scope: { kind: 'site' } } as const;
  await site.records.account.add(site1);
  await site.records.account.add({ ...site1, name: 'dcs', scope: { kind: 'host', pattern: 'DC*' } });
  const items = await push(['PC1', 'DC1', 'TWIN', 'TWIN.plant', 'pc1', 'PC1', 'pc2.corp.example', 'PC2', 'NEW7', 'a@b', 'LIAR'], {
    dryRun: true,
  });
  const by = new Map(items.map((item) => [item.name, item]));
  assert.equal(items.length, 10, 'a name that comes twice is one');
  const decided = (name: string) => by.get(name)!.decision;
  assert.deepEqual(by.get('PC1'), {
    name: 'PC1',
    decision: 'push',
    reason: 'gets the client',
    site: 'P01',
    managementPoint: 'http://mp.corp.example:8480',
    account: 'all',
  });
  assert.equal(decided('DC1'), 'skip');
  assert.equal(by.get('DC1')!.account, 'dcs');
  assert.equal(decided('TWIN'), 'refuse');
  assert.match(by.get('TWIN')!.reason, /TWIN\.SALES, TWIN\.PLANT/);
  assert.equal(decided('TWIN.plant'), 'push');
  assert.match(by.get('pc1')!.reason, /the same machine as PC1/);
  assert.match(by.get('PC2')!.reason, /the same machine as pc2\.corp\.example/);
  assert.match(by.get('NEW7')!.reason, /not known from discovery/);
  assert.equal(decided('a@b'), 'refuse');
  assert.equal(decided('LIAR'), 'refuse');
  assert.equal((await site.records.ccr.list()).items.length, 0);
  assert.equal((await site.records.audit.list({ what: 'push' })).items.length, 0);
});

test('a push makes or joins CCRs with its flags and is in the audit log with every name', async (t) => {
  const { site, push } = await start(t);
  await site.know(
    { name: 'PC1', domain: 'CORP', addresses: ['10.0.0.7'], smbPort: 4450 },
    { name: 'DC1', domain: 'CORP', type: 'dc' },
  );
  await push(['PC1', 'a@b']);
  const [again] = await push(['PC1', 'DC1', 'OTHER'], { force: true, includeDcs: true });
  assert.match(again!.reason, /joins its CCR that is queued/);
  const { items } = await site.records.ccr.list();
  assert.deepEqual(
    items.map((c) => [c.name, c.forced, c.includeDcs, c.requestCount, c.requestedBy]),
    [
      ['OTHER', true, true, 1, 'test'],
      ['DC1', true, true, 1, 'test'],
      ['PC1', true, true, 2, 'test'],
    ],
  );
  assert.deepEqual([items[2]!.addresses, items[2]!.smbPort], [['10.0.0.7'], 4450]);
  const log = (await site.records.audit.list({ what: 'push' })).items;
  assert.deepEqual((log[0]!.detail as { names: string[] }).names, ['PC1', 'DC1', 'OTHER']);
  assert.equal(log[0]!.address, '127.0.0.1');
  const names = Array.from({ length: 700 }, (_, i) => `${'x'.repeat(60)}.${'y'.repeat(60)}.pc${i}`);
  await push(names);
  const told = (await site.records.audit.list({ what: 'push', limit: 100 })).items.flatMap(
    (e) => (e.detail as { names: string[] }).names,
  );
  assert.ok(names.every((name) => told.includes(name)));
  assert.equal((await site.records.audit.verify()).ok, true);
});

test('without a management point or a package every machine is refused, with what to do about it', async (t) => {
  const { site, push } = await start(t);
  await site.know('PC1');
  await site.records.site.setPoint('mp', { on: false }, 'test');
  assert.match((await push(['PC1']))[0]!.reason, /point set mp --address/);
  await site.records.site.setPoint('mp', { on: true }, 'test');
  await site.records.package.remove('client');
  assert.match((await push(['PC1']))[0]!.reason, /package add/);
  assert.equal((await site.records.ccr.list()).items.length, 0);
});

test('a package that pushes or upgrades need is not removed; one that nobody needs is, and the audit log has it', async (t) => {
  const { site, call } = await start(t);
  const remove = (more = '') => call('DELETE', `/packages/client${more}`);
  const refusal = async () => {
    const answer = await remove();
    assert.deepEqual([answer.status, answer.json.code], [409, 'PP_PACKAGE_USED'], answer.text);
    return answer.text;
  };
  const pack = (await site.records.package.get('client'))!;
  const { ccr: unnamed } = await site.records.ccr.request({ name: 'PC1', source: 'push', requestedBy: 'test' });
  assert.match(await refusal(), /it is the default, which 1 CCR will push/);
  await site.records.ccr.cancel([unnamed.id], 'test');
  const { ccr: named } = await site.records.ccr.request({ name: 'PC2', source: 'push', requestedBy: 'test', package: 'client' });
  assert.match(await refusal(), /1 CCR that is not over names it/);
  await site.records.ccr.cancel([named.id], 'test');
  const files = pack.files.map(({ name, sha256, size }) => ({ name, sha256, size }));
  const asked = await site.records.policy.ask({
    wish: { kind: 'upgrade', platform: 'windows', upgrade: { version: pack.version, files } },
    of: { site: 'P01' },
    by: 'test',
  });
  assert.match(await refusal(), new RegExp(`policy ${asked.id} upgrades clients to it`));
  await site.records.policy.cancel(asked.id, site.parts.database);
  assert.equal((await remove('?dryRun=true')).status, 200);
  assert.equal((await site.records.package.list()).length, 1);
  assert.deepEqual((await remove()).json.isDefault, true);
  assert.equal((await remove()).json.code, 'PP_API_NOT_FOUND');
  const { items } = await site.records.audit.list({ what: 'package.remove' });
  assert.deepEqual(
    items.map(({ object }) => object),
    [`client ${pack.version}`],
  );
});

test('ten thousand machines are planned and pushed with a handful of statements', async (t) => {
  const { site, call } = await start(t, systemClock as never);
  const names = Array.from({ length: 10_000 }, (_, i) => `PC-${String(i).padStart(5, '0')}`);
  const began = systemClock.monotonic();
  await site.know(
    ...names.map((name, i) => ({ name, domain: 'corp.example', addresses: [`10.${i >> 14}.${(i >> 6) & 255}.${i & 63}`] })),
  );
  const known = systemClock.monotonic() - began;
  await site.records.account.add({
    name: 'all',
    username: 'CORP\\all',
    sealedPassword: new Uint8Array(1),
    scope: { kind: 'site' },
  });
  let statements = 0;
  const { database } = site.parts;
  const exec = database.exec.bind(database);
  const query = database.query.bind(database);
  database.exec = (...args) => (statements++, exec(...args)) as never;
  database.query = (...args) => (statements++, query(...args)) as never;
  const from = systemClock.monotonic();
  const answer = await call('POST', '/push', { names });
  const ms = systemClock.monotonic() - from;
  assert.equal(answer.status, 200);
  assert.equal((answer.json.items as Item[]).filter((item) => item.decision === 'push').length, 10_000);
  assert.ok(statements < 12, `${statements} statements outside the transactions`);
  assert.equal((await site.records.ccr.countByState()).queued, 10_000);
  t.diagnostic(`${Math.round(ms)} ms for 10,000 machines, which became known in ${Math.round(known)}`);
  // About as long as they took to become known, on whatever machine; a plan that walks through the table, or a look-up for each name, takes thirty times that.
  assert.ok(ms < 12 * known, `${ms} ms, known in ${known}`);
  const paused = await call('POST', '/ccrs/pause', { names });
  assert.equal((paused.json.items as { done: boolean }[]).filter((item) => item.done).length, 10_000);
});

test('what people do with CCRs is judged name by name', async (t) => {
  const { site, call, push } = await start(t);
  await site.know('PC1', 'PC2', { name: 'TWIN', domain: 'SALES' }, { name: 'TWIN', domain: 'PLANT' });
  await push(['PC1', 'PC2', 'TWIN.sales', 'TWIN.plant']);
  const act = async (action: string, names: string[], more: object = {}) => {
    const { json } = await call('POST', `/ccrs/${action}`, { names, ...more });
    return json.items as { name: string; done: boolean; reason?: string }[];
  };
  const state = async (name: string) => (await call('GET', `/ccrs/${name}`)).json.state as string;
  const dry = await act('pause', ['PC1'], { dryRun: true });
  assert.deepEqual(dry, [{ name: 'PC1', done: true }]);
  assert.equal(await state('PC1'), 'queued');
  const done = await act('pause', ['PC1', 'TWIN', 'NOBODY', 'a@b', 'pc2.corp', 'PC1']);
  assert.deepEqual(
    done.map((item) => [item.name, item.done]),
    [
      ['PC1', true],
      ['TWIN', false],
      ['NOBODY', false],
      ['a@b', false],
      ['pc2.corp', true],
    ],
  );
  assert.match(done[1]!.reason!, /TWIN\.PLANT, TWIN\.SALES/);
  assert.match(done[2]!.reason!, /no live CCR/);
  assert.match(done[3]!.reason!, /not a name of a machine/);
  assert.equal(await state('PC1'), 'paused');
  assert.match((await act('pause', ['PC1']))[0]!.reason!, /paused/);
  assert.match((await act('pause', ['PC1'], { dryRun: true }))[0]!.reason!, /paused/);
  assert.equal((await act('resume', ['PC1']))[0]!.done, true);
  assert.match((await act('resume', ['PC1']))[0]!.reason!, /queued/);
  assert.equal((await act('retry', ['PC1']))[0]!.done, true);
  assert.equal((await act('cancel', ['TWIN.plant']))[0]!.done, true);
  assert.equal((await act('cancel', ['TWIN']))[0]!.done, true, 'only one of the two is live now');
  assert.match((await act('cancel', ['TWIN.plant']))[0]!.reason!, /no live CCR/);
  const log = (await site.records.audit.list({ what: 'ccr.pause' })).items;
  assert.deepEqual((log[0]!.detail as { names: string[] }).names, ['PC1', 'PC2']);
  assert.equal(log[0]!.who, 'test');
});

test('a CCR is shown with the steps of its last attempt, and the attempts before it', async (t) => {
  const { site, call, push } = await start(t);
  await site.know('PC1');
  await push(['PC1']);
  const { ccr } = site.records;
  const worker = await ccr.claims.registerWorker('test');
  const clock = site.clock as ReturnType<typeof manual>;
  for (let i = 1; i <= 25; i++) {
    const [claimed] = await ccr.claims.take({ worker, limit: 1, caps: { perSubnet: 9, perAccount: 9 } });
    const attempt = ccr.claims.attempt(claimed!);
    const startedAt = clock.now();
    attempt.step({ name: 'probe', outcome: 'ok', startedAt, durationMs: i, detail: `try ${i}` });
    attempt.step({ name: 'logon', outcome: 'failed', startedAt, durationMs: 2, code: 'PP_NET_SILENT', win32: 53 });
    attempt.connected({ dialect: '3.1.1', signing: 'AES-GMAC' });
    assert.equal(
      await ccr.claims.retry(claimed!, {
        error: raise('PP_NET_SILENT', { address: 'PC1', port: 445, ms: 2 }),
        nextAt: clock.now(),
      }),
      true,
    );
    await clock.advance(1000);
  }
  await worker.leave(clock.now());
  const { json } = await call('GET', '/ccrs/pc1.corp');
  assert.equal(json.attempts, 25);
  assert.deepEqual([json.lastError, json.lastErrorCode, json.state], ['PP_NET_SILENT', 53, 'retry']);
  assert.ok(json.cause && json.remedy);
  assert.deepEqual(
    json.steps.map((s: { name: string; outcome: string; durationMs: number; attempt: number }) => [
      s.name,
      s.outcome,
      s.durationMs,
      s.attempt,
    ]),
    [
      ['probe', 'ok', 25, 25],
      ['logon', 'failed', 2, 25],
    ],
  );
  assert.deepEqual([json.attempt.number, json.attempt.dialect, json.attempt.outcome], [25, '3.1.1', 'retry']);
  const numbers = json.history.map((a: { number: number }) => a.number);
  assert.deepEqual([numbers.length, numbers[0], numbers.at(-1)], [19, 24, 6]);
  assert.equal(json.history[0].steps[0].detail, 'try 24');
  const all = (await call('GET', '/ccrs/PC1?attempts=1000')).json.history;
  assert.deepEqual([all.length, all.at(-1).number, all.at(-1).steps.length], [24, 1, 2]);
  assert.equal((await call('GET', '/ccrs/PC1?attempts=1')).json.history.length, 0);
});

test('a CCR of a name that two machines have is a 409 with the choices; finished ones are shown, the newest first', async (t) => {
  const { site, call, push } = await start(t);
  await site.know({ name: 'TWIN', domain: 'SALES' }, { name: 'TWIN', domain: 'PLANT' });
  await push(['TWIN.sales', 'TWIN.plant']);
  const both = await call('GET', '/ccrs/TWIN');
  assert.deepEqual([both.status, both.json.code], [409, 'PP_API_AMBIGUOUS']);
  assert.match(both.json.detail, /TWIN\.PLANT, TWIN\.SALES/);
  assert.equal((await call('GET', '/ccrs/twin.SALES')).json.domain, 'SALES');
  await call('POST', '/ccrs/cancel', { names: ['TWIN.sales', 'TWIN.plant'] });
  const newest = (await call('GET', '/ccrs/TWIN')).json;
  assert.deepEqual([newest.state, newest.domain, newest.steps], ['cancelled', 'PLANT', []]);
});
