import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { makeFolders } from '#lab/disk';
import { startFleet, type Fleet } from '#lab/fleet';
import type { LabHost } from '#lab/host';
import { need } from '#test/need';
import { brief, eventually, WholeSite } from '#test/whole-site';

/** What people and scripts do to CCRs while pushes run. */

let site: WholeSite;
let fleet: Fleet;
const fresh: LabHost[] = [];

before(async () => {
  site = new WholeSite();
  fleet = await startFleet({
    windows: 8,
    folder: join(site.folder, 'hosts'),
    clock: systemClock,
    random: systemRandom,
    addresses: '127.22.1.1',
  });
  fresh.push(...fleet.hosts.map(({ host }) => host));
  await (await site.create()).run();
  await site.prepare({ csv: fleet.csv(), account: fleet.account });
});

after(async () => {
  await fleet?.stop();
  await site?.close();
});

/** A machine that nobody has pushed to yet. */
const next = () => fresh.shift()!;
const folderOf = (host: LabHost) => join(site.folder, 'hosts', host.name, 'Windows');
const lockOf = (host: LabHost) => join(folderOf(host), 'SMSClientInstall.P01');

/** Each answer of the machine takes a moment, so that something can happen in the middle. */
const SLOW = { slowMs: 150 };

async function inTheMiddle(host: LabHost, wish: Record<string, boolean> = {}): Promise<void> {
  await host.set(SLOW);
  await site.push(host.name, wish);
  await eventually(`the lock on ${host.name}`, () => existsSync(lockOf(host)));
}

test('a push that is cancelled in the middle stops, installs nothing and leaves no lock', async () => {
  const host = next();
  await inTheMiddle(host);
  assert.deepEqual((await site.act('cancel', host.name)).items, [{ name: host.name, done: true }]);
  await eventually('the lock to be removed', () => !existsSync(lockOf(host)));
  const ccr = await site.show(host.name);
  assert.equal(ccr.state, 'cancelled');
  assert.equal(ccr.attempt?.outcome, 'cancelled');
  assert.equal(host.machine.serviceState('ccmsetup'), undefined);
  assert.equal(host.machine.serviceState('CcmExec'), undefined);
  assert.equal(existsSync(join(folderOf(host), 'CCM')), false);
  const [item] = (await site.act('retry', host.name)).items;
  assert.deepEqual(item, { name: host.name, done: false, reason: 'it has no live CCR' });
  await host.set({ slowMs: 0 });
  await site.push(host.name);
  assert.equal((await site.until(host.name)).state, 'complete', 'a new CCR is a new wish');
});

test('a push that is paused in the middle goes on when it is resumed', async () => {
  const host = next();
  await inTheMiddle(host);
  await site.act('pause', host.name);
  await eventually('the lock to be removed', () => !existsSync(lockOf(host)));
  const paused = await site.show(host.name);
  assert.deepEqual([paused.state, paused.attempts, paused.attempt?.outcome], ['paused', 1, 'paused']);
  assert.equal(host.machine.serviceState('CcmExec'), undefined);
  await host.set({ slowMs: 0 });
  await site.act('resume', host.name);
  const done = await site.until(host.name);
  assert.deepEqual([done.state, done.attempts, done.id], ['complete', 2, paused.id]);
});

test('asking again, and asking for a retry, while the push runs makes no second one beside it', async () => {
  const host = next();
  await inTheMiddle(host);
  await site.push(host.name);
  await site.act('retry', host.name);
  await host.set({ slowMs: 0 });
  const done = await site.until(host.name);
  assert.equal(done.state, 'complete');
  assert.equal(done.requestCount, 2, 'the second wish was merged into the first');
  assert.equal(installations(host), 1);
});

/** How often a bootstrap on the machine went through to the end. */
function installations(host: LabHost): number {
  const log = readFileSync(join(folderOf(host), 'ccmsetup', 'logs', 'ccmsetup.log'), 'utf8');
  return log.split('Starting service CcmExec').length - 1;
}

/** Every file and folder of the machine's disk, with what is in it. */
function everything(folder: string): Record<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).map((entry) => {
    const path = join(entry.parentPath, entry.name);
    return [path, entry.isDirectory() ? 'folder' : createHash('sha256').update(readFileSync(path)).digest('hex')] as const;
  });
  return Object.fromEntries(entries);
}

test('an inspection tells what would be done and leaves nothing on the machine', async () => {
  const host = next();
  await makeFolders(host.machine.disk, ['Windows']);
  const disk = join(site.folder, 'hosts', host.name);
  const before = everything(disk);
  await site.push(host.name, { inspect: true });
  const ccr = await site.until(host.name);
  assert.equal(ccr.state, 'complete', JSON.stringify(ccr.steps));
  assert.match(ccr.proof!, /inspected: would install/);
  assert.equal(brief(ccr.steps), 'probe logon admin-share inspect lock:skipped decide:skipped release:skipped');
  assert.deepEqual(everything(disk), before);
  assert.equal(host.machine.services.get('ccmsetup'), undefined);
  const { client, type } = await site.get<{ client: { installed: boolean }; type: string }>(`/devices/${host.name}`);
  assert.deepEqual([client.installed, type], [false, host.type]);
});

test('a client that is there stays as it is, unless it is forced or to be reinstalled', async () => {
  const host = next();
  await site.push(host.name);
  assert.equal((await site.until(host.name)).state, 'complete');
  await assert.rejects(site.push(host.name), /"decision":"skip","reason":"client .* is installed/, 'the wizard knows it');
  // A logon script does not ask; then the machine itself says that it has one.
  const asked = await fetch(`${site.points}/sms_mp/machine.ccr?mn=${host.name}&dn=CORP&fkey=False`, { method: 'SMS_POST' });
  assert.equal(asked.status, 200, await asked.text());
  const again = await site.until(host.name, 'skipped', 'failed', 'retry', 'waiting');
  assert.deepEqual([again.state, again.lastErrorCode, again.lastError], ['skipped', 120, 'PP_PUSH_CLIENT_PRESENT']);
  assert.equal(installations(host), 1);
  const guid = await guidOf(host);
  for (const [wish, times] of [
    [{ force: true }, 2],
    [{ reinstall: true }, 3],
  ] as const) {
    await site.push(host.name, wish);
    const done = await site.until(host.name, 'complete', 'failed', 'retry', 'waiting');
    assert.equal(done.state, 'complete', JSON.stringify(done.steps));
    assert.match(done.proof!, /reported in/, logsOf(host));
    assert.equal(installations(host), times);
    assert.equal(await guidOf(host), guid, 'it is the same client');
  }
});

/** logsOf is what ccmsetup and the agent of a machine wrote. */
function logsOf(host: LabHost): string {
  const logs = [
    ['ccmsetup', 'logs', 'ccmsetup.log'],
    ['CCM', 'logs', 'CcmExec.log'],
    ['CCM', 'logs', 'ClientIDManagerStartup.log'],
  ];
  return logs.map((path) => `${path.at(-1)}\n${readFileSync(join(folderOf(host), ...path), 'utf8')}`).join('\n');
}

async function guidOf(host: LabHost): Promise<string> {
  const { items } = await site.get<{ items: { name: string; guid: string }[] }>('/clients?limit=100');
  const own = items.filter(({ name }) => name === host.name);
  assert.equal(own.length, 1);
  return own[0]!.guid;
}

test('SMS_POST for a known machine ends in a forced CCR that completes; a stranger gets 404', need('curl'), async () => {
  const host = next();
  const curl = async (query: string) => {
    const url = `${site.points}/sms_mp/machine.ccr?${query}`;
    const { stdout } = await promisify(execFile)('curl', ['-s', '-X', 'SMS_POST', '-w', '\n%{http_code}', url]);
    return Number(stdout.split('\n').at(-1));
  };
  assert.equal(await curl(`mn=${host.name}&dn=CORP&fkey=True`), 200);
  const done = await site.until(host.name);
  assert.deepEqual([done.state, done.source, done.forced], ['complete', 'sms_post', true]);
  assert.equal(await curl('mn=STRANGER&dn=CORP&fkey=True'), 404);
  assert.equal((await site.call('GET', '/ccrs/STRANGER')).status, 404);
  const { items } = await site.get<{ items: { name: string }[] }>('/devices?filter=STRANGER');
  assert.deepEqual(items, []);
});
