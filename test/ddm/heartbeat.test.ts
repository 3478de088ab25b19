import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { silentLog } from '#base/log';
import { systemRandom } from '#base/random';
import { Ddm } from '#components/ddm';
import type { Ddr } from '#messages';
import { BoundaryRecord } from '#records/boundary';
import { CcrRecord } from '#records/ccr';
import { ClientRecord } from '#records/client';
import { DiscoveryRecord } from '#records/discovery';
import { ResourceRecord, type Device } from '#records/resource';
import { SiteRecord } from '#records/site';
import { testDatabase, type TestDatabase } from '#test/database';

const FIRST = 'GUID:11111111-2222-3333-4444-555555555555';
const SECOND = 'GUID:99999999-2222-3333-4444-555555555555';
let base: TestDatabase;
let clock: ManualClock;
let site: SiteRecord;
let boundary: BoundaryRecord;
let resource: ResourceRecord;
let client: ClientRecord;
let ccr: CcrRecord;
let discovery: DiscoveryRecord;

before(async () => {
  base = await testDatabase();
});
after(() => base.close());
beforeEach(async () => {
  await base.db.query('truncate boundary, site, site_point, resource, resource_source, ccr, client, ddr, discovery_sweep');
  clock = new ManualClock(new Date('2026-11-21T00:00:00Z'));
  site = new SiteRecord(base.db, clock, systemRandom);
  boundary = new BoundaryRecord(base.db, clock);
  resource = new ResourceRecord(base.db, clock);
  client = new ClientRecord(base.db, clock, systemRandom);
  ccr = new CcrRecord(base.db, clock);
  discovery = new DiscoveryRecord(base.db, clock, { site, boundary, resource, ccr });
  await site.create({ code: 'P01', kind: 'primary' });
  await boundary.add(['subnet:10.0.0.0/8'], { site: 'P01', by: 'test' });
  await site.updateSettings({ push: { enabled: true } }, 'test');
});

/** registered is a client as the management point left it: pending, and belonging to nobody yet. */
async function registered(guid: string, name: string, resourceId?: number): Promise<void> {
  await base.db.query(
    `insert into client (guid, public_key, key_hash, request_id, resource_id, name, name_key, hardware_id, version, approval, registered_at,
       last_seen_at) values ($1, $1, $2, $3, $4, $5, upper($5), $1, '1', 'pending', $6, $6)`,
    [guid, Buffer.from(guid), systemRandom.uuid(), resourceId, name, clock.now()],
  );
}

const beat = (guid: string, name: string, more: Partial<Ddr> = {}) =>
  discovery.leave({
    method: 'heartbeat',
    key: guid,
    site: 'P01',
    ddr: { guid, name, addresses: ['10.0.0.66'], at: clock.now().toISOString(), ...more },
  });
const known = async (name: string): Promise<Device | undefined> => (await resource.find(name))[0];
const pushed = async () => (await ccr.list()).items.map((one) => one.name);

/** taken runs DDM until its queue is empty. */
async function taken(): Promise<void> {
  const ddm = new Ddm({ database: base.db, discovery, client, clock, log: silentLog });
  await ddm.start();
  const waiting = async () => (await base.db.query('select id from ddr')).length;
  while ((await waiting()) > 0) await new Promise((resolve) => setImmediate(resolve));
  await ddm.stop();
}

test('ten thousand heartbeats of clients that nobody approved are known machines, and nothing is pushed to them', async () => {
  const guids = Array.from(
    { length: 10_000 },
    (_, i) => `GUID:${i.toString(16).toUpperCase().padStart(8, '0')}-0000-4000-8000-000000000000`,
  );
  await base.db.query(
    `insert into client (guid, public_key, key_hash, request_id, name, name_key, hardware_id, version, approval, registered_at, last_seen_at)
     select g, g, sha256(g::bytea), gen_random_uuid(), 'EVIL', 'EVIL', g, '1', 'pending', $2, $2 from unnest($1::text[]) as g`,
    [guids, clock.now()],
  );
  await base.db.query(
    `insert into ddr (method, key, site, received_at, body)
     select 'heartbeat', g, 'P01', $2, jsonb_build_object('guid', g, 'name', 'EVIL' || n, 'addresses', jsonb_build_array('10.6.6.6'))
     from unnest($1::text[]) with ordinality as x(g, n)`,
    [guids, clock.now()],
  );
  await taken();
  assert.equal(await resource.count(), 10_000);
  assert.deepEqual([await pushed(), (await resource.list({ site: 'P01' })).items], [[], []]);
  await discovery.wantSweep('test');
  while (await discovery.sweep());
  assert.deepEqual(await pushed(), []);
});

test('a claim changes nothing of a machine that a trusted source knows, and does not keep it from being forgotten', async () => {
  await site.updateSettings({ push: { enabled: false } }, 'test');
  await discovery.ingest([{ name: 'DC1', addresses: ['10.0.0.1'], type: 'dc' }], {
    method: 'import',
    site: 'P01',
    trusted: true,
  });
  await clock.advance(100 * 86_400_000);
  await registered(FIRST, 'DC1');
  await beat(FIRST, 'DC1', { hardwareId: 'ABCD-1', type: 'workstation' });
  await taken();
  const dc = (await known('DC1'))!;
  assert.deepEqual([dc.addresses, dc.type, dc.guid, dc.hardwareId], [['10.0.0.1'], 'dc', undefined, undefined]);
  assert.deepEqual((await discovery.maintain()).find((m) => m.task === 'delete-aged-discovery')!.names, ['DC1']);
});

test('a trusted source that comes later believes nothing of what the machine had claimed', async () => {
  await registered(FIRST, 'PC1');
  await beat(FIRST, 'PC1', { fqdn: 'pc1.evil.example', macs: ['02:00:00:00:00:66'], os: 'Windows 11' });
  await taken();
  assert.deepEqual([(await known('PC1'))!.trusted, (await known('PC1'))!.addresses], [false, ['10.0.0.66']]);
  await discovery.ingest([{ name: 'PC1', type: 'workstation' }], { method: 'ad', site: 'P01', trusted: true });
  const pc = (await known('PC1'))!;
  assert.deepEqual([pc.trusted, pc.addresses, pc.fqdn, pc.macs, pc.os, pc.guid], [true, [], undefined, [], undefined, undefined]);
});

test('an approved client is believed for itself: stored, assigned, never pushed to, renamed', async () => {
  await registered(FIRST, 'PC1');
  await client.trust.approve(FIRST, 'admin');
  await beat(FIRST, 'PC1', { os: 'Windows 11 Pro' });
  await taken();
  const pc = (await known('PC1'))!;
  assert.deepEqual([pc.trusted, pc.assignedSite, pc.client.installed, pc.os], [true, 'P01', true, 'Windows 11 Pro']);
  assert.deepEqual(await pushed(), []);
  await clock.advance(1000);
  await beat(FIRST, 'PC1-NEW', { addresses: ['10.0.0.67'] });
  await taken();
  const renamed = (await known('PC1-NEW'))!;
  assert.deepEqual([renamed.id, renamed.addresses, await known('PC1')], [pc.id, ['10.0.0.67'], undefined]);
});

test('an approved client cannot take the name, the hardware id or the port of another machine', async () => {
  await discovery.ingest([{ name: 'DC1', addresses: ['10.0.0.1'], hardwareId: 'BOARD-DC1', smbPort: 4450 }], {
    method: 'import',
    site: 'P01',
    trusted: true,
  });
  const before = (await known('DC1'))!;
  await registered(FIRST, 'PC1');
  await client.trust.approve(FIRST, 'admin');
  await beat(FIRST, 'PC1');
  await taken();
  const pc = (await known('PC1'))!;
  for (const claim of [
    { name: 'DC1' },
    { name: 'DC1', hardwareId: 'BOARD-DC1' },
    { name: 'PC1', hardwareId: 'BOARD-DC1', smbPort: 80 },
  ]) {
    await clock.advance(1000);
    await beat(FIRST, claim.name, claim);
    await taken();
    const { changedAt: _a, sources: _b, ...dc } = (await known('DC1'))!;
    const { changedAt: _c, sources: _d, ...was } = before;
    assert.deepEqual(dc, was);
    assert.deepEqual([(await known('PC1'))!.id, (await known('PC1'))!.smbPort], [pc.id, undefined]);
  }
  // Approved while discovery knew no machine of its name, and never heard under it.
  const third = 'GUID:77777777-2222-3333-4444-555555555555';
  await registered(third, 'PC3');
  await client.trust.approve(third, 'admin');
  for (const claim of [{}, { hardwareId: 'BOARD-DC1' }]) {
    await clock.advance(1000);
    await beat(third, 'DC1', claim);
    await taken();
    assert.deepEqual([(await known('DC1'))!.addresses, (await known('DC1'))!.guid], [['10.0.0.1'], undefined]);
  }
  // Registered under the name of the other one, harmless when it was approved: of that moment's name it is the client.
  await registered(SECOND, 'HARMLESS', before.id);
  await client.trust.approve(SECOND, 'admin');
  await beat(SECOND, 'HARMLESS');
  await taken();
  assert.equal((await known('DC1'))!.id, before.id);
  assert.notEqual((await known('HARMLESS'))!.id, before.id);
});

test('what a blocked client left is dropped, of one client the newest waits, and a heartbeat that is older comes too late', async () => {
  await registered(FIRST, 'PC1');
  await client.trust.approve(FIRST, 'admin');
  const old = clock.now().toISOString();
  await clock.advance(5000);
  await beat(FIRST, 'PC1', { addresses: ['10.0.0.2'] });
  await beat(FIRST, 'PC1', { addresses: ['10.0.0.1'], at: old });
  await taken();
  assert.deepEqual((await known('PC1'))!.addresses, ['10.0.0.2']);
  await registered(SECOND, 'PC2');
  await client.trust.block(SECOND, 'admin');
  await beat(SECOND, 'PC2');
  await taken();
  assert.equal(await known('PC2'), undefined);
});
