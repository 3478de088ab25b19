import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { startFleet, type Fleet } from '#lab/fleet';
import { eventually, freePort, WholeSite } from '#test/whole-site';

/** A central site, a primary below it, and a secondary below that, each a process of its own with a database of its own; lab hosts at the bottom. */

interface DeviceJson {
  name: string;
  trusted: boolean;
  assignedSite?: string;
  sources: { method: string; site: string }[];
  client: { installed: boolean };
}

interface ClientJson {
  guid: string;
  site: string;
  approval: string;
  blocked: boolean;
  registeredAt: string;
  lastSeenAt: string;
  states: { topicType: number; stateId: number; proven: boolean }[];
}

const [central, primary, secondary] = [new WholeSite('C01'), new WholeSite('P01'), new WholeSite('S01')];
const all = [central, primary, secondary];
let fleet: Fleet;
let rows: string[];
let head: string;

const codes = async (site: WholeSite, what: '/sites' | '/boundaries' | '/packages') =>
  (await site.get<{ items: { code?: string; site?: string; addedBy?: string }[] }>(what)).items
    .map(({ code, site: of, addedBy }) => code ?? of ?? addedBy ?? '')
    .toSorted((a, b) => (a < b ? -1 : 1))
    .join(' ');

before(async () => {
  fleet = await startFleet({
    windows: 3,
    folder: join(central.folder, 'hosts'),
    clock: systemClock,
    random: systemRandom,
    addresses: '127.25.1.1',
  });
  [head, ...rows] = fleet.csv().trim().split('\r\n') as [string, ...string[]];
  await (await central.create()).spawn();
  // It is killed later, and keeps its port over that.
  await (await primary.join(central, { primary: true, listen: `127.0.0.1:${await freePort()}` })).spawn();
  await (await secondary.join(primary)).spawn();
});
after(async () => {
  await fleet.stop();
  for (const site of all.toReversed()) await site.close();
});

const import1 = (site: WholeSite, n: number) => site.importCsv(`${head}\n${rows[n]}\n`);
const hostOf = (n: number) => fleet.hosts[n]!.host;
const device = async (site: WholeSite, name: string) => {
  const { status, body } = await site.call<DeviceJson>('GET', `/devices/${name}`);
  return status === 200 ? body : undefined;
};
const sources = (one: DeviceJson | undefined) =>
  one?.sources
    .map(({ method, site }) => `${method}@${site}`)
    .sort()
    .join(' ');
const client = async (site: WholeSite, name: string) => {
  const { status, body } = await site.call<ClientJson>('GET', `/clients/${name}`);
  return status === 200 ? body : undefined;
};

test('sites, boundaries and packages are known over two levels', async () => {
  for (const site of all)
    await eventually(`${site.code} to know all three`, async () => (await codes(site, '/sites')) === 'C01 P01 S01');
  const { sites } = { sites: (await central.get<{ items: { code: string; parent?: string }[] }>('/sites')).items };
  assert.equal(sites.find(({ code }) => code === 'S01')!.parent, 'P01');
  const range = (n: number) => `range:${hostOf(n).address}-${hostOf(n).address}`;
  await secondary.send('POST', '/boundaries', { boundaries: [range(0), range(1)] });
  await primary.send('POST', '/boundaries', { boundaries: [range(2)] });
  for (const site of all)
    await eventually(`the boundaries at ${site.code}`, async () => (await codes(site, '/boundaries')) === 'P01 S01 S01');
  await central.prepare({ csv: `${head}\nCENTRAL,CORP,,127.25.9.9,,server,\n` });
  await eventually('the package at S01', async () => (await codes(secondary, '/packages')) === 'site P01');
  assert.equal(await codes(primary, '/packages'), 'site C01');
});

test('discovered at the bottom: DDR up two levels, PDR down, CCR at the secondary, the client is known at all three', async () => {
  await primary.send('PUT', '/points/mp', { address: primary.points });
  await secondary.send('PUT', '/points/mp', { address: secondary.points });
  await secondary.send('POST', '/accounts', { name: 'push', ...fleet.account, scope: { kind: 'site' } });
  await eventually('the MP of P01 at S01', async () => {
    const { items } = await secondary.get<{ items: { kind: string; on: boolean }[] }>('/points?site=P01');
    return items.some(({ kind, on }) => kind === 'mp' && on);
  });
  for (const site of all)
    await site.send('PATCH', '/settings', {
      push: { enabled: true, systems: ['workstations', 'servers', 'dcs'] },
      ccr: { verifyMinutes: [1] },
    });
  const { name } = hostOf(0);
  await import1(secondary, 0);
  await eventually('the machine at C01', async () => sources(await device(central, name)) === 'import@S01');
  const above = (await device(central, name))!;
  assert.deepEqual([above.assignedSite, above.trusted], ['S01', true]);
  // C01 tells the site below it that the machine is of its branch, which P01 knew.
  await eventually('the PDR at P01', async () => sources(await device(primary, name)) === 'import@S01 pdr@C01');
  await eventually('a CCR at S01', async () => (await secondary.call('GET', `/ccrs/${name}`)).status === 200);
  await secondary.until(name, 'complete');
  for (const site of [central, primary]) assert.equal((await site.call('GET', `/ccrs/${name}`)).status, 404, site.code);
  for (const site of all)
    await eventually(`${site.code} to know the client`, async () => {
      const known = await client(site, name);
      return known?.approval === 'approved' && known.site === 'P01';
    });
  assert.equal((await client(primary, name))!.guid, (await client(secondary, name))!.guid);
});

test('heartbeats and state messages that the proxy MP gets are those of the primary', async () => {
  const { name } = hostOf(0);
  // Registered at P01, it learns within ten seconds that S01 has a proxy MP for it.
  const file = join(central.folder, 'hosts', name, 'Windows', 'CCM', 'status.json');
  await eventually('the agent to know its proxy MP', async () =>
    (await readFile(file, 'utf8')).includes('proxyManagementPoints'),
  );
  // A heartbeat follows ten seconds after a restart at the latest.
  await hostOf(0).machine.stopService('CcmExec');
  await eventually('its end', () => hostOf(0).machine.serviceState('CcmExec') === 'stopped');
  await hostOf(0).machine.startService('CcmExec');
  await eventually('a heartbeat at P01', async () => {
    const known = (await client(primary, name))!;
    return known.lastSeenAt > known.registeredAt;
  });
  await eventually('the heartbeat DDR at P01', async () =>
    (sources(await device(primary, name)) ?? '').includes('heartbeat@S01'),
  );
  const below = (await client(secondary, name))!;
  const above = (await client(primary, name))!;
  assert.equal(above.lastSeenAt, below.lastSeenAt);
  const told = ({ states }: ClientJson) =>
    states.map(({ topicType, stateId, proven }) => `${topicType} ${stateId} ${proven}`).sort();
  assert.ok(told(below).length > 0);
  await eventually('the state messages at P01', async () => {
    const known = told((await client(primary, name))!);
    return told(below).every((one) => known.includes(one));
  });
  assert.ok(
    told(below).some((one) => one.endsWith('true')),
    told(below).join(),
  );
});

test('discovered at the top: the PDR goes down two levels, and the secondary pushes', async () => {
  const { name } = hostOf(1);
  await import1(central, 1);
  await eventually('a CCR at S01', async () => (await secondary.call('GET', `/ccrs/${name}`)).status === 200);
  assert.deepEqual(
    [sources(await device(central, name)), sources(await device(primary, name)), sources(await device(secondary, name))],
    ['import@C01', 'pdr@C01', 'pdr@P01'],
  );
  await secondary.until(name, 'complete');
  for (const site of [central, primary]) assert.equal((await site.call('GET', `/ccrs/${name}`)).status, 404, site.code);
  await eventually('C01 to know the client', async () => (await client(central, name))?.approval === 'approved');
});

test('what a primary decides is refused at its secondary, which says where to do it', async () => {
  const { name } = hostOf(0);
  for (const [path, body, command] of [
    [`/clients/${name}/approve`, {}, `pushpoint client approve ${name}`],
    ['/devices/reassign', { all: true }, 'pushpoint device reassign'],
  ] as const) {
    const answer = await secondary.call<{ code: string; detail: string }>('POST', path, JSON.stringify(body), 'application/json');
    assert.deepEqual([answer.status, answer.body.code], [409, 'PP_SITE_SECONDARY'], answer.text);
    assert.ok(answer.body.detail.includes(`at its primary P01: ${command}`), answer.body.detail);
  }
});

test('a block at the primary counts at the proxy MP, and the middle one may be gone for a while', async () => {
  const { name } = hostOf(0);
  await primary.send('POST', `/clients/${name}/block`);
  await eventually('the block at S01', async () => (await client(secondary, name))!.blocked);
  // Killed, and what the bottom learns meanwhile reaches the top when it is back.
  await primary.kill();
  await import1(secondary, 2);
  await primary.spawn();
  const last = hostOf(2).name;
  await eventually('it at C01', async () => (await device(central, last)) !== undefined, 60_000);
  // It is in the boundaries of P01, of which S01 may not tell.
  for (const site of [central, primary]) {
    const known = (await device(site, last))!;
    assert.deepEqual([known.trusted, known.assignedSite], [false, undefined], site.code);
  }
});
