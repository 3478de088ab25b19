import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { startFleet, type FleetOptions } from '#lab/fleet';

async function fleetOf(t: TestContext, options: Partial<FleetOptions>) {
  const folder = await mkdtemp(join(tmpdir(), 'lab-fleet-'));
  const fleet = await startFleet({ windows: 24, folder, clock: systemClock, random: systemRandom, ...options });
  t.after(async () => {
    await fleet.stop();
    await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  });
  return { fleet, folder };
}

async function answers(address: string, port: number): Promise<boolean> {
  const socket = connect(port, address);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

test('a fleet of 24 is mixed: most are healthy, one each has a trouble, and the list for import names them all', async (t) => {
  const { fleet, folder } = await fleetOf(t, { mix: 'mixed' });
  assert.equal(fleet.hosts.length, 24);
  assert.equal(fleet.hosts.filter(({ trouble }) => trouble === undefined).length, 15);
  assert.equal(new Set(fleet.hosts.map(({ trouble }) => trouble).filter((one) => one)).size, 9);
  assert.equal(new Set(fleet.hosts.map(({ host }) => host.name)).size, 24);
  const places = new Set(fleet.hosts.map(({ host }) => `${host.address}:${host.port}`));
  assert.equal(places.size, 24);
  const [head, ...rows] = fleet.csv().trimEnd().split('\r\n');
  assert.equal(head, 'name,domain,fqdn,ip,os,type,smbPort');
  assert.equal(rows.length, 24);
  for (const row of rows) assert.match(row, /^[A-Z]+-\d{4},CORP,[a-z]+-\d{4}\.corp\.example,127\.\d+\.\d+\.\d+,[^,]*,\w+,\d+$/);
  assert.deepEqual(await readdir(folder), [], 'no host takes a disk before somebody looks at it');
});

test('hosts that are on answer, the one that is off does not until it is repaired', async (t) => {
  const { fleet } = await fleetOf(t, { mix: 'mixed' });
  const off = fleet.hosts.find(({ host }) => host.switches.offline === 'closed')!;
  for (const { host } of fleet.hosts) assert.equal(await answers(host.address, host.port), host !== off.host, host.name);
  await fleet.repair(off.host.name.toLowerCase());
  assert.equal(await answers(off.host.address, off.host.port), true);
  assert.deepEqual(off.expected, { state: 'complete' });
});

test('one seed makes one fleet', async (t) => {
  const names = async (seed: number) => {
    const { fleet } = await fleetOf(t, { mix: 'mixed', seed });
    return fleet.hosts.map(({ host, trouble }) => `${host.name} ${host.profileName} ${trouble ?? ''}`);
  };
  const first = await names(5);
  assert.deepEqual(await names(5), first);
  assert.notDeepEqual(await names(6), first);
});

test('a thousand hosts fit into one process and cost little while nobody asks them', async (t) => {
  const before = process.memoryUsage().rss;
  const { fleet } = await fleetOf(t, { windows: 1000, mix: 'mixed' });
  const perHost = (process.memoryUsage().rss - before) / 1000 / 1024;
  const last = fleet.hosts.at(-1)!.host;
  assert.equal(await answers(last.address, last.port), true);
  assert.ok(perHost < 100, `${Math.round(perHost)} KiB a host`);
});
