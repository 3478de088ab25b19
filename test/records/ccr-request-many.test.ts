import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { AccountRecord } from '#records/account';
import { CcrRecord, type CcrRequest } from '#records/ccr';
import { ResourceRecord } from '#records/resource';
import { testDatabase, type TestDatabase } from '#test/database';

let base: TestDatabase;
let ccrs: CcrRecord;
let resources: ResourceRecord;
const clock = new ManualClock();

before(async () => {
  base = await testDatabase();
  ccrs = new CcrRecord(base.db, clock);
  resources = new ResourceRecord(base.db, clock);
});
after(() => base.close());
beforeEach(() =>
  base.db.query('truncate ccr, ccr_name, ccr_tally, ccr_attempt, ccr_step, ccr_worker, resource, resource_source'),
);

const wish = (name: string, more: Partial<CcrRequest> = {}): CcrRequest => ({ name, source: 'push', requestedBy: 'x', ...more });
const many = (n: number, prefix = 'PC') => Array.from({ length: n }, (_, i) => wish(`${prefix}${i}`));

test('a large number of requests makes the same CCRs as one after the other', async () => {
  await resources.importDevices([{ name: 'PC3', domain: 'CORP', addresses: ['10.1.2.3'] }], { site: 'P01', source: 'import' });
  const requests = many(40).map((r, i) => ({
    ...r,
    domain: i % 2 ? 'CORP' : undefined,
    forced: i === 5,
    addresses: [`10.0.0.${i}`],
  }));
  const once = await ccrs.requestMany(requests);
  assert.deepEqual(
    once.map((d) => d.ccr.name),
    requests.map((r) => r.name),
  );
  assert.ok(once.every((d) => d.made === 'new'));
  const [device] = await resources.find('PC3');
  assert.equal(once[3]!.ccr.machineKey, `R${device!.id}`);
  const fields = (c: (typeof once)[0]['ccr']) => ({ ...c, id: 0, machineKey: c.machineKey, fence: c.fence });
  await base.db.query('truncate ccr, ccr_name');
  for (const [i, request] of requests.entries()) {
    const { ccr } = await ccrs.request(request);
    assert.deepEqual(fields(ccr), fields(once[i]!.ccr));
  }
  assert.equal((await ccrs.list({ filter: 'PC39' })).items.length, 1);
});

test('a large number of requests merges into what is live, and into what it just made itself', async () => {
  const before = await ccrs.requestMany([wish('PC7'), wish('PC8', { domain: 'SALES' })]);
  const done = await ccrs.requestMany([...many(30), wish('PC9', { forced: true }), wish('PC8', { domain: 'PLANT' })]);
  assert.equal(done[7]!.made, 'merged');
  assert.equal(done[7]!.ccr.id, before[0]!.ccr.id);
  assert.equal(done[9]!.made, 'new');
  assert.equal(done[30]!.made, 'merged');
  assert.equal(done[30]!.ccr.id, done[9]!.ccr.id);
  assert.equal(done[30]!.ccr.forced, true);
  assert.equal(done[31]!.made, 'new', 'one short name in two domains is two machines');
  const again = await ccrs.requestMany(many(30));
  // PC8 alone now means neither of the two that are live.
  assert.deepEqual(
    again.filter((d) => d.made === 'new').map((d) => d.ccr.name),
    ['PC8'],
  );
});

test('a machine that was renamed keeps its live CCR', async () => {
  await resources.importDevices([{ name: 'OLD', domain: 'CORP', guid: '11111111-1111-4111-8111-111111111111' }], {
    site: 'P01',
    source: 'import',
  });
  const [device] = await resources.find('OLD');
  const first = await ccrs.request(wish('OLD', { domain: 'CORP' }));
  const done = await ccrs.requestMany([...many(20), wish('NEW', { resourceId: device!.id })]);
  assert.equal(done[20]!.made, 'merged');
  assert.equal(done[20]!.ccr.id, first.ccr.id);
});

test('live CCRs and machines are found for many names with one look-up, each by its own domain', async () => {
  await resources.importDevices(
    [
      { name: 'PC1', domain: 'SALES', fqdn: 'pc1.sales.example' },
      { name: 'PC1', domain: 'PLANT' },
      { name: 'PC2', domain: 'PLANT' },
    ],
    { site: 'P01', source: 'import' },
  );
  const asked = [
    { name: 'pc1' },
    { name: 'PC1', domain: 'plant' },
    { name: 'pc1.sales.example' },
    { name: 'PC2.other' },
    { name: 'nobody' },
  ];
  const devices = await resources.findMany(asked);
  assert.deepEqual(
    devices.map((found) => found.map((d) => d.domain)),
    [['SALES', 'PLANT'], ['PLANT'], ['SALES'], [], []],
  );
  for (const [i, { name, domain }] of asked.entries())
    assert.deepEqual(
      (await resources.find(name, domain)).map((d) => d.id),
      devices[i]!.map((d) => d.id),
    );
  await ccrs.requestMany([wish('PC1', { domain: 'SALES' }), wish('PC1', { domain: 'PLANT' }), wish('PC2', { domain: 'PLANT' })]);
  const done = await ccrs.request(wish('PC3'));
  await ccrs.cancel([done.ccr.id], 'x');
  const live = await ccrs.findLive([...asked.slice(0, 2), { name: 'PC2.plant' }, { name: 'PC3' }]);
  assert.deepEqual(
    live.map((found) => found.map((c) => c.domain)),
    [['PLANT', 'SALES'], ['PLANT'], ['PLANT'], []],
  );
});

test('accounts are chosen for many machines as for each alone', async () => {
  const accounts = new AccountRecord(base.db, clock);
  const sealedPassword = new Uint8Array(1);
  const add = (name: string, scope: Parameters<AccountRecord['add']>[0]['scope']) =>
    accounts.add({ name, username: `CORP\\${name}`, sealedPassword, scope });
  await add('site', { kind: 'site' });
  const berlin = await add('berlin', { kind: 'host', pattern: 'BERLIN-*' });
  await add('lab', { kind: 'subnet', cidr: '10.9.0.0/16' });
  await accounts.worked(berlin.id, 'BERLIN-2');
  const machines = [
    { name: 'BERLIN-1', addresses: ['10.9.1.1'] },
    { name: 'BERLIN-2' },
    { name: 'PARIS-1', addresses: ['10.9.1.2'] },
    { name: 'PARIS-2' },
  ];
  const names = (await accounts.chooseForMany(machines)).map((chosen) => chosen.map((a) => a.name));
  assert.deepEqual(names, [['berlin', 'lab'], ['berlin', 'site'], ['lab', 'site'], ['site']]);
  for (const [i, machine] of machines.entries())
    assert.deepEqual(
      (await accounts.chooseFor(machine)).map((a) => a.name),
      names[i],
    );
});
