import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Upkeep } from '#components/upkeep';
import { manual, TestSite } from '#test/points';
import { eventually } from '#test/whole-site';

interface Item {
  name: string;
  decision: string;
  reason: string;
  site: string;
  assignedSite?: string;
}

async function start(t: TestContext) {
  const clock = manual();
  const site = await TestSite.make(t, clock);
  const { call } = await site.console();
  await site.records.site.learn({ code: 'S01', kind: 'secondary', parent: 'P01' });
  const push = async (names: string[], more: object = {}) => {
    const answer = await call('POST', '/push', { names, ...more });
    assert.equal(answer.status, 200, answer.text);
    return answer.json as { items: Item[]; notes: string[] };
  };
  return { site, call, push, clock };
}

const pc = (name: string, ip: string) => ({ name, domain: 'CORP', addresses: [ip], type: 'workstation' });

test('with no boundary at all every machine may be pushed to, and the preview says why', async (t) => {
  const { site, push, call } = await start(t);
  await site.know(pc('PC1', '10.1.0.1'));
  const before = await push(['PC1', 'NEW1'], { dryRun: true });
  assert.deepEqual(
    before.items.map((i) => i.decision),
    ['push', 'push'],
  );
  assert.match(before.notes[0]!, /no site boundary is configured/);
  // A roaming boundary assigns nobody, so it changes nothing here.
  assert.equal((await call('POST', '/boundaries', { boundaries: ['subnet:10.9.0.0/16'], roaming: true })).status, 200);
  assert.deepEqual((await push(['PC1'], { dryRun: true })).items[0]!.decision, 'push');
  await call('POST', '/boundaries', { boundaries: ['subnet:10.9.0.0/24'] });
  const [item] = (await push(['PC1'], { dryRun: true })).items;
  assert.deepEqual([item!.decision, /no site boundary holds 10\.1\.0\.1/.test(item!.reason)], ['refuse', true]);
});

test('once there is a boundary, only machines of this site are pushed to, unless the wizard is told otherwise', async (t) => {
  const { site, push, call } = await start(t);
  const rows = [pc('MINE', '10.1.0.1'), pc('THEIRS', '10.2.0.1'), pc('NOWHERE', '192.0.2.1'), { name: 'BARE', domain: 'CORP' }];
  await site.know(pc('LATE', '10.1.0.7'));
  await call('POST', '/boundaries', { boundaries: ['subnet:10.1.0.0/16'] });
  await call('POST', '/boundaries', { boundaries: ['subnet:10.2.0.0/16'], site: 's01' });
  await site.know(...rows);
  const names = ['MINE', 'LATE', 'THEIRS', 'NOWHERE', 'BARE', 'NEW1'];
  const { items, notes } = await push(names, { dryRun: true });
  assert.deepEqual(notes, []);
  assert.deepEqual(
    items.map((i) => [i.name, i.decision, i.assignedSite]),
    [
      ['MINE', 'push', 'P01'],
      ['LATE', 'push', 'P01'],
      ['THEIRS', 'refuse', 'S01'],
      ['NOWHERE', 'refuse', undefined],
      ['BARE', 'refuse', undefined],
      ['NEW1', 'refuse', undefined],
    ],
  );
  assert.match(items[2]!.reason, /assigned to site S01: .*--include-unassigned/);
  assert.match(items[4]!.reason, /no address of it is known/);
  assert.match(items[5]!.reason, /discovery does not know it/);
  await push(names);
  assert.deepEqual((await site.records.ccr.list()).items.map((c) => c.name).sort(), ['LATE', 'MINE']);
  assert.equal(
    (await call('GET', '/devices/LATE')).json.assignedSite,
    'P01',
    'what was pushed as of this site is assigned to it',
  );
  const told = await push(names, { includeUnassigned: true, force: true });
  assert.ok(told.items.every((i) => i.decision === 'push'));
  assert.equal((await site.records.ccr.list()).items.length, 6);
  assert.equal((await call('GET', '/devices/THEIRS')).json.assignedSite, 'S01', 'a push moves no machine to another site');
});

test('another site than this one cannot be told to push from here', async (t) => {
  const { site, push, call } = await start(t);
  await site.know(pc('PC1', '10.1.0.1'));
  assert.equal((await push(['PC1'], { fromSite: 'p01', dryRun: true })).items[0]!.decision, 'push');
  const [item] = (await push(['PC1'], { fromSite: 'S01' })).items;
  assert.equal(item!.decision, 'refuse');
  assert.match(item!.reason, /site S01 shall push it and this is site P01/);
  assert.equal((await call('POST', '/push', { names: ['PC1'], fromSite: 'nowhere' })).json.code, 'PP_SITE_CODE');
});

test('site-wide push takes what is imported, and when it is switched on what is known; a dry run of it does nothing', async (t) => {
  const { site, call } = await start(t);
  await call('POST', '/boundaries', { boundaries: ['subnet:10.1.0.0/16'] });
  await site.know(pc('PC1', '10.1.0.1'));
  const upkeep = new Upkeep({ ...site.parts, ...site.records });
  await upkeep.start();
  await call('PATCH', '/settings?dryRun=true', { push: { enabled: true } });
  const shown = await call('GET', '/devices/PC1');
  assert.deepEqual(shown.json.siteWidePush, { push: false, reason: 'site-wide push of site P01 is off' });
  assert.equal((await call('PATCH', '/settings', { push: { enabled: true } })).status, 200);
  await eventually('the walk to reach PC1', async () => (await site.records.ccr.find('PC1')).length === 1);
  const csv = 'name,domain,ip,type\nPC2,CORP,10.1.0.2,workstation\nFAR,CORP,192.0.2.1,workstation\n';
  const tried = await call('POST', '/devices/import?dryRun=true', csv, { 'content-type': 'text/csv' });
  assert.deepEqual([tried.json.assigned, tried.json.requested], [1, 1]);
  assert.equal((await site.records.ccr.find('PC2')).length, 0);
  const done = await call('POST', '/devices/import', csv, { 'content-type': 'text/csv' });
  assert.deepEqual([done.json.added, done.json.assigned, done.json.requested], [2, 1, 1]);
  assert.deepEqual(
    (await site.records.ccr.find('PC2')).map((c) => [c.state, c.source, c.requestedBy]),
    [['queued', 'discovery', 'site-wide push']],
  );
  assert.match((await call('GET', '/devices/FAR')).json.siteWidePush.reason, /assigned to no site/);
  // Switched off, it takes back what it has made, and leaves what somebody asked for.
  await call('POST', '/push', { names: ['PC2'] });
  await call('PATCH', '/settings?dryRun=true', { push: { enabled: false } });
  await call('PATCH', '/settings', { push: { enabled: false } });
  const log = () => site.records.audit.list({ what: 'ccr.withdraw' });
  await eventually('what was taken back to be in the audit log', async () => (await log()).items.length > 0);
  const entries = (await log()).items;
  assert.deepEqual([entries.length, entries[0]!.who, entries[0]!.object], [1, 'site-wide push', '1 CCRs']);
  const ccrs = (await site.records.ccr.list()).items.toSorted((a, b) => a.name.localeCompare(b.name));
  assert.deepEqual(
    ccrs.map((c) => [c.name, c.state, c.finishedBy]),
    [
      ['PC1', 'cancelled', 'site-wide push'],
      ['PC2', 'queued', undefined],
    ],
  );
  await upkeep.stop();
});

test('maintenance runs by itself once a day and leaves its trace in the audit log', async (t) => {
  const { site, clock } = await start(t);
  await site.records.site.updateSettings({ maintenance: { deleteAgedDiscoveryDays: 30 } }, 'test');
  await site.know(pc('OLD', '10.1.0.1'));
  const { ccr } = site.records;
  const { id } = (await ccr.request({ name: 'OLD', source: 'push', requestedBy: 'test' })).ccr;
  await ccr.cancel([id], 'test');
  const token = await site.records.client.issueToken({ name: 'OLD', expiresAt: clock.now() });
  await site.parts.database.query(
    `insert into client (guid, public_key, key_hash, request_id, name, name_key, hardware_id, version, approval, registered_at, last_seen_at)
     values ('GUID:X', 'k', 'k', gen_random_uuid(), 'STRANGER', 'STRANGER', 'hw', '1', 'pending', $1, $1)`,
    [clock.now()],
  );
  await clock.advance(91 * 86_400_000);
  const upkeep = new Upkeep({ ...site.parts, ...site.records });
  await upkeep.start();
  const log = () => site.records.audit.list({ what: 'maintenance.delete-aged-discovery' });
  await eventually('the audit entry', async () => (await log()).items.length > 0);
  await upkeep.stop();
  const told = (await log()).items;
  assert.deepEqual([told[0]!.who, told[0]!.object, told[0]!.detail], ['maintenance', '1 machines', { days: 30, names: ['OLD'] }]);
  assert.equal(await site.records.resource.count(), 0);
  // Clients, CCRs and tokens get old too, each after its own time.
  const [gone] = (await site.records.audit.list({ what: 'maintenance.delete-unapproved-client' })).items;
  assert.deepEqual([gone!.object, gone!.detail], ['1 clients', { days: 90, names: ['STRANGER'] }]);
  assert.deepEqual((await ccr.list({})).items, []);
  assert.equal(await site.records.client.tokenKey(token.id), undefined);
});

test('boundaries and reassignments are in the audit log, and a dry run is not', async (t) => {
  const { site, call } = await start(t);
  const add = (boundaries: string[], query = '', more: object = {}) =>
    call('POST', `/boundaries${query}`, { boundaries, ...more });
  const tried = await add(['subnet:10.1.0.0/16'], '?dryRun=true');
  assert.deepEqual(
    tried.json.items.map((b: { boundary: string; site: string }) => [b.boundary, b.site]),
    [['subnet:10.1.0.0/16', 'P01']],
  );
  assert.deepEqual((await call('GET', '/boundaries')).json.items, []);
  await add(['subnet:10.1.0.0/16']);
  await site.know(pc('PC1', '10.1.2.3'));
  const second = await add(['range:10.1.2.0-10.1.2.9'], '', { site: 'S01' });
  assert.equal(second.json.overlaps[0].contradictory, true);
  const which = await call('GET', '/boundaries/which?address=10.1.2.3');
  assert.deepEqual(
    [which.json.address, which.json.site, which.json.boundary, which.json.kind, which.json.overlaps.length],
    ['10.1.2.3', 'S01', 'range:10.1.2.0-10.1.2.9', 'range', 1],
  );
  assert.equal((await call('GET', '/boundaries/which?address=PC1')).json.code, 'PP_BOUNDARY_ADDRESS');
  const preview = await call('POST', '/devices/reassign?dryRun=true', { all: true });
  assert.deepEqual(preview.json.items, [
    { name: 'PC1', from: 'P01', to: 'S01', boundary: 'range:10.1.2.0-10.1.2.9', address: '10.1.2.3' },
  ]);
  assert.equal((await call('GET', '/devices/PC1')).json.assignedSite, 'P01');
  assert.equal((await call('POST', '/devices/reassign', { names: ['PC1'] })).json.changed, 1);
  assert.equal((await call('GET', '/devices/PC1')).json.assignedSite, 'S01');
  for (const wrong of [{}, { all: false }, { all: true, filter: 'x' }, { names: [] }])
    assert.equal((await call('POST', '/devices/reassign', wrong)).json.code, 'PP_API_INVALID', JSON.stringify(wrong));
  assert.equal((await call('POST', '/devices/reassign', { names: ['NOBODY'] })).status, 404);
  assert.equal((await call('DELETE', '/boundaries/range%3A10.1.2.0-10.1.2.9')).json.site, 'S01');
  assert.equal((await call('DELETE', '/boundaries/range%3A10.1.2.0-10.1.2.9')).json.code, 'PP_BOUNDARY_UNKNOWN');
  const log = (await site.records.audit.list()).items.map((e) => [e.what, e.object]);
  assert.deepEqual(log, [
    ['boundary.remove', 'range:10.1.2.0-10.1.2.9'],
    ['device.reassign', '1 machines'],
    ['boundary.add', 'range:10.1.2.0-10.1.2.9'],
    ['boundary.add', 'subnet:10.1.0.0/16'],
  ]);
});
