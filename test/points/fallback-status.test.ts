import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FallbackStatusRecord } from '#records/fallback-status';
import { manual, TestSite } from '#test/points';

const TOPIC_ID = '0b9ee6a9-7a43-4c3b-8f8e-0a3d7ad7a001';
const message = (more: object = {}) => ({
  topicType: 800,
  topicId: TOPIC_ID,
  stateId: 313,
  at: '2026-01-05T08:00:00Z',
  name: 'LAB-W11-01',
  domain: 'CORP',
  exitCode: 1603,
  ...more,
});

async function point(t: Parameters<typeof TestSite.make>[0], on = true) {
  const site = await TestSite.make(t, manual());
  if (on) await site.records.site.setPoint('fsp', { address: 'http://fsp.corp.example:8480' }, 'test');
  const { url } = await site.managementPoint();
  const post = async (body: unknown, path = '/sms_fsp/state') => {
    const raw = typeof body === 'string' || body instanceof Uint8Array;
    const answer = await fetch(`${url}${path}`, { method: 'POST', body: raw ? (body as string) : JSON.stringify(body) });
    const json = (await answer.json()) as Record<string, unknown>;
    return { status: answer.status, code: json['code'], json };
  };
  return { site, post };
}

test('a message is kept once, by either path, and read back with its sender', async (t) => {
  const { site, post } = await point(t);
  const sent = await post(message({ logTail: 'MSI failed\0\ud800' }));
  assert.deepEqual([sent.status, sent.json['accepted']], [200, true]);
  assert.equal((await post(message(), '/SMS_FSP/.sms_fsp')).status, 200);
  await post(message({ stateId: 100 }));
  const { items } = await site.records.fallbackStatus.list({ name: 'lab-w11-01' });
  assert.deepEqual(
    items.map((i) => [i.stateId, i.sender, i.exitCode, i.logTail]),
    [
      [100, '127.0.0.1', 1603, undefined],
      [313, '127.0.0.1', 1603, 'MSI failed\ufffd'],
    ],
  );
  const failed = await site.records.fallbackStatus.list({ failed: true });
  assert.deepEqual(
    failed.items.map((i) => i.stateId),
    [313],
  );
});

test('without a fallback status point of this site nothing is taken, and after it was switched off neither', async (t) => {
  const { site, post } = await point(t, false);
  assert.deepEqual(await post(message()).then(({ status, code }) => [status, code]), [404, 'PP_FSP_OFF']);
  await site.records.site.setPoint('fsp', { address: 'http://fsp.corp.example:8480' }, 'test');
  assert.equal((await post(message())).status, 200);
  await site.records.site.setPoint('fsp', { on: false }, 'test');
  assert.equal((await post(message({ stateId: 400 }))).status, 404);
});

test('what is said there makes no machine known, no client, no CCR, no state message of the management point', async (t) => {
  const { site, post } = await point(t);
  await site.records.site.updateSettings({ push: { enabled: true } }, 'test');
  const told: string[] = [];
  const end = await site.parts.database.listen('client', (payload) => told.push(payload));
  for (const stateId of [100, 313, 400, 500, 607, 700]) assert.equal((await post(message({ stateId, site: 'P01' }))).status, 200);
  const count = async (table: string) =>
    (await site.parts.database.query<{ n: number }>(`select count(*) as n from ${table}`))[0]!.n;
  for (const table of ['resource', 'client', 'client_state', 'ccr', 'discovery_queue'].filter(
    (name) => name !== 'discovery_queue',
  ))
    assert.equal(await count(table), 0, table);
  assert.equal(await count('fallback_status'), 6);
  await end();
  assert.deepEqual(told, []);
});

test('the API lists what was said, with what it means, by machine and by pages', async (t) => {
  const { site, post } = await point(t);
  const { call } = await site.console();
  for (const stateId of [100, 313, 400]) await post(message({ stateId }));
  await post(message({ stateId: 100, name: 'OTHER', topicId: '0b9ee6a9-7a43-4c3b-8f8e-0a3d7ad7a002' }));
  const list = async (query: string) =>
    (await call('GET', `/fallback-status${query}`)).json as { items: Record<string, unknown>[]; next?: string };
  const failed = await list('?failed=true');
  assert.deepEqual(
    failed.items.map((one) => [one['name'], one['stateId'], one['text'], one['sender'], one['id']]),
    [['LAB-W11-01', 313, 'The installer of the client failed', '127.0.0.1', undefined]],
  );
  assert.equal((await list('?name=other')).items.length, 1);
  const first = await list('?limit=3');
  assert.deepEqual([first.items.length, (await list(`?cursor=${first.next}`)).items.length], [3, 1]);
  assert.equal((await call('GET', "/fallback-status?cursor=1'--")).status, 400);
  assert.equal((await call('GET', '/fallback-status', undefined, { authorization: 'Bearer wrongwrongwrongwrong' })).status, 401);
});

test('what is no state message is refused and leaves nothing', async (t) => {
  const { site, post } = await point(t);
  for (const body of [
    '',
    'null',
    '[]',
    '{"topicType":800',
    new Uint8Array([0xff, 0xfe, 0x00]),
    message({ topicType: 1.5 }),
    message({ name: "A'; drop table client; --" }),
    message({ name: 'A\nB' }),
    message({ detail: 'two\r\nlines' }),
    message({ at: '2026-99-99T99:99:99Z' }),
    message({ logTail: 'x'.repeat(16_385) }),
    message({ site: 'p01' }),
  ]) {
    const { status, code } = await post(body);
    assert.deepEqual([status, code], [400, 'PP_MSG_MALFORMED'], JSON.stringify(body));
  }
  assert.equal((await post('x'.repeat(200_000))).status, 413);
  assert.deepEqual((await site.records.fallbackStatus.list()).items, []);
});

test('a flood is answered 429 with the seconds to wait, and who waits gets in again', async (t) => {
  const { site, post } = await point(t);
  let refused = 0;
  for (let round = 0; round < 21; round++) {
    const answers = await Promise.all(Array.from({ length: 50 }, () => post(message({ stateId: 100 }))));
    refused += answers.filter(({ status, code }) => status === 429 && code === 'PP_API_RATE').length;
  }
  assert.ok(refused > 0 && refused < 60, String(refused));
  await (site.clock as ReturnType<typeof manual>).advance(1000);
  assert.equal((await post(message({ stateId: 400 }))).status, 200);
});

test('a sender has so many messages and no more; the oldest go with time, and of all too many those of who has most', async (t) => {
  const site = await TestSite.make(t, manual());
  const clock = site.clock as ReturnType<typeof manual>;
  const record = new FallbackStatusRecord(site.parts.database, clock, { perSender: 5, inAll: 6, days: 90 });
  const say = (sender: string, stateId: number) => record.add(message({ stateId }), sender);
  for (let id = 0; id < 5; id++) assert.equal(await say('10.0.0.1', 300 + id), true);
  await assert.rejects(say('10.0.0.1', 399), { code: 'PP_FSP_SENDER_FULL' });
  for (let id = 0; id < 3; id++) await say('10.0.0.2', 300 + id);
  const both = await Promise.all([say('10.0.0.3', 310), say('10.0.0.3', 310)]);
  assert.deepEqual(both.toSorted(), [false, true]);
  assert.equal(await record.prune(), 3);
  const left = (await record.list()).items.map((i) => `${i.sender} ${i.stateId}`);
  assert.deepEqual(left, ['10.0.0.3 310', '10.0.0.2 302', '10.0.0.2 301', '10.0.0.2 300', '10.0.0.1 304', '10.0.0.1 303']);
  await clock.advance(91 * 86_400_000);
  assert.equal(await record.prune(), 6);
  assert.deepEqual((await record.list()).items, []);
});

test('logs take so many octets and no more: the oldest of a network with more than its share go, then those of who has most', async (t) => {
  const site = await TestSite.make(t, manual());
  const record = new FallbackStatusRecord(site.parts.database, site.clock, { octets: 80_000 });
  const clock = site.clock as ReturnType<typeof manual>;
  const say = async (sender: string, stateId: number, octets: number) => {
    // Between two prunings a process takes an eighth.
    await clock.advance(60_000);
    await record.add(message({ stateId, logTail: 'x'.repeat(octets) }), sender);
  };
  const tails = async () =>
    (await record.list()).items.filter((i) => i.logTail !== undefined).map((i) => `${i.sender} ${i.stateId}`);
  for (const [sender, id] of [
    ['10.0.0.1', 300],
    ['10.0.0.2', 301],
    ['10.0.1.1', 302],
    ['10.0.0.3', 303],
  ] as const)
    await say(sender, id, 4000);
  await record.add(message({ stateId: 304, logTail: 'x'.repeat(7000) }), '10.0.2.1');
  assert.deepEqual(await tails(), ['10.0.0.3 303', '10.0.1.1 302', '10.0.0.2 301', '10.0.0.1 300']);
  // 12,000 of 10.0.0.0/24, which has 10,000.
  assert.equal(await record.trim(), 1);
  assert.deepEqual(await tails(), ['10.0.0.3 303', '10.0.1.1 302', '10.0.0.2 301']);
  assert.equal(await record.trim(), 0);
  assert.equal((await record.list()).items.length, 5);
  for (let net = 0; net < 9; net++) await say(`2001:db8:0:${net}::/64`, 310, 9000);
  assert.ok((await record.trim()) > 0);
  const left = (await record.list()).items.reduce((sum, { logTail = '' }) => sum + logTail.length, 0);
  assert.ok(left <= 80_000 && left > 60_000, String(left));
  assert.equal((await record.list()).items.length, 14);
});
