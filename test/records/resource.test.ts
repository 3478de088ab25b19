import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { isCode } from '#base/errors';
import { ResourceRecord, type Device, type RawDevice } from '#records/resource';
import { testDatabase, type TestDatabase } from '#test/database';

let base: TestDatabase;
let clock: ManualClock;
let resources: ResourceRecord;

before(async () => {
  base = await testDatabase();
});
after(() => base.close());
beforeEach(async () => {
  await base.db.query('truncate resource, resource_source, client, ccr');
  clock = new ManualClock();
  resources = new ResourceRecord(base.db, clock);
});

const IMPORT = { source: 'import', site: 'P01', by: 'CORP\\admin' };
const GUID = '11111111-2222-3333-4444-555555555555';
const OTHER = '99999999-2222-3333-4444-555555555555';
const put = (...rows: RawDevice[]) => resources.importDevices(rows, IMPORT);
const one = async (name: string, domain?: string): Promise<Device> => {
  const found = await resources.find(name, domain);
  assert.equal(found.length, 1, `${found.length} machines are called ${name}`);
  return found[0]!;
};

test('an import adds, changes and leaves alone, and rejects each bad row with its line and reason', async () => {
  const first = await put(
    {
      line: 2,
      name: 'PC1',
      domain: 'CORP',
      fqdn: 'pc1.corp.example',
      addresses: ['10.0.0.1'],
      os: 'Windows 11',
      type: 'workstation',
    },
    { line: 3, name: 'pc@1' },
    { line: 4, name: 'PC2', addresses: ['10.0.0.256'] },
    { line: 5, name: 'SRV1', os: 'Windows Server 2025' },
    { line: 6, name: 'PC4', type: 'toaster' },
    { line: 7, name: 'PC5', smbPort: '70000' },
  );
  assert.deepEqual([first.added, first.changed, first.unchanged], [2, 0, 0]);
  assert.deepEqual(
    first.rejected.map((r) => r.line),
    [3, 4, 6, 7],
  );
  assert.match(first.rejected[0]!.reason, /pc@1 is not a name of a machine: only letters/);
  assert.match(first.rejected[1]!.reason, /10\.0\.0\.256 is not an IP address/);
  assert.match(first.rejected[2]!.reason, /toaster/);
  assert.match(first.rejected[3]!.reason, /70000 is not a port/);
  const again = await put({ name: 'pc1', domain: 'corp', addresses: ['10.0.0.7'] }, { name: 'SRV1' });
  assert.deepEqual([again.added, again.changed, again.unchanged, again.ids], [0, 1, 1, first.ids]);
  const pc1 = await one('PC1');
  assert.deepEqual(
    [pc1.addresses, pc1.os, pc1.type, pc1.fqdn, pc1.trusted],
    [['10.0.0.7'], 'Windows 11', 'workstation', 'pc1.corp.example', true],
  );
  assert.equal((await one('srv1')).type, 'server');
  assert.deepEqual(
    pc1.sources.map((s) => [s.method, s.site, s.at.toISOString()]),
    [['import', 'P01', clock.now().toISOString()]],
  );
  assert.deepEqual(pc1.client, {
    installed: false,
    blocked: false,
    version: undefined,
    guid: undefined,
    site: undefined,
    approval: undefined,
    lastSeenAt: undefined,
  });
});

test('the same guid is the same machine under another name', async () => {
  await put({ name: 'OLD', domain: 'CORP', guid: GUID });
  const old = await one('OLD');
  await put({ name: 'NEW', domain: 'CORP', guid: `{${GUID.toLowerCase()}}` });
  assert.equal((await one('NEW')).id, old.id);
  assert.deepEqual(await resources.find('OLD'), []);
});

test('two machines that exchanged their names stay themselves', async () => {
  await put({ name: 'A', domain: 'D', guid: GUID }, { name: 'B', domain: 'D', guid: OTHER });
  const [a, b] = [await one('A'), await one('B')];
  const done = await put({ name: 'B', domain: 'D', guid: GUID }, { name: 'A', domain: 'D', guid: OTHER });
  assert.equal(done.changed, 2);
  assert.equal((await one('B')).id, a.id);
  assert.equal((await one('A')).id, b.id);
});

test('a machine whose name another one took over comes back when its guid is seen', async () => {
  await put({ name: 'A', guid: GUID }, { name: 'B', guid: OTHER });
  const b = await one('B');
  await put({ name: 'B', guid: GUID });
  assert.notEqual((await one('B')).id, b.id);
  assert.equal(await resources.count(), 1);
  await put({ name: 'C', guid: OTHER });
  assert.equal((await one('C')).id, b.id);
});

test('a MAC address alone never makes two machines one', async () => {
  const done = await put({ name: 'LAPTOP1', macs: ['00-11-22-33-44-55'] }, { name: 'LAPTOP2', macs: ['0011.2233.4455'] });
  assert.equal(done.added, 2);
  assert.deepEqual((await one('LAPTOP2')).macs, ['00:11:22:33:44:55']);
});

test('one name in two domains is two machines; NetBIOS and DNS name of a domain are one', async () => {
  await put({ name: 'PC', domain: 'EAST' }, { name: 'PC', domain: 'WEST' });
  assert.equal((await resources.find('pc')).length, 2);
  assert.equal((await one('pc', 'west')).domain, 'WEST');
  const done = await put({ name: 'pc.west.example' });
  assert.deepEqual([done.added, done.changed], [0, 1]);
  assert.equal((await one('pc.west.example')).domain, 'west.example');
  assert.deepEqual((await put({ name: 'PC', domain: 'WEST' })).changed, 1);
  assert.equal((await one('pc', 'west')).domain, 'west.example');
});

test('the address of nobody is told to who wrote it by hand, and left out of what a program tells', async () => {
  for (const address of ['0.0.0.0', '224.0.0.1', '239.1.2.3', '255.255.255.255', '::', 'ff02::1']) {
    const { rejected } = await put({ line: 2, name: 'PC1', domain: 'CORP', addresses: ['10.0.0.1', address] });
    assert.deepEqual(rejected, [{ line: 2, reason: `${address} is the address of no machine` }]);
  }
  const told = { source: 'heartbeat', site: 'P01', trusted: true };
  await resources.importDevices([{ name: 'PC1', domain: 'CORP', addresses: ['0.0.0.0', '10.0.0.1', 'fe80::1'] }], told);
  assert.deepEqual((await one('PC1')).addresses, ['10.0.0.1', 'fe80::1']);
});

test('what a machine says of itself does not change what a trusted source knows', async () => {
  await put({ name: 'PC1', domain: 'CORP', addresses: ['10.0.0.1'], smbPort: 4450 });
  const claim = { source: 'heartbeat', site: 'P01', trusted: false };
  await resources.importDevices([{ name: 'PC1', domain: 'CORP', addresses: ['6.6.6.6'], smbPort: 1 }], claim);
  await resources.importDevices([{ name: 'EVIL', domain: 'CORP', addresses: ['6.6.6.6'], smbPort: 80 }], claim);
  const pc1 = await one('PC1');
  assert.deepEqual([pc1.addresses, pc1.smbPort, pc1.trusted], [['10.0.0.1'], 4450, true]);
  assert.deepEqual(
    pc1.sources.map((s) => s.method).sort((a, b) => (a < b ? -1 : 1)),
    ['heartbeat', 'import'],
  );
  const evil = await one('EVIL');
  assert.deepEqual([evil.trusted, evil.smbPort], [false, undefined]);
});

test('imports of the same machines at the same moment make each one once', async () => {
  const rows = Array.from({ length: 700 }, (_, i) => ({
    name: `PC${i}`,
    domain: 'CORP',
    addresses: [`10.0.${i % 7}.${(i % 250) + 1}`],
  }));
  const done = await Promise.all([0, 1, 2].map(() => resources.importDevices(rows, IMPORT)));
  assert.equal(
    done.reduce((n, d) => n + d.added, 0),
    700,
  );
  assert.equal(await resources.count(), 700);
});

test('pages come in the order of names, each machine once, by filter, site and type', async () => {
  await put(
    ...Array.from({ length: 25 }, (_, i) => ({
      name: `WEB${i}`,
      domain: i % 2 ? 'A' : 'B',
      type: i % 5 ? 'server' : 'workstation',
    })),
  );
  await put({ name: 'DB_', domain: 'A' }, { name: 'DB1', domain: 'A', addresses: ['10.9.9.9', '2001:DB8:0::1'] });
  const names: string[] = [];
  for (let cursor: string | undefined, pages = 0; ; pages++) {
    const page = await resources.list({ filter: 'eb1', limit: 4, cursor });
    names.push(...page.items.map((d) => d.name));
    cursor = page.next;
    if (cursor === undefined) {
      assert.equal(pages, 2);
      break;
    }
  }
  assert.deepEqual(names, ['WEB1', 'WEB10', 'WEB11', 'WEB12', 'WEB13', 'WEB14', 'WEB15', 'WEB16', 'WEB17', 'WEB18', 'WEB19']);
  assert.equal((await resources.list({ type: 'workstation' })).items.length, 5);
  assert.deepEqual(
    (await resources.list({ filter: '2001:db8::1' })).items.map((d) => d.name),
    ['DB1'],
  );
  assert.deepEqual(
    (await resources.byAddress('10.9.9.9')).map((d) => d.name),
    ['DB1'],
  );
  assert.deepEqual((await resources.list({ filter: 'b_' })).items, []);
  const { ids } = await put({ name: 'WEB3', domain: 'A' });
  assert.equal(await resources.assign([{ id: ids[0]!, site: 'P01' }]), 1);
  assert.equal(await resources.assign([{ id: ids[0]!, site: 'P01' }]), 0);
  assert.deepEqual(
    (await resources.list({ site: 'P01' })).items.map((d) => [d.name, d.assignedSite]),
    [['WEB3', 'P01']],
  );
  await assert.rejects(resources.list({ cursor: 'nonsense' }), (e) => isCode(e, 'PP_REQUEST_CURSOR'));
});

test('what a push saw is kept, and what it did not see stays', async () => {
  const { ids } = await put({ name: 'PC1', os: 'Windows' });
  await resources.observe(ids[0]!, {
    osVersion: '10.0.26100',
    osBuild: 26100,
    type: 'dc',
    architecture: 'x64',
    clientVersion: '1.2',
    clientSite: 'S02',
  });
  let device = (await resources.byId(ids[0]!))!;
  assert.deepEqual([device.os, device.osBuild, device.type, device.architecture], ['Windows', 26100, 'dc', 'x64']);
  assert.deepEqual([device.client.installed, device.client.version, device.client.site], [true, '1.2', 'S02']);
  await resources.observe(ids[0]!, { type: 'unknown' });
  await put({ name: 'PC1', os: 'Windows Server 2025' });
  await resources.observe(ids[0]!, { clientVersion: null });
  device = (await resources.byId(ids[0]!))!;
  assert.deepEqual([device.type, device.client.installed], ['dc', false]);
});

test('each walks through all devices', async () => {
  await put(...Array.from({ length: 1100 }, (_, i) => ({ name: `M${i}` })));
  const seen = new Set<number>();
  for await (const device of resources.each()) seen.add(device.id);
  assert.equal(seen.size, 1100);
  assert.equal(await resources.remove([...seen].slice(0, 10)), 10);
  assert.equal(await resources.count(), 1090);
});
