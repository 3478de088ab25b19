import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock, type Clock } from '#base/clock';
import { systemRandom } from '#base/random';
import { startFleet, type Fleet } from '#lab/fleet';
import type { LabHost } from '#lab/host';
import { eventually, WholeSite, type Shown } from '#test/whole-site';

/** The site's process is killed in the middle of a push, again and again: nothing is lost, and nothing is done twice. */

const HOSTS = 30;

/** Clients wait minutes for a management point that does not answer; here they wait a moment. Limits of time stay what they are. */
const hasty: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic(),
  after: (ms, fn) => systemClock.after(ms, fn),
  sleep: (ms, signal) => systemClock.sleep(ms > 1000 && ms <= 3_600_000 ? 300 : ms, signal),
};

let site: WholeSite;
let fleet: Fleet;
let hosts: LabHost[] = [];

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

before(async () => {
  site = new WholeSite();
  fleet = await startFleet({
    windows: HOSTS,
    folder: join(site.folder, 'hosts'),
    clock: hasty,
    random: systemRandom,
    addresses: '127.24.1.1',
  });
  hosts = fleet.hosts.map(({ host }) => host);
  await (await site.create(`127.0.0.1:${await freePort()}`)).spawn();
  await site.prepare({ csv: fleet.csv(), account: fleet.account });
});

after(async () => {
  await site?.close();
  await fleet?.stop();
});

const windows = (host: LabHost) => join(site.folder, 'hosts', host.name, 'Windows');

const locks = () =>
  hosts.filter(
    (host) => existsSync(windows(host)) && readdirSync(windows(host)).some((name) => /^SMSClientInstall\./i.test(name)),
  );

/** How often a bootstrap on the machine put an agent into its place. */
function installations(host: LabHost): number {
  const log = readFileSync(join(windows(host), 'ccmsetup', 'logs', 'ccmsetup.log'), 'utf8');
  return log.split('Starting service CcmExec').length - 1;
}

const running = (service: string) => hosts.filter((host) => host.machine.serviceState(service) === 'running').length;

/** The instants at which the process is killed: each is the first moment when something is so. */
const instants: [string, () => boolean][] = [
  ['a lock was taken', () => locks().length > 0],
  ['a bootstrap was copied', () => hosts.some((host) => existsSync(join(windows(host), 'ccmsetup', 'ccmsetup.exe')))],
  ['a bootstrap runs', () => running('ccmsetup') > 0],
  ['a third of the agents run', () => running('CcmExec') >= HOSTS / 3],
];

test(`a push to ${HOSTS} machines outlives the kill of the site at ${instants.length} instants`, async (t) => {
  // The machines are not equally quick, so that each kill meets pushes in different steps.
  for (const [index, host] of hosts.entries()) await host.set({ slowMs: 5 * index });
  await site.push(
    hosts.map(({ name }) => name),
    { includeDcs: true },
  );
  for (const [what, isSo] of instants) {
    await eventually(what, isSo);
    await site.kill();
    await site.spawn();
  }
  for (const host of hosts) await host.set({ slowMs: 0 });
  const ccrs: Shown[] = [];
  for (const { name } of hosts) {
    const ccr = await site.until(name, 'complete', 'failed', 'skipped', 'retry', 'waiting', 'cancelled');
    assert.equal(ccr.state, 'complete', `${name}: ${ccr.lastError}: ${JSON.stringify([ccr.steps, ccr.history], undefined, 1)}`);
    ccrs.push(ccr);
  }
  assert.deepEqual(locks(), [], 'no lock is left');
  assert.deepEqual(
    hosts.filter((host) => installations(host) !== 1).map((host) => `${host.name}: ${installations(host)}`),
    [],
    'every machine was installed once',
  );
  assert.equal(running('CcmExec'), HOSTS);
  const earlier = ccrs.flatMap(({ history }) => history);
  assert.ok(earlier.length > 0, 'attempts were cut');
  assert.deepEqual(
    earlier.filter(({ outcome }) => outcome !== 'interrupted'),
    [],
    'every attempt before the last is recorded as interrupted',
  );
  const { items } = await site.get<{ items: { name: string }[] }>('/clients?limit=100');
  assert.equal(items.length, HOSTS, 'every client is registered once');
  t.diagnostic(
    `${earlier.length} attempts were interrupted; at most ${Math.max(...ccrs.map(({ attempts }) => attempts))} for one machine`,
  );
});
