import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { isCode } from '#base/errors';
import { systemRandom } from '#base/random';
import { BoundaryRecord } from '#records/boundary';
import { CcrRecord } from '#records/ccr';
import { DiscoveryRecord } from '#records/discovery';
import { ResourceRecord, type RawDevice } from '#records/resource';
import { SiteRecord } from '#records/site';
import { testDatabase, type TestDatabase } from '#test/database';

const DAY = 86_400_000;
let base: TestDatabase;
let clock: ManualClock;
let site: SiteRecord;
let boundary: BoundaryRecord;
let resource: ResourceRecord;
let ccr: CcrRecord;
let discovery: DiscoveryRecord;

before(async () => {
  base = await testDatabase();
});
after(() => base.close());
beforeEach(async () => {
  await base.db.query(`truncate boundary, site, site_point, resource, resource_source, ccr, client, discovery_sweep,
    discovery_maintenance`);
  clock = new ManualClock(new Date('2026-11-21T00:00:00Z'));
  site = new SiteRecord(base.db, clock, systemRandom);
  boundary = new BoundaryRecord(base.db, clock);
  resource = new ResourceRecord(base.db, clock);
  ccr = new CcrRecord(base.db, clock);
  discovery = new DiscoveryRecord(base.db, clock, { site, boundary, resource, ccr });
  await site.create({ code: 'P01', kind: 'primary' });
  await site.learn({ code: 'S01', kind: 'secondary', parent: 'P01' });
});

const IMPORT = { site: 'P01', source: 'import' };
const take = (...rows: RawDevice[]) => discovery.take(rows, IMPORT);
const add = (text: string, code = 'P01', roaming = false) => boundary.add([text], { site: code, roaming, by: 'test' });
const enable = (more: object = {}) => site.updateSettings({ push: { enabled: true, ...more } }, 'test');
const pc = (name: string, ip: string, more: Partial<RawDevice> = {}): RawDevice => ({
  name,
  domain: 'CORP',
  addresses: [ip],
  type: 'workstation',
  ...more,
});
const sitesOf = async () => Object.fromEntries((await resource.list()).items.map((d) => [d.name, d.assignedSite]));
const pushed = async () => (await ccr.list()).items.map((c) => c.name).sort();

async function sweepAll(): Promise<{ assigned: number; requested: number; parts: number }> {
  const total = { assigned: 0, requested: 0, parts: 0 };
  for (;;) {
    const part = await discovery.sweep();
    if (!part) return total;
    total.parts++;
    total.assigned += part.assigned;
    total.requested += part.requested;
  }
}

test('a machine gets its site when it is first stored, or has none, and keeps it when boundaries change', async () => {
  await take(pc('EARLY', '10.1.0.1'));
  assert.deepEqual(await sitesOf(), { EARLY: undefined });
  await add('subnet:10.1.0.0/16');
  await add('subnet:10.2.0.0/16', 'S01');
  await add('subnet:10.3.0.0/16', 'P01', true);
  const taken = await take(pc('EARLY', '10.1.0.1'), pc('PC2', '10.2.0.1'), pc('ROAM', '10.3.0.1'), pc('BAD NAME', '10.1.0.9'));
  assert.deepEqual([taken.assigned, taken.requested, taken.rejected.map((r) => r.line)], [2, 0, [4]]);
  const expected = { EARLY: 'P01', PC2: 'S01', ROAM: undefined };
  assert.deepEqual(await sitesOf(), expected);
  await boundary.remove('subnet:10.2.0.0/16');
  await add('subnet:10.0.0.0/8');
  await add('subnet:10.1.0.0/24', 'S01');
  await take(pc('EARLY', '10.1.0.1'), pc('PC2', '10.2.0.1'));
  assert.deepEqual(await sitesOf(), expected);
});

test('what a machine says of itself gives it no site and no CCR, even when a trusted source knows it', async () => {
  await add('subnet:10.0.0.0/8');
  await enable();
  const claim = { site: 'P01', source: 'heartbeat' };
  assert.deepEqual((await discovery.take([pc('EVIL', '10.6.6.6')], claim)).assigned, 0);
  assert.deepEqual([await sitesOf(), await pushed()], [{ EVIL: undefined }, []]);
  await site.updateSettings({ push: { enabled: false } }, 'test');
  await take(pc('GOOD', '10.1.0.1'));
  await enable();
  await discovery.take([pc('GOOD', '10.1.0.1')], claim);
  assert.deepEqual(await pushed(), []);
  await take(pc('EVIL', '10.6.6.6'));
  assert.deepEqual([(await sitesOf())['EVIL'], await pushed()], ['P01', ['EVIL']]);
});

test('site-wide push takes new machines of this site by type, makes one CCR of each, and asks for no other', async () => {
  await add('subnet:10.1.0.0/16');
  await add('subnet:10.2.0.0/16', 'S01');
  await enable();
  await site.setPoint('mp', { address: 'http://mp1.corp.example:8480' }, 'test');
  const rows = [
    pc('PC1', '10.1.0.1'),
    pc('SRV1', '10.1.0.2', { type: 'server' }),
    pc('DC1', '10.1.0.3', { type: 'dc' }),
    pc('ODD', '10.1.0.4', { type: 'unknown' }),
    pc('PC2', '10.2.0.1'),
    pc('FAR', '192.0.2.1'),
    pc('MP1', '10.1.0.5', { type: 'server', fqdn: 'mp1.corp.example' }),
    pc('NAS-7', '10.1.0.6', { type: 'server' }),
  ];
  await site.updateSettings({ push: { exclude: ['NAS-*'] } }, 'test');
  const taken = await take(...rows, rows[0]!);
  assert.deepEqual([taken.requested, await pushed()], [2, ['PC1', 'SRV1']]);
  const [first] = await ccr.find('PC1');
  assert.deepEqual(
    [first!.source, first!.requestedBy, first!.includeDcs, first!.addresses],
    ['discovery', 'site-wide push', false, ['10.1.0.1']],
  );
  assert.equal((await take(...rows)).requested, 0);
  await ccr.cancel([first!.id], 'somebody');
  await clock.advance(30 * DAY);
  assert.equal((await take(...rows)).requested, 0, 'what a person cancelled stays so');
  const explained = await discovery.explain((await resource.find('MP1'))[0]!);
  assert.deepEqual([explained.push, /site system/.test(explained.reason)], [false, true]);
});

test('switched off, also for a type only, it takes back the CCRs that it made, and no others', async () => {
  await add('subnet:10.1.0.0/16');
  await enable();
  await take(pc('PC1', '10.1.0.1'), pc('SRV1', '10.1.0.2', { type: 'server' }), pc('SRV2', '10.1.0.3', { type: 'server' }));
  const states = async () => Object.fromEntries((await ccr.list()).items.map((c) => [c.name, c.state]));
  const turned = async (push: object) => {
    await site.updateSettings({ push }, 'test');
    await discovery.wantSweep('test');
    let withdrawn = 0;
    for (let part = await discovery.sweep(); part; part = await discovery.sweep()) withdrawn += part.total?.withdrawn ?? 0;
    return withdrawn;
  };
  assert.equal(await turned({ systems: ['workstations', 'servers'] }), 0);
  // Somebody wants this one whatever the rules of site-wide push are.
  await ccr.request({ name: 'SRV2', domain: 'CORP', source: 'push', requestedBy: 'admin' });
  assert.equal(await turned({ systems: ['workstations'] }), 1);
  assert.deepEqual(await states(), { PC1: 'queued', SRV1: 'cancelled', SRV2: 'queued' });
  assert.equal((await ccr.find('SRV1'))[0]!.finishedBy, 'site-wide push');
  assert.match((await discovery.explain((await resource.find('SRV1'))[0]!)).reason, /servers are not wanted/);
  assert.equal(await turned({ enabled: false }), 1);
  assert.deepEqual(await states(), { PC1: 'cancelled', SRV1: 'cancelled', SRV2: 'queued' });
  // What it took back itself is no reason not to begin again.
  await turned({ enabled: true, systems: ['workstations', 'servers'] });
  const live = (await ccr.list()).items.filter((c) => c.state === 'queued').map((c) => c.name);
  assert.deepEqual(live.sort(), ['PC1', 'SRV1', 'SRV2']);
});

test('a machine that belongs to another site, or turns out to be of another type, loses the CCR of site-wide push', async () => {
  const old = await add('subnet:10.1.0.0/16');
  assert.ok(old);
  await enable();
  await take(pc('PC1', '10.1.0.1'), pc('PC2', '10.1.9.1'), pc('PC3', '10.1.0.3'));
  assert.deepEqual(await pushed(), ['PC1', 'PC2', 'PC3']);
  const live = async () => (await ccr.list()).items.filter((c) => c.state === 'queued').map((c) => c.name);
  await add('range:10.1.9.0-10.1.9.255', 'S01');
  await discovery.reassign('all', 'test');
  assert.deepEqual([(await sitesOf())['PC2'], (await live()).sort()], ['S01', ['PC1', 'PC3']]);
  await take(pc('PC3', '10.1.0.3', { type: 'dc' }));
  assert.deepEqual(await live(), ['PC1']);
  await discovery.move([{ id: (await resource.find('PC1'))[0]!.id, site: 'S01' }], base.db);
  assert.deepEqual(await live(), []);
});

test('switched on, it takes the machines that are known already, in parts, once however many processes work on it', async () => {
  await add('subnet:10.0.0.0/8');
  await take(
    ...Array.from({ length: 1201 }, (_, i) => pc(`PC${i}`, `10.1.${i >> 8}.${i & 255}`)),
    pc('DC1', '10.9.0.1', { type: 'dc' }),
  );
  assert.equal(await discovery.sweep(), undefined);
  await enable({ systems: ['workstations'] });
  await discovery.wantSweep('test');
  const other = new DiscoveryRecord(base.db, clock, { site, boundary, resource, ccr });
  const total = { requested: 0, ended: 0 };
  for (let idle = 0; idle < 2;) {
    const parts = (await Promise.all([discovery.sweep(), other.sweep()])).filter((p) => p !== undefined);
    if (parts.length === 0) idle++;
    for (const part of parts) {
      total.requested += part.requested;
      if (part.total) {
        total.ended++;
        assert.deepEqual(part.total, { assigned: 0, requested: 1201, withdrawn: 0, by: 'test' });
      }
    }
  }
  assert.deepEqual(total, { requested: 1201, ended: 1 });
  assert.equal((await ccr.countByState()).queued, 1201);
  await discovery.wantSweep('test');
  assert.deepEqual(await sweepAll(), { assigned: 0, requested: 0, parts: 3 });
});

test('machines that come in while others are walked through, assigned anew and claimed are each pushed to once', async () => {
  await add('subnet:10.0.0.0/8');
  await enable();
  const rows = Array.from({ length: 600 }, (_, i) => pc(`PC${i}`, `10.1.${i >> 8}.${i & 255}`));
  await discovery.wantSweep('test');
  await Promise.all([
    discovery.take(rows, IMPORT),
    discovery.take(rows.toReversed(), { site: 'P01', source: 'ad', trusted: true }),
    discovery.reassign('all', 'test'),
    add('subnet:10.1.0.0/16'),
    discovery.sweep(),
    discovery.wantSweep('again'),
  ]);
  await sweepAll();
  assert.deepEqual([(await ccr.countByState()).queued, await resource.count()], [600, 600]);
  assert.equal((await resource.list({ site: 'P01', limit: 1000 })).items.length, 600);
});

test('a walk gives a site to machines that had none when their boundary was added', async () => {
  await take(pc('PC1', '10.1.0.1'), pc('PC2', '10.2.0.1'), pc('AD1', '192.0.2.1', { adSite: 'Berlin' }));
  await boundary.add(['subnet:10.1.0.0/16', 'adsite:berlin'], { by: 'test' });
  await discovery.wantSweep('test');
  assert.deepEqual(await sweepAll(), { assigned: 2, requested: 0, parts: 1 });
  assert.deepEqual(await sitesOf(), { PC1: 'P01', PC2: undefined, AD1: 'P01' });
});

test('reassign moves machines by the boundaries of now, by name, by filter or all, and says which and where to', async () => {
  const { ids } = await take(pc('PC1', '10.1.0.1'));
  await assert.rejects(discovery.reassign('all', 'test'), (e) => isCode(e, 'PP_BOUNDARY_NONE'));
  await add('subnet:10.0.0.0/8');
  await take(pc('PC1', '10.1.0.1'), pc('PC2', '10.2.0.1'), pc('LAB1', '10.3.0.1'));
  await add('subnet:10.1.0.0/16', 'S01');
  await boundary.remove('subnet:10.0.0.0/8');
  await add('subnet:10.3.0.0/16', 'S01');
  await assert.rejects(
    base.db.transaction(async (tx) => {
      const tried = await discovery.reassign('all', 'test', tx);
      assert.deepEqual(
        tried.items.map((i) => [i.name, i.from, i.to, i.boundary, i.address]),
        [
          ['PC1', 'P01', 'S01', 'subnet:10.1.0.0/16', '10.1.0.1'],
          ['PC2', 'P01', null, null, null],
          ['LAB1', 'P01', 'S01', 'subnet:10.3.0.0/16', '10.3.0.1'],
        ],
      );
      throw new Error('undone');
    }),
  );
  assert.deepEqual(await sitesOf(), { PC1: 'P01', PC2: 'P01', LAB1: 'P01' });
  assert.deepEqual(
    (await discovery.reassign({ ids }, 'test')).items.map((i) => i.name),
    ['PC1'],
  );
  const byFilter = await discovery.reassign({ filter: 'pc' }, 'test');
  assert.deepEqual([byFilter.changed, byFilter.unchanged], [1, 1]);
  assert.deepEqual((await discovery.reassign({ filter: '10.3.0.1' }, 'test')).changed, 1);
  assert.deepEqual(await sitesOf(), { PC1: 'S01', PC2: undefined, LAB1: 'S01' });
  await enable();
  await add('subnet:10.2.0.0/16');
  await discovery.reassign('all', 'test');
  assert.deepEqual(await pushed(), ['PC2'], 'what comes to this site is pushed at once');
});

async function clientOf(name: string, resourceId: number, seenAt: Date): Promise<void> {
  await base.db.query(
    `insert into client (guid, public_key, key_hash, request_id, resource_id, name, name_key, hardware_id, version, approval, registered_at,
       last_seen_at) values ($1, $1, $2, $3, $4, $5, $5, $1, '1', 'approved', $6, $6)`,
    [`GUID:${name}`, Buffer.from(name), systemRandom.uuid(), resourceId, name, seenAt],
  );
}

test('clear install flag: a silent client no longer keeps site-wide push away, and one that is heard again does', async () => {
  await add('subnet:10.0.0.0/8');
  const { ids } = await take(pc('SILENT', '10.1.0.1'), pc('WELL', '10.1.0.2'), pc('SEEN', '10.1.0.3'));
  await clientOf('SILENT', ids[0]!, clock.now());
  await resource.observe(ids[2]!, { clientVersion: '1' });
  await clock.advance(20 * DAY);
  await clientOf('WELL', ids[1]!, clock.now());
  await enable();
  await assert.rejects(site.updateSettings({ maintenance: { clearInstallFlagDays: 7 } }, 'test'), (e) =>
    isCode(e, 'PP_SITE_SETTING'),
  );
  await site.updateSettings({ maintenance: { clearInstallFlagDays: 14 } }, 'test');
  assert.equal((await take(pc('SILENT', '10.1.0.1'))).requested, 0);
  const installed = async () => (await resource.list({ client: true })).items.map((d) => d.name);
  assert.deepEqual(await installed(), ['SEEN', 'SILENT', 'WELL']);
  const ran = await discovery.maintain();
  assert.deepEqual(
    ran.map((r) => [r.task, r.touched, r.names.sort()]),
    [
      ['clear-install-flag', 2, ['SEEN', 'SILENT']],
      ['delete-aged-discovery', 0, []],
    ],
  );
  assert.deepEqual(await installed(), ['WELL']);
  assert.equal((await resource.find('SILENT'))[0]!.client.installed, false);
  assert.equal((await sweepAll()).requested, 2);
  assert.deepEqual(await discovery.maintain(), [], 'once a day');
  await clock.advance(DAY);
  await base.db.query("update client set last_seen_at = $1 where name = 'SILENT'", [clock.now()]);
  assert.deepEqual(await installed(), ['SILENT', 'WELL']);
});

test('delete aged discovery data and inactive clients: only what nobody told of, and never under a live CCR', async () => {
  await site.updateSettings({ maintenance: { deleteAgedDiscoveryDays: 90, deleteInactiveClientDays: 30 } }, 'test');
  const { ids } = await take(
    pc('OLD', '10.1.0.1'),
    pc('HEARD', '10.1.0.2'),
    pc('WANTED', '10.1.0.3'),
    pc('AGAIN', '10.1.0.4'),
    pc('GONE', '10.1.0.5'),
    pc('BARE', '10.1.0.6'),
  );
  await clientOf('GONE', ids[4]!, clock.now());
  await ccr.request({ name: 'WANTED', domain: 'CORP', resourceId: ids[2]!, source: 'push', requestedBy: 'test' });
  await clock.advance(31 * DAY);
  assert.deepEqual(
    (await discovery.maintain()).map((r) => [r.task, r.names]),
    [
      ['delete-inactive-client', ['GONE']],
      ['delete-aged-discovery', []],
    ],
  );
  await clientOf('HEARD', ids[1]!, new Date(clock.now().getTime() + 50 * DAY));
  await clock.advance(40 * DAY);
  await take(pc('AGAIN', '10.1.0.4'));
  await clock.advance(20 * DAY);
  const ran = await discovery.maintain();
  assert.deepEqual(ran.find((r) => r.task === 'delete-aged-discovery')!.names.sort(), ['BARE', 'OLD']);
  assert.deepEqual(Object.keys(await sitesOf()).sort(), ['AGAIN', 'HEARD', 'WANTED']);
});

test('a trial of many tells what the import would do, in parts of which none is kept, also of machines that stand in it twice', async (t) => {
  await take(pc('PC0001', '10.0.0.1'));
  const rows = Array.from({ length: 2500 }, (_, i) => pc(`PC${String(i + 1).padStart(4, '0')}`, `10.1.${i >> 8}.${i & 255}`));
  rows.push(pc('PC0002', '10.1.0.1', { os: 'Windows 11' }), pc('BAD@NAME', '10.2.0.1'));
  const parts: number[] = [];
  const importing = resource.importDevices.bind(resource);
  t.mock.method(resource, 'importDevices', (...args: Parameters<typeof importing>) => {
    parts.push(args[0].length);
    return importing(...args);
  });
  const tried = await discovery.trial(rows, IMPORT);
  assert.deepEqual(parts, [1000, 1000, 502]);
  assert.equal((await resource.list()).items.length, 1);
  t.mock.restoreAll();
  const done = await discovery.take(rows, IMPORT);
  assert.deepEqual([tried.added, tried.rejected], [done.added, done.rejected]);
  // One that stands in two parts of an import is new in the one and changed in the other; a trial has it in one part.
  assert.deepEqual([done.added, done.changed, tried.changed, done.rejected.length], [2499, 2, 1, 1]);
  // Whoever wrote the list twice is told so, whether the two rows came in one part or in two.
  assert.deepEqual(done.repeated, [{ line: 2501, name: 'PC0002', first: 2 }]);
  assert.deepEqual(tried.repeated, done.repeated);
});
