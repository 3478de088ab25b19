import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { systemRandom } from '#base/random';
import type { Ddr } from '#messages';
import { BoundaryRecord } from '#records/boundary';
import { CcrRecord } from '#records/ccr';
import { DiscoveryRecord, type DdrOrigin, type StoredDdrs } from '#records/discovery';
import { propertiesOf, ResourceRecord, type Device } from '#records/resource';
import { SiteRecord } from '#records/site';
import { testDatabase, type TestDatabase } from '#test/database';

// The table of docs/ddm.md, row by row.

const HOUR = 3_600_000;
const [A, B, C] = ['1', '2', '3'].map((n) => n.repeat(8) + '-0000-4000-8000-000000000000') as [string, string, string];
let base: TestDatabase;
let clock: ManualClock;
let resource: ResourceRecord;
let discovery: DiscoveryRecord;
let handed: StoredDdrs[] = [];

before(async () => {
  base = await testDatabase();
});
after(() => base.close());
beforeEach(async () => {
  await base.db.query('truncate boundary, site, site_point, resource, resource_source, ccr, client');
  clock = new ManualClock(new Date('2026-11-21T00:00:00Z'));
  const site = new SiteRecord(base.db, clock, systemRandom);
  resource = new ResourceRecord(base.db, clock);
  handed = [];
  discovery = new DiscoveryRecord(
    base.db,
    clock,
    { site, resource, boundary: new BoundaryRecord(base.db, clock), ccr: new CcrRecord(base.db, clock) },
    async (_tx, _ids, stored) => void handed.push(stored),
  );
  await site.create({ code: 'P01', kind: 'primary' });
});

const from = (method: string, ...ddrs: Ddr[]) => discovery.ingest(ddrs, { method, site: 'P01', trusted: true });
const ad = (...ddrs: Ddr[]) => from('ad', ...ddrs);
const all = async (): Promise<Device[]> => (await resource.list()).items;
const names = async () => (await all()).map((d) => `${d.name}.${d.domain}`);
const one = async (name: string, domain?: string): Promise<Device> => {
  const found = await resource.find(name, domain);
  assert.equal(found.length, 1, `${found.length} machines are called ${name}`);
  return found[0]!;
};
const idOf = async (name: string, domain?: string) => (await one(name, domain)).id;

test('re-imaged: the same hardware id with a new GUID is the same machine, under its old name or a new one', async () => {
  await ad({ name: 'PC1', domain: 'CORP', guid: A, hardwareId: 'BOARD-1', macs: ['02:00:00:00:00:01'] });
  const id = await idOf('PC1');
  await ad({ name: 'PC1', domain: 'CORP', guid: B, hardwareId: 'BOARD-1', macs: ['02:00:00:00:00:01'] });
  assert.deepEqual([await idOf('PC1'), (await one('PC1')).guid], [id, B]);
  await ad({ name: 'NEW1', domain: 'CORP', guid: C, hardwareId: 'board-1', macs: ['02:00:00:00:00:01'] });
  assert.deepEqual([await idOf('NEW1'), (await one('NEW1')).guid, await names()], [id, C, ['NEW1.CORP']]);
});

test('renamed: the same GUID, or hardware id, under another name is the same machine, also when two exchange their names', async () => {
  await ad({ name: 'A1', domain: 'D', guid: A }, { name: 'B1', domain: 'D', hardwareId: 'BOARD-B' });
  const [a, b] = [await idOf('A1'), await idOf('B1')];
  await ad({ name: 'B1', domain: 'D', guid: A }, { name: 'A1', domain: 'D', hardwareId: 'BOARD-B' });
  assert.deepEqual([await idOf('B1'), await idOf('A1')], [a, b]);
});

test('cloned with the client on the disk: one GUID on two boards is two machines; the GUID stays with the one that had it', async () => {
  await ad({ name: 'PC1', domain: 'CORP', guid: A, hardwareId: 'BOARD-1' });
  const { outcomes } = await ad({ name: 'PC2', domain: 'CORP', guid: A, hardwareId: 'BOARD-2' });
  assert.match((outcomes[0] as { note: string }).note, /clone/);
  const [first, second] = [await one('PC1'), await one('PC2')];
  assert.deepEqual([first.guid, second.guid, second.hardwareId], [A, undefined, 'BOARD-2']);
  // They stay two, whichever is heard next.
  await ad(
    { name: 'PC1', domain: 'CORP', guid: A, hardwareId: 'BOARD-1', os: 'x' },
    { name: 'PC2', domain: 'CORP', guid: A, hardwareId: 'BOARD-2', os: 'x' },
  );
  assert.deepEqual([await idOf('PC1'), await idOf('PC2'), await names()], [first.id, second.id, ['PC1.CORP', 'PC2.CORP']]);
  // A new board under the old name and GUID is a repair, not a clone.
  await ad({ name: 'PC1', domain: 'CORP', guid: A, hardwareId: 'BOARD-9' });
  assert.deepEqual([(await one('PC1')).id, (await one('PC1')).hardwareId], [first.id, 'BOARD-9']);
});

test('cloned as a virtual machine: one hardware id with other network cards is two machines, and they stay two', async () => {
  const vm = (name: string, mac: string, os?: string): Ddr => ({
    name,
    domain: 'CORP',
    hardwareId: 'VM-1',
    macs: [mac],
    ...(os && { os }),
  });
  await ad(vm('VM1', '02:00:00:00:00:01'));
  await ad(vm('VM2', '02:00:00:00:00:02'));
  const ids = [await idOf('VM1'), await idOf('VM2')];
  assert.notEqual(ids[0], ids[1]);
  await ad(vm('VM1', '02:00:00:00:00:01', 'x'), vm('VM2', '02:00:00:00:00:02', 'x'));
  assert.deepEqual([await idOf('VM1'), await idOf('VM2')], ids);
});

test('a hardware id that boards share, and a MAC address, even with the flag KEY, tell nothing', async () => {
  const mac = '02:00:00:00:00:01';
  for (const hardwareId of [
    'To Be Filled By O.E.M.',
    '00000000-0000-0000-0000-000000000000',
    'Default string',
    'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF',
    'None',
  ])
    await ad({ name: `PC${hardwareId.length}`, hardwareId, macs: [mac], keys: { 'MAC Address': mac, Card: mac } });
  assert.equal((await all()).length, 4);
  await ad({ name: 'OTHER', hardwareId: 'None', macs: [mac] });
  assert.equal((await all()).length, 5);
});

test('a property with the flag KEY names the machine before its name does', async () => {
  await ad({ name: 'PC1', domain: 'CORP', keys: { 'Asset Tag': 'T-100' } });
  const id = await idOf('PC1');
  await ad({ name: 'RENAMED', domain: 'CORP', keys: { 'asset tag': 't-100' } });
  assert.equal(await idOf('RENAMED'), id);
});

test('two network cards: addresses told together stand together; seen one by one they are one machine with both', async () => {
  await from('network', { name: 'TWO', domain: 'CORP', addresses: ['10.1.0.1'] });
  await clock.advance(HOUR);
  await from('network', { name: 'TWO', domain: 'CORP', addresses: ['10.2.0.1'] });
  assert.deepEqual((await one('TWO')).addresses, ['10.2.0.1', '10.1.0.1']);
  await clock.advance(15 * 24 * HOUR);
  await from('network', { name: 'TWO', domain: 'CORP', addresses: ['10.3.0.1'] });
  assert.deepEqual((await one('TWO')).addresses, ['10.3.0.1'], 'what was not seen for long is gone');
  await ad({ name: 'TWO', domain: 'CORP', addresses: ['10.4.0.1', '10.5.0.1'] });
  await clock.advance(HOUR);
  await from('network', { name: 'TWO', domain: 'CORP', addresses: ['10.5.0.1'] });
  assert.deepEqual((await one('TWO')).addresses, ['10.4.0.1', '10.5.0.1'], 'a list of all of them is not cut down');
  await from('network', { name: 'TWO', domain: 'CORP', addresses: ['10.6.0.1'] });
  assert.deepEqual((await one('TWO')).addresses, ['10.6.0.1', '10.4.0.1', '10.5.0.1']);
});

test('what network discovery sees is added, and does not take the place of what is known', async () => {
  const addresses = async () => (await one('TWO')).addresses;
  const two = (...all: string[]): Ddr => ({ name: 'TWO', domain: 'CORP', addresses: all });
  // Two networks, each asked by runs of its own, and nobody else knows the machine.
  const claim = (ddr: Ddr) => discovery.ingest([ddr], { method: 'network', site: 'P01', trusted: false });
  await claim(two('10.1.0.1'));
  await clock.advance(3 * 24 * HOUR);
  await claim(two('10.2.0.1'));
  await clock.advance(3 * 24 * HOUR);
  await claim(two('10.1.0.1'));
  assert.deepEqual(await addresses(), ['10.1.0.1', '10.2.0.1']);
  // An import of each day tells one address; for weeks it goes on to count beside what is seen.
  await from('import', two('10.9.0.1'));
  assert.deepEqual(await addresses(), ['10.9.0.1'], 'what was only claimed is forgotten');
  for (let day = 0; day < 20; day++) {
    await clock.advance(24 * HOUR);
    await from('import', two('10.9.0.1'));
    const seen = await from('network', two('10.2.0.1'));
    assert.equal(seen.merged, 1);
    assert.deepEqual(await addresses(), ['10.2.0.1', '10.9.0.1'], `day ${day}`);
  }
  // Nobody says any more that it has that address.
  await clock.advance(8 * 24 * HOUR);
  await from('network', two('10.3.0.1'));
  assert.deepEqual(await addresses(), ['10.3.0.1', '10.2.0.1']);
  // Another list, and what a client says of itself, is newer than what was seen before.
  await from('import', two('10.4.0.1'));
  assert.deepEqual(await addresses(), ['10.4.0.1']);
  await from('network', two('10.3.0.1'));
  assert.deepEqual(await addresses(), ['10.3.0.1', '10.4.0.1']);
});

test('where a machine was seen and is not found any more it is not, unless somebody tells that address', async () => {
  const two = (...all: string[]): Ddr => ({ name: 'TWO', domain: 'CORP', addresses: all });
  await from('import', two('10.9.0.1'));
  for (const address of ['10.1.0.1', '10.2.0.1', '10.9.0.1']) {
    await from('network', two(address));
    await clock.advance(HOUR);
  }
  const { id, addresses } = await one('TWO');
  assert.deepEqual(addresses, ['10.2.0.1', '10.1.0.1', '10.9.0.1']);
  // A run asked 10.1 and 10.9 and found it at 10.1.0.7.
  await from('network', two('10.1.0.7'));
  await clock.advance(HOUR);
  const wasAsked = (address: string) => !address.startsWith('10.2.');
  assert.equal(await resource.notThere([{ id, addresses: ['10.1.0.7'] }], wasAsked), 1);
  assert.deepEqual((await one('TWO')).addresses, ['10.1.0.7', '10.2.0.1', '10.9.0.1']);
  assert.equal(await resource.notThere([{ id, addresses: ['10.1.0.7'] }], wasAsked), 0);
  await from('network', two('10.1.0.1'));
  assert.deepEqual((await one('TWO')).addresses, ['10.1.0.1', '10.1.0.7', '10.2.0.1', '10.9.0.1'], 'it is back there');
});

test('one short name in two domains is two machines; told without a domain, the address decides', async () => {
  await ad(
    { name: 'PC', domain: 'east.example', addresses: ['10.1.0.1'] },
    { name: 'PC', domain: 'west.example', addresses: ['10.2.0.1'] },
  );
  const west = await idOf('PC', 'west.example');
  const { outcomes } = await from('network', { name: 'PC', addresses: ['10.2.0.1'], osBuild: 26100 });
  assert.equal((outcomes[0] as { id: number }).id, west);
  assert.deepEqual([(await one('PC', 'west')).osBuild, (await one('PC', 'east')).osBuild], [26100, undefined]);
});

test('of two sources the newer one counts, a conclusion gives way to knowledge, and a late DDR to what is newer', async () => {
  await ad({ name: 'PC1', domain: 'CORP', os: 'Windows 11 Pro', type: 'workstation', adSite: 'Berlin' });
  await clock.advance(HOUR);
  await from('network', { name: 'PC1', domain: 'CORP', os: 'Windows (build 26100)', type: 'server', osBuild: 26100 });
  let pc = await one('PC1');
  assert.deepEqual([pc.os, pc.type, pc.osBuild], ['Windows 11 Pro', 'workstation', 26100]);
  await clock.advance(HOUR);
  await from('import', { name: 'PC1', domain: 'CORP', os: 'Windows 11 Enterprise' });
  const late = new Date(clock.now().getTime() - HOUR - 1000).toISOString();
  await ad({ name: 'PC1', domain: 'CORP', os: 'Windows 10', adSite: 'Hamburg', at: late });
  pc = await one('PC1');
  assert.deepEqual([pc.os, pc.adSite], ['Windows 11 Enterprise', 'Hamburg']);
  const told = propertiesOf({ ...pc }, pc.told);
  assert.deepEqual(
    [told['os'], told['osBuild'], told['adSite']],
    [
      { value: 'Windows 11 Enterprise', method: 'import', site: 'P01', at: '2026-11-21T02:00:00.000Z', worth: 'known' },
      { value: 26100, method: 'network', site: 'P01', at: '2026-11-21T01:00:00.000Z', worth: 'known' },
      { value: 'Hamburg', method: 'ad', site: 'P01', at: late, worth: 'known' },
    ],
  );
});

test('what a source repeats is old news for those that come late', async () => {
  await ad({ name: 'PC1', os: 'Windows 11' });
  const between = new Date(clock.now().getTime() + HOUR).toISOString();
  await clock.advance(2 * HOUR);
  await ad({ name: 'PC1', os: 'Windows 11' });
  await from('import', { name: 'PC1', os: 'Windows 10', at: between });
  assert.equal((await one('PC1')).os, 'Windows 11');
});

test('the same again changes nothing and is told as such; what another source changed in between is told anew', async () => {
  const pc: Ddr = { name: 'PC1', domain: 'CORP', os: 'Windows 11', addresses: ['10.1.0.1'] };
  assert.deepEqual(
    (await ad(pc)).outcomes.map((o) => o.outcome),
    ['stored'],
  );
  const { changedAt } = await one('PC1');
  await clock.advance(HOUR);
  assert.deepEqual(
    (await ad(pc, pc)).outcomes.map((o) => o.outcome),
    ['unchanged', 'unchanged'],
  );
  const after = await one('PC1');
  assert.deepEqual([after.changedAt, after.sources.map((s) => s.at)], [changedAt, [clock.now()]]);
  await from('import', { ...pc, addresses: ['10.9.0.1'] });
  await clock.advance(HOUR);
  assert.deepEqual(
    (await ad(pc)).outcomes.map((o) => o.outcome),
    ['merged'],
  );
  assert.deepEqual((await one('PC1')).addresses, ['10.1.0.1']);
  // In one batch the order counts, said before or not.
  await ad({ ...pc, addresses: ['10.2.0.1'] }, pc);
  assert.deepEqual((await one('PC1')).addresses, ['10.1.0.1']);
});

test('a trusted source is not overruled by an untrusted one in any way, and hands nothing of it on as trusted', async () => {
  await ad({ name: 'PC1', domain: 'CORP', guid: A, hardwareId: 'BOARD-1', addresses: ['10.1.0.1'], keys: { tag: 'T1' } });
  const before = await one('PC1');
  const claim: DdrOrigin = { method: 'heartbeat', site: 'P01', trusted: false };
  const claims: Ddr[] = [
    { name: 'PC1', domain: 'CORP', addresses: ['6.6.6.6'] },
    { name: 'EVIL', domain: 'CORP', guid: A },
    { name: 'EVIL', domain: 'CORP', hardwareId: 'BOARD-1' },
    { name: 'EVIL', domain: 'CORP', keys: { tag: 'T1' } },
  ];
  for (const ddr of claims) await discovery.ingest([ddr], claim);
  // Known by its own claim under a name of its own first, and then under that of the other one.
  await discovery.ingest([{ name: 'MINE', domain: 'CORP', guid: B }], claim);
  await discovery.ingest([{ name: 'PC1', domain: 'CORP', guid: B }], claim);
  const { sources: _s, ...now } = await one('PC1');
  const { sources: _t, ...was } = before;
  assert.deepEqual(now, was);
  assert.deepEqual(
    handed.map((h) => h.trusted),
    [true, ...Array.from({ length: 6 }, () => false)],
  );
});

test('what is wrong in a DDR is told, and the DDRs beside it are taken', async () => {
  const wrong: [Ddr, RegExp][] = [
    [{ name: 'x'.repeat(1_000_000) }, /longer than 253/],
    [{ name: 'PC\u0000' }, /only letters/],
    [{ name: 'PC1@80' }, /only letters/],
    [{ name: 'PC1', os: 'a\nb' }, /control characters/],
    [{ name: 'PC1', at: '2026-11-25T00:00:00Z' }, /in the future/],
    [{ name: 'PC1', at: 'yesterday' }, /not a time/],
    [{ name: 'PC1', addresses: ['10.0.0.256'] }, /not an IP address/],
    [{ name: 'PC1', guid: 'GUID:1' }, /not a GUID/],
    [{ name: 'PC1', hardwareId: 'a'.repeat(200) }, /longer than 128/],
    [{ name: 'PC1', addresses: Array.from({ length: 65 }, (_, i) => `10.0.0.${i}`) }, /more than 64/],
  ];
  const { outcomes, stored, rejected } = await ad({ name: 'FIRST' }, ...wrong.map(([ddr]) => ddr), { name: 'LAST' });
  assert.deepEqual([stored, rejected, await names()], [2, wrong.length, ['FIRST.', 'LAST.']]);
  wrong.forEach(([, reason], i) => assert.match((outcomes[i + 1] as { reason: string }).reason, reason));
  assert.deepEqual(
    handed.flatMap((h) => h.ddrs.map(({ ddr }) => ddr.name)),
    ['FIRST', 'LAST'],
  );
  assert.deepEqual((await ad({ name: 'SOON', at: '2026-11-21T12:00:00Z' })).stored, 1, 'a clock that is a little ahead is none');
});

test('other sites hear of each change at once, and once a day of what does not change', async () => {
  const pc: Ddr = { name: 'PC1', domain: 'CORP', os: 'Windows 11' };
  const heard = async (hours: number, ddr: Ddr) => {
    await clock.advance(hours * HOUR);
    handed = [];
    await ad(ddr);
    return handed.flatMap((h) => h.ddrs.map(({ outcome }) => outcome));
  };
  assert.deepEqual(await heard(0, pc), ['stored']);
  assert.deepEqual(await heard(20, pc), []);
  assert.deepEqual(await heard(3, pc), []);
  assert.deepEqual(await heard(2, pc), ['unchanged']);
  assert.deepEqual(await heard(20, pc), []);
  assert.deepEqual(await heard(0, { ...pc, os: 'Windows 12' }), ['merged']);
});
