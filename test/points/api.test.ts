import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { once } from 'node:events';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { publicKeyOf, type Registration } from '#messages';
import { manual, TestSite, until } from '#test/points';

async function start(t: TestContext) {
  const site = await TestSite.make(t, manual());
  return { site, ...(await site.console()) };
}

/** pages walks a list with its cursors. */
async function pages(call: Awaited<ReturnType<typeof start>>['call'], route: string): Promise<{ name: string }[][]> {
  const found: { name: string }[][] = [];
  let cursor: string | undefined;
  do {
    const mark = route.includes('?') ? '&' : '?';
    const { status, json } = await call('GET', `${route}${mark}limit=3${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
    assert.equal(status, 200);
    found.push(json.items);
    cursor = json.next;
  } while (cursor !== undefined);
  return found;
}

test('lists are walked page by page, each thing once, also while things come and go', async (t) => {
  const { site, call } = await start(t);
  const names = Array.from({ length: 8 }, (_, i) => `PC${i}`);
  await site.know(...names);
  await site.records.ccr.requestMany(names.map((name) => ({ name, domain: 'CORP', source: 'push', requestedBy: 'x' })));
  const devices = await pages(call, '/devices');
  assert.deepEqual(
    devices.map((p) => p.length),
    [3, 3, 2],
  );
  assert.deepEqual(
    devices.flat().map((d) => d.name),
    names,
  );
  assert.deepEqual(
    (await pages(call, '/ccrs')).flat().map((c) => c.name),
    names.toReversed(),
  );
  assert.deepEqual(
    (await pages(call, '/ccrs?state=queued&filter=pc3')).flat().map((c) => c.name),
    ['PC3'],
  );
  assert.deepEqual(
    (await pages(call, '/devices?filter=PC3')).flat().map((c) => c.name),
    ['PC3'],
  );
  assert.deepEqual((await pages(call, '/devices?ccr=none')).flat(), []);
  const first = await call('GET', '/ccrs?limit=3');
  await site.records.ccr.request({ name: 'LATER', source: 'push', requestedBy: 'x' });
  const second = await call('GET', `/ccrs?limit=3&cursor=${first.json.next}`);
  assert.deepEqual(
    second.json.items.map((c: { name: string }) => c.name),
    ['PC4', 'PC3', 'PC2'],
  );
  assert.equal((await call('GET', '/ccrs/counts')).json.queued, 9);
  const [one] = (await call('GET', '/ccrs?limit=1')).json.items;
  assert.deepEqual([one.name, one.state, one.forced, one.steps], ['LATER', 'queued', false, []]);
  assert.match(one.firstRequestedAt, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
});

test('machines are imported from CSV and JSON, with what is wrong told by line', async (t) => {
  const { site, call } = await start(t);
  const csv =
    'name,domain,fqdn,ip,os,type\r\nPC1,CORP,pc1.corp.example,10.0.0.1;10.0.0.2,Windows 11,workstation\r\nBAD@NAME,CORP,,,,\r\n';
  const first = await call('POST', '/devices/import', csv, { 'content-type': 'text/csv' });
  assert.deepEqual([first.status, first.json.added, first.json.changed], [200, 1, 0]);
  assert.deepEqual(
    first.json.rejected.map((r: { line: number }) => r.line),
    [3],
  );
  const second = await call('POST', '/devices/import', [
    { name: 'PC2', domain: 'CORP' },
    { name: 'PC1', domain: 'CORP', os: 'Windows 10' },
  ]);
  assert.deepEqual([second.json.added, second.json.changed], [1, 1]);
  const { json } = await call('GET', '/devices/pc1.corp.example');
  assert.deepEqual(
    [json.name, json.domain, json.addresses, json.os, json.type, json.trusted],
    ['PC1', 'CORP', ['10.0.0.1', '10.0.0.2'], 'Windows 10', 'workstation', true],
  );
  assert.deepEqual(
    [json.client.installed, json.client.blocked, json.sources[0].method, json.sources[0].site],
    [false, false, 'import', 'P01'],
  );
  const broken = await call('POST', '/devices/import', 'no header at all\n"', { 'content-type': 'text/csv' });
  assert.deepEqual([broken.status, broken.json.code], [400, 'PP_IMPORT_UNREADABLE']);
  assert.equal((await site.records.audit.list({ what: 'device.import' })).items[1]!.address, '127.0.0.1');
  await site.know({ name: 'PC1', domain: 'OTHER' });
  const both = await call('GET', '/devices/PC1');
  assert.deepEqual([both.status, both.json.code], [409, 'PP_API_AMBIGUOUS']);
});

test('sites, settings and points', async (t) => {
  const { site, call } = await start(t);
  const [own] = (await call('GET', '/sites')).json.items;
  assert.deepEqual([own.code, own.kind, own.own], ['P01', 'primary', true]);
  const before = (await call('GET', '/settings')).json;
  const after = await call('PATCH', '/settings', { ccr: { smsPost: 'off', retryMinutes: 30 } });
  assert.deepEqual(after.json, { ...before, ccr: { ...before.ccr, smsPost: 'off', retryMinutes: 30 } });
  assert.deepEqual((await call('GET', '/settings')).json, after.json);
  const put = await call('PUT', '/points/fsp', { address: 'http://fsp.corp.example:8480/' });
  assert.deepEqual([put.json.kind, put.json.address, put.json.on], ['fsp', 'http://fsp.corp.example:8480', true]);
  assert.equal((await call('PUT', '/points/mp', { on: false })).json.on, false);
  assert.deepEqual(
    (await call('GET', '/points')).json.items.map((p: { kind: string; on: boolean }) => [p.kind, p.on]),
    [
      ['fsp', true],
      ['mp', false],
    ],
  );
  const log = await site.records.audit.list();
  assert.deepEqual(
    log.items.map((e) => e.what),
    ['point.set', 'point.set', 'site.settings'],
  );
  const shown = (await call('GET', '/audit?what=site.settings')).json;
  assert.deepEqual([shown.items[0].who, shown.items[0].object], ['test', 'P01']);
});

test('push accounts are added, listed, resumed and removed', async (t) => {
  const { site, call } = await start(t);
  const add = (name: string, scope: object) =>
    call('POST', '/accounts', { name, username: 'CORP\\push', password: 'pässwörd " \\ 😀', scope });
  for (const [name, scope] of [
    ['all', { kind: 'site' }],
    ['berlin', { kind: 'host', pattern: 'BERLIN-*' }],
    ['lab', { kind: 'subnet', cidr: '10.9.0.0/16' }],
  ] as const)
    assert.equal((await add(name, scope)).status, 200);
  const listed = (await call('GET', '/accounts')).json.items;
  assert.deepEqual(
    listed.map((a: { name: string; state: string }) => [a.name, a.state]),
    [
      ['all', 'unproven'],
      ['berlin', 'unproven'],
      ['lab', 'unproven'],
    ],
  );
  const { account } = site.records;
  await account.failed(listed[0].id, 'R1', 1909);
  assert.equal((await call('GET', '/accounts')).json.items[0].state, 'stopped');
  assert.equal((await call('POST', '/accounts/ALL/resume', {})).json.state, 'unproven');
  assert.deepEqual((await call('DELETE', '/accounts/lab')).json, { removed: 'lab' });
  assert.equal((await call('GET', '/accounts')).json.items.length, 2);
  assert.deepEqual(
    (await site.records.audit.list()).items.map((e) => e.what),
    ['account.remove', 'account.resume', 'account.add', 'account.add', 'account.add'],
  );
});

test('a package is its files first, then its definition; an upload that breaks off leaves nothing', async (t) => {
  const { site, call, url } = await start(t);
  const bytes = Buffer.alloc(3_000_000, 'x');
  const octets = { 'content-type': 'application/octet-stream' };
  const stored = await call('POST', '/content', bytes, octets);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  assert.deepEqual(stored.json, { sha256, size: bytes.length });
  const definition = {
    name: 'agent',
    version: '2.0',
    platform: 'windows',
    bootstrap: { file: 'setup.exe', service: 'agentsetup' },
    verify: { service: 'Agent' },
  };
  const files = [{ name: 'setup.exe', sha256, size: bytes.length }];
  const lied = await call('POST', '/packages', { definition, files: [{ ...files[0], size: 1 }] });
  assert.deepEqual([lied.status, lied.json.code], [400, 'PP_API_INVALID']);
  const missing = await call('POST', '/packages', { definition, files: [{ ...files[0], sha256: '0'.repeat(64) }] });
  assert.match(missing.json.detail, /send it to \/content first/);
  const wrong = await call('POST', '/packages', { definition: { ...definition, verify: {} }, files });
  assert.deepEqual([wrong.status, wrong.json.code], [400, 'PP_PACKAGE_DEFINITION']);
  assert.equal((await call('POST', '/packages', { definition, files })).status, 200);
  assert.deepEqual(
    (await call('GET', '/packages')).json.items.map((p: { name: string; isDefault: boolean }) => [p.name, p.isDefault]),
    [
      ['agent', false],
      ['client', true],
    ],
  );
  const incoming = () => readdirSync(path.join(site.folder, 'content', 'incoming'));
  const { port } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1');
  socket.write(
    `POST /api/v1/content HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${site.token}\r\nContent-Type: application/octet-stream\r\nContent-Length: 9999999\r\n\r\n`,
  );
  socket.write(Buffer.alloc(200_000));
  await until(() => incoming().length === 1);
  socket.destroy();
  await once(socket, 'close');
  await until(() => incoming().length === 0);
});

test('clients are shown, approved, blocked and unblocked, by name or GUID', async (t) => {
  const { site, call } = await start(t);
  await site.know('PC1');
  const registration = (name: string, domain = 'CORP'): Registration => ({
    requestId: randomUUID(),
    publicKey: publicKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey),
    name,
    domain,
    fqdn: '',
    addresses: [],
    os: { name: 'Windows 11', version: '10.0', type: 'workstation' },
    hardwareId: `2:${name}`,
    clientVersion: '1.0.0',
    time: site.clock.now().toISOString(),
  });
  const { client } = await site.records.client.register(registration('PC1'));
  await site.records.client.state(
    {
      topicType: 800,
      topicId: randomUUID(),
      stateId: 400,
      at: site.clock.now().toISOString(),
      name: 'PC1',
      domain: 'CORP',
      guid: client.guid,
    },
    { proven: false },
  );
  const shown = (await call('GET', '/clients/PC1.corp')).json;
  assert.deepEqual([shown.guid, shown.approval, shown.blocked, shown.states[0].stateId], [client.guid, 'pending', false, 400]);
  assert.ok(!JSON.stringify(shown).includes(client.publicKey));
  const act = async (who: string, action: string) => (await call('POST', `/clients/${who}/${action}`)).json;
  assert.deepEqual(await act('PC1', 'approve'), { guid: client.guid, name: 'PC1', done: true });
  assert.equal((await act('PC1', 'approve')).done, false);
  assert.equal((await act(client.guid, 'block')).done, true);
  assert.equal((await call('GET', '/clients')).json.items[0].blocked, true);
  assert.equal((await act('PC1', 'unblock')).done, true);
  await site.records.client.register(registration('PC1'));
  assert.deepEqual(
    (await call('GET', '/clients/conflicts')).json.items.map((c: { approval: string }) => c.approval),
    ['pending'],
  );
  const both = await call('POST', '/clients/PC1/block');
  assert.deepEqual([both.status, both.json.code], [409, 'PP_API_AMBIGUOUS']);
  assert.equal((await act(client.guid, 'block')).done, true);
  const log = (await site.records.audit.list()).items.map((e) => e.what);
  assert.deepEqual(log, ['client.block', 'client.unblock', 'client.block', 'client.approve']);
});
