import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { startFleet, type Fleet } from '#lab/fleet';
import { brief, WholeSite, type Shown } from '#test/whole-site';

/** A mixed fleet, pushed to as a whole: each machine ends as what is wrong with it makes it end, and succeeds when that is mended. */

let site: WholeSite;
let fleet: Fleet;
let hosts: string;

before(async () => {
  site = new WholeSite();
  hosts = join(site.folder, 'hosts');
  fleet = await startFleet({
    windows: 36,
    mix: 'mixed',
    folder: hosts,
    clock: systemClock,
    random: systemRandom,
    addresses: '127.21.1.1',
  });
  await (await site.create()).run();
  await site.prepare({ csv: fleet.csv(), account: fleet.account });
});

after(async () => {
  await fleet?.stop();
  await site?.close();
});

const told = ({ state, lastErrorCode, lastError, steps }: Shown) =>
  `${state} ${lastErrorCode} ${lastError}: ${JSON.stringify(steps, undefined, 1)}`;

/** Lock files of the site that stand on machines. */
function locks(): string[] {
  return fleet.hosts
    .map(({ host }) => join(hosts, host.name, 'Windows'))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder)
        .filter((name) => /^SMSClientInstall\.P01$/i.test(name))
        .map((name) => join(folder, name)),
    );
}

test('each machine of a mixed fleet ends as what is wrong with it makes it end', async () => {
  await site.push(
    fleet.hosts.map(({ host }) => host.name),
    { includeDcs: true },
  );
  const wrong: string[] = [];
  for (const { host, trouble, expected } of fleet.hosts) {
    const ccr = await site.until(host.name);
    const win32 = ccr.state === 'complete' ? undefined : ccr.lastErrorCode;
    if (ccr.state !== expected.state || (expected.win32 !== undefined && win32 !== expected.win32))
      wrong.push(`${host.name} (${trouble ?? 'healthy'}), expected ${JSON.stringify(expected)}: ${told(ccr)}`);
  }
  assert.deepEqual(wrong, []);
  const vanished = fleet.hosts.find(({ host }) => host.switches.vanishAt)!.host;
  assert.deepEqual(
    locks(),
    [join(hosts, vanished.name, 'Windows', 'SMSClientInstall.P01')],
    'only the machine that went down in the middle still has its lock',
  );
  const { items } = await site.get<{ items: { name: string }[] }>('/clients?limit=100');
  const expected = fleet.hosts.filter((one) => one.expected.state === 'complete').map(({ host }) => host.name);
  assert.deepEqual(items.map(({ name }) => name).sort(), expected.sort(), 'the clients are those of the complete ones');
});

test('a machine that was mended succeeds when it is tried again', async () => {
  const mended = fleet.hosts.filter(({ expected, host }) => /retry|waiting/.test(expected.state) && host.profile.isWindows);
  assert.ok(mended.length >= 8);
  const names = mended.map(({ host }) => host.name);
  for (const name of names) await fleet.repair(name);
  const { items } = await site.act('retry', names);
  assert.deepEqual(
    items.filter(({ done }) => !done),
    [],
  );
  for (const name of names) {
    const ccr = await site.until(name, 'complete', 'failed', 'skipped', 'cancelled');
    assert.equal(ccr.state, 'complete', told(ccr));
    assert.equal(ccr.attempts, 2);
    assert.equal(brief(ccr.steps), 'probe logon admin-share inspect lock decide copy start release verify');
  }
  assert.deepEqual(locks(), [], 'the lock that was left behind was taken back');
});

test('a client that is there already is replaced when that is forced', async () => {
  const { host } = fleet.hosts.find((one) => one.host.switches.clientInstalled)!;
  const before = await site.show(host.name);
  assert.deepEqual([before.state, before.lastErrorCode], ['skipped', 120]);
  await site.push(host.name, { force: true });
  const ccr = await site.until(host.name, 'complete', 'failed', 'retry', 'waiting');
  assert.equal(ccr.state, 'complete', told(ccr));
  assert.notEqual(ccr.id, before.id);
  const { client } = await site.get<{ client: { installed: boolean; version: string } }>(`/devices/${host.name}`);
  assert.equal(client.installed, true);
  assert.notEqual(client.version, '99.0.0', 'the version is that of the client which was pushed');
  assert.equal(host.machine.serviceState('CcmExec'), 'running');
});
