import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { BranchSite, carry, carryUntil, fill, joined } from '#test/branch-sites';

/** The three scenarios of D1 between two databases, without a network: what travels, what is stored, and where a CCR is born. */

let primary: BranchSite;
let secondary: BranchSite;

before(async () => {
  primary = await BranchSite.create('P01');
  secondary = await BranchSite.create('S01', 'P01');
});
after(async () => {
  await primary.close();
  await secondary.close();
});
beforeEach(async () => {
  for (const { database } of [primary, secondary]) {
    await database.db.query(
      'truncate link, branch_told, branch_boundary, branch_cursor, branch_ccr, branch_package, boundary, resource, ccr, discovery_sweep restart identity cascade',
    );
    await database.db.query('delete from site where not own');
    await database.db.query("update site set settings = '{}'");
  }
  await joined(primary, secondary);
  const { boundary } = primary.parts;
  await boundary.add(['subnet:10.1.0.0/16'], { site: 'P01', by: 'test' });
  await boundary.add(['subnet:10.2.0.0/16'], { site: 'S01', by: 'test' });
  await fill(primary);
  await fill(secondary);
  await carry(primary, secondary);
  await carry(secondary, primary);
});

const machine = { name: 'PC1', domain: 'CORP', addresses: ['10.2.0.7'], type: 'workstation' as const };
const push = (site: BranchSite) => site.parts.site.updateSettings({ push: { enabled: true } }, 'test');
const discover = (site: BranchSite) =>
  site.parts.discovery.ingest([machine], { method: 'network', site: site.code, trusted: true });

async function at(site: BranchSite): Promise<{ assigned: string | undefined; sources: string[]; ccrs: string[] } | undefined> {
  const [device] = await site.parts.resource.find('PC1');
  const { items } = await site.parts.ccr.list();
  const ccrs = items.map(({ name, source }) => `${name} ${source}`);
  return device && { assigned: device.assignedSite, sources: device.sources.map((s) => `${s.method}@${s.site}`).sort(), ccrs };
}

test('the boundaries of both sites are known at both after the join', async () => {
  for (const { parts } of [primary, secondary])
    assert.deepEqual(
      (await parts.boundary.list()).map(({ site, value }) => `${site} ${value}`),
      ['P01 10.1.0.0/16', 'S01 10.2.0.0/16'],
    );
});

test('scenario 1: discovery at P01, push off at S01: DDR at P01, PDR at S01, and no CCR anywhere', async () => {
  await push(primary);
  await discover(primary);
  assert.deepEqual(await carry(primary, secondary), ['pdr']);
  assert.deepEqual(await at(primary), { assigned: 'S01', sources: ['network@P01'], ccrs: [] });
  assert.deepEqual(await at(secondary), { assigned: 'S01', sources: ['pdr@P01'], ccrs: [] });
  assert.deepEqual(await carry(secondary, primary), [], 'nothing of it goes back');
});

test('scenario 2: discovery and push at S01: DDR up, PDR down, and only then a CCR at S01', async () => {
  await push(primary);
  await push(secondary);
  await discover(secondary);
  assert.deepEqual(
    await at(secondary),
    { assigned: undefined, sources: ['network@S01'], ccrs: [] },
    'it decides nothing by itself',
  );
  assert.equal(await at(primary), undefined);
  assert.deepEqual(await carry(secondary, primary), ['ddr']);
  assert.deepEqual(await at(primary), { assigned: 'S01', sources: ['network@S01'], ccrs: [] });
  assert.deepEqual(await carry(primary, secondary), ['pdr']);
  assert.deepEqual(await at(secondary), {
    assigned: 'S01',
    sources: ['network@S01', 'pdr@P01'],
    ccrs: ['PC1 discovery'],
  });
  assert.deepEqual(await carry(secondary, primary), []);
});

test('scenario 3: discovery at P01, push on at S01: no CCR at P01, PDR down, CCR at S01', async () => {
  await push(primary);
  await push(secondary);
  await discover(primary);
  assert.deepEqual(await carry(primary, secondary), ['pdr']);
  assert.deepEqual(await at(primary), { assigned: 'S01', sources: ['network@P01'], ccrs: [] });
  assert.deepEqual(await at(secondary), { assigned: 'S01', sources: ['pdr@P01'], ccrs: ['PC1 discovery'] });
});

test('push that is switched on at S01 later takes what PDRs told, and not what S01 only discovered itself', async () => {
  await discover(primary);
  await carry(primary, secondary);
  await secondary.parts.discovery.ingest([{ ...machine, name: 'PC2', addresses: ['10.2.0.8'] }], {
    method: 'network',
    site: 'S01',
    trusted: true,
  });
  await push(secondary);
  await secondary.parts.discovery.wantSweep('test');
  await secondary.parts.discovery.sweep();
  assert.deepEqual(
    (await secondary.parts.ccr.list()).items.map(({ name }) => name),
    ['PC1'],
  );
});

test('an own claim of a machine stays one, whatever the site below says of it', async () => {
  await push(secondary);
  await secondary.parts.discovery.ingest([machine], { method: 'heartbeat', site: 'S01', trusted: true });
  await carry(secondary, primary);
  const [device] = await primary.parts.resource.find('PC1');
  assert.deepEqual([device!.trusted, device!.assignedSite], [false, undefined]);
});

test('a machine that is found to be of S01 later, or moved there and away, is told to it', async () => {
  await primary.parts.discovery.ingest([{ ...machine, addresses: ['10.9.0.1'] }], {
    method: 'network',
    site: 'P01',
    trusted: true,
  });
  assert.deepEqual(await carry(primary, secondary), []);
  await primary.parts.boundary.add(['subnet:10.9.0.0/16'], { site: 'S01', by: 'test' });
  await primary.parts.discovery.wantSweep('test');
  await primary.parts.discovery.sweep();
  assert.deepEqual(await carry(primary, secondary), ['pdr']);
  assert.equal((await at(secondary))!.assigned, undefined, 'the boundary has not come yet');
  await primary.parts.boundary.remove('subnet:10.9.0.0/16');
  await primary.parts.boundary.add(['subnet:10.9.0.0/16'], { by: 'test' });
  await primary.parts.discovery.reassign('all', 'test');
  assert.deepEqual(await carry(primary, secondary), ['pdr']);
  assert.equal((await at(secondary))!.assigned, 'P01');
});

test('CCRs never travel up, only how they stand', async () => {
  await push(secondary);
  await discover(primary);
  await carry(primary, secondary);
  await secondary.tellOthers();
  await carryUntil(primary, secondary, 'the state of the CCR', async () => (await primary.parts.branch.ccrs()).length > 0);
  const [told] = await primary.parts.branch.ccrs({ site: 'S01' });
  assert.deepEqual([told!.name, told!.state, told!.site], ['PC1', 'queued', 'S01']);
  assert.deepEqual((await primary.parts.ccr.list()).items, []);
});
