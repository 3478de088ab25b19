import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { startFleet } from '#lab/fleet';
import { eventually, WholeSite } from '#test/whole-site';

/** Site-wide push from end to end: nobody names a machine, and those of this site have the client. */

interface DeviceJson {
  name: string;
  addresses: string[];
  type: string;
  assignedSite?: string;
  siteWidePush: { push: boolean; reason: string };
}

test('machines in a boundary of this site get the client by themselves, known before and new, and no others', async (t) => {
  const site = new WholeSite();
  const fleet = await startFleet({
    windows: 4,
    folder: join(site.folder, 'hosts'),
    clock: systemClock,
    random: systemRandom,
    addresses: '127.23.1.1',
  });
  t.after(async () => {
    await fleet.stop();
    await site.close();
  });
  await (await site.create()).run();
  const [head, ...rows] = fleet.csv().trim().split('\n') as [string, ...string[]];
  const csv = (some: string[]) => `${[head, ...some].join('\n')}\n`;
  // Three machines are known before there is a boundary; the fourth comes later.
  await site.prepare({ csv: csv(rows.slice(0, 3)), account: fleet.account });
  const { items } = await site.get<{ items: DeviceJson[] }>('/devices');
  const [first, second, outside] = items as [DeviceJson, DeviceJson, DeviceJson];
  const late = fleet.hosts.map(({ host }) => host.name).find((name) => !items.some((d) => d.name === name))!;
  const boundaries = [first, second].map(({ addresses }) => `range:${addresses[0]}-${addresses[0]}`);
  await site.send('POST', '/boundaries', { boundaries });
  const types = [...new Set(items.map(({ type }) => (type === 'server' ? 'servers' : 'workstations')))];
  await site.send('PATCH', '/settings', { push: { enabled: true, systems: types } });
  // The CCR is made by the walk through known machines, a moment after the setting.
  const complete = async (name: string) => {
    await eventually(`a CCR of ${name}`, async () => (await site.call('GET', `/ccrs/${name}`)).status === 200);
    return site.until(name, 'complete');
  };
  for (const { name } of [first, second]) {
    const ccr = await complete(name);
    assert.equal((ccr as unknown as { source: string }).source, 'discovery');
  }
  const left = await site.get<DeviceJson>(`/devices/${outside.name}`);
  assert.deepEqual([left.assignedSite, left.siteWidePush.reason], [undefined, 'it is assigned to no site']);
  assert.equal((await site.call('GET', `/ccrs/${outside.name}`)).status, 404);
  await site.send('PATCH', '/settings', { push: { systems: ['workstations', 'servers'] } });
  await site.send('POST', '/boundaries', { boundaries: ['subnet:127.23.0.0/16'] });
  await complete(outside.name);
  await site.importCsv(csv(rows.slice(3)));
  await complete(late);
  // With its client heard from, no machine is taken again.
  await eventually('the client to count as installed', async () => {
    const device = await site.get<DeviceJson>(`/devices/${late}`);
    return device.siteWidePush.reason === 'it is flagged as installed';
  });
  assert.equal((await site.get<{ items: unknown[] }>('/ccrs')).items.length, 4);
});
