import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, renameSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { systemClock, type Clock } from '#base/clock';
import { systemRandom } from '#base/random';
import { startFleet, type Fleet } from '#lab/fleet';
import type { LabHost } from '#lab/host';
import { pushpoint } from '#test/command';
import { eventually, WholeSite } from '#test/whole-site';

/** A site comes back from a backup that is older than its machines: they are heard again, and nothing is installed a second time. */

/** Clients wait minutes between two heartbeats; here they wait a moment, and count a minute when eight seconds are over. */
const hasty: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * 8,
  after: (ms, fn) => systemClock.after(ms, fn),
  sleep: (ms, signal) => systemClock.sleep(ms > 1000 && ms <= 3_600_000 ? 300 : ms, signal),
};

let site: WholeSite | undefined;
let fleet: Fleet | undefined;

after(async () => {
  await site?.close();
  await fleet?.stop();
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** How often a bootstrap on the machine put an agent into its place. */
function installations(host: LabHost): number {
  const log = readFileSync(join(site!.folder, 'hosts', host.name, 'Windows/ccmsetup/logs/ccmsetup.log'), 'utf8');
  return log.split('Starting service CcmExec').length - 1;
}

interface Client {
  name: string;
  guid: string;
  approval: string;
  lastSeenAt: string;
}

const clients = async () => (await site!.get<{ items: Client[] }>('/clients')).items;
const clientOf = async (host: LabHost) => (await clients()).find(({ name }) => name === host.name);

async function stop(): Promise<void> {
  const { pid } = site!;
  process.kill(pid!, 'SIGTERM');
  await eventually('the site to have stopped', () => {
    try {
      process.kill(pid!, 0);
      return false;
    } catch {
      return true;
    }
  });
}

test('clients of before the backup go on, clients of after it come back by themselves, and what is installed is found', async () => {
  site = new WholeSite();
  fleet = await startFleet({
    windows: 2,
    mix: 'healthy',
    folder: join(site.folder, 'hosts'),
    clock: hasty,
    random: systemRandom,
    addresses: '127.29.1.1',
  });
  const [early, late] = fleet.hosts.map(({ host }) => host) as [LabHost, LabHost];
  await (await site.create(`127.0.0.1:${await freePort()}`)).spawn();
  await site.prepare({ csv: fleet.csv(), account: fleet.account });
  await site.send('PATCH', '/settings', { client: { heartbeatMinutes: 1 } });
  await late.set({ offline: 'closed' });
  await site.push([early.name, late.name], { includeDcs: true });
  await site.until(early.name, 'complete');
  await site.until(late.name, 'retry');
  const file = join(site.folder, 'backup.tar');
  const backup = await pushpoint(['backup', '--data', site.data, '-o', file]);
  assert.equal(backup.code, 0, backup.err);

  await late.set({ offline: false });
  await site.act('retry', late.name);
  await site.until(late.name, 'complete');
  const before = await clientOf(early);
  await stop();
  renameSync(site.data, `${site.data}.lost`);
  const restored = await pushpoint([
    'restore',
    file,
    '--data',
    site.data,
    '--vault-key',
    join(`${site.data}.lost`, 'vault/vault.key'),
  ]);
  assert.equal(restored.code, 0, restored.err);
  site.useToken();
  await site.spawn();
  const since = new Date().toISOString();

  await eventually('the client of before to be heard', async () => ((await clientOf(early))?.lastSeenAt ?? '') > since);
  assert.deepEqual([(await clientOf(early))!.guid, (await clientOf(early))!.approval], [before!.guid, 'approved']);
  // Its registration is not in the backup, and neither is the use of its token: it registers anew, as one to be looked at or with its token.
  await eventually('the client of after to be heard', async () => ((await clientOf(late))?.lastSeenAt ?? '') > since);
  await site.act('retry', late.name);
  const ccr = await site.until(late.name, 'complete', 'skipped');
  assert.equal(installations(late), 1, JSON.stringify(ccr.steps));
  assert.equal(installations(early), 1);
});
