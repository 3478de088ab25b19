import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseExposition } from '#test/exposition';
import { manual, TestSite } from '#test/points';

async function start(t: Parameters<typeof TestSite.make>[0]) {
  const site = await TestSite.make(t, manual());
  const { url, call } = await site.console();
  const scrape = (headers: Record<string, string> = {}) => fetch(`${url}/metrics`, { headers });
  return { site, call, scrape, authorization: { authorization: `Bearer ${site.token}` } };
}

test('a scrape is the text format, tells the truth and names no machine, account or token', async (t) => {
  const { site, call, scrape, authorization } = await start(t);
  await site.know('SECRETPC1', 'SECRETPC2');
  await site.records.account.add({
    name: 'secretaccount',
    username: 'CORP\\secretuser',
    sealedPassword: new Uint8Array(1),
    scope: { kind: 'site' },
  });
  await call('POST', '/push', { names: ['SECRETPC1', 'SECRETPC2'] });
  await call('GET', '/ccrs/SECRETPC1');
  const answer = await scrape(authorization);
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get('content-type')!, /^text\/plain; version=0\.0\.4/);
  const text = await answer.text();
  const families = parseExposition(text);
  const value = (name: string, labels: Record<string, string> = {}) =>
    families.get(name)?.samples.find((s) => Object.entries(labels).every(([k, v]) => s.labels[k] === v))?.value;
  assert.equal(value('pushpoint_ccrs', { state: 'queued' }), 2);
  assert.equal(value('pushpoint_ccrs', { state: 'failed' }), 0);
  assert.equal(value('pushpoint_accounts', { state: 'unproven' }), 1);
  assert.equal(value('pushpoint_clients', { state: 'pending' }), 0);
  assert.equal(value('pushpoint_held'), 0);
  assert.equal(value('pushpoint_slots_limit', { of: 'process' }), 256);
  assert.ok(value('process_open_fds')! > 3);
  assert.ok(value('process_resident_memory_bytes')! > 1e6);
  assert.ok(value('pushpoint_database_connections', { state: 'open' })! >= 1);
  assert.doesNotMatch(text, /secret/i);
  assert.ok(!text.includes(site.token));
});

test('a scrape needs a token, or an address that the settings open', async (t) => {
  const { call, scrape } = await start(t);
  assert.equal((await scrape()).status, 401);
  const open = async (list: string[]) =>
    assert.equal((await call('PATCH', '/settings', { metrics: { open: list } })).status, 200);
  await open(['10.0.0.0/8', '::1']);
  assert.equal((await scrape()).status, 401);
  await open(['127.0.0.0/8']);
  assert.equal((await scrape()).status, 200);
  assert.equal(
    (await scrape({ authorization: 'Bearer wrong-wrong-wrong-wrong' })).status,
    401,
    'a wrong token is wrong all the same',
  );
  for (const nonsense of ['everybody', '/99', '10.1.2.3/99', '10.1.2', '1:2', 'fe80::/129', '...', '10.0.0.0/8/8']) {
    const refused = await call('PATCH', '/settings', { metrics: { open: ['127.0.0.1', nonsense] } });
    assert.equal(refused.status, 400, nonsense);
    assert.match(refused.json.detail, /metrics\.open.*it takes addresses and networks/, nonsense);
  }
});

test('requests are counted by route and status, not by what stood in their path', async (t) => {
  const { site, scrape, authorization } = await start(t);
  const { Meter } = await import('#base/meter');
  const meter = new Meter();
  const point = await site.managementPoint({ meter });
  await (await fetch(`${point.url}/SMS_MP/.sms_aut?MPLIST`)).text();
  for (let i = 0; i < 20; i++) await (await fetch(`${point.url}/nothing/${i}`)).text();
  const routes = Object.keys(meter.sums());
  assert.equal(routes.length, 2, routes.join(' '));
  assert.equal((await scrape(authorization)).status, 200);
});
