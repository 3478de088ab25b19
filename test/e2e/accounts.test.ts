import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { startFleet, type Fleet } from '#lab/fleet';
import { pushpoint, Running } from '#test/command';
import { eventually, WholeSite, type Shown } from '#test/whole-site';

/** How often an account is really tried, counted by the machines, while two processes work at the same CCRs. */

const RIGHT = 'Push-Only-1!';
const HOSTS = 24;

let site: WholeSite;
let fleet: Fleet;
let worker: Running | undefined;

before(async () => {
  site = new WholeSite();
  fleet = await startFleet({
    windows: HOSTS,
    folder: join(site.folder, 'hosts'),
    clock: systemClock,
    random: systemRandom,
    addresses: '127.26.1.1',
    password: RIGHT,
  });
  await (await site.create()).spawn();
  await site.prepare({ csv: fleet.csv() });
  worker = await Running.start(['up', '--data', site.data, '--roles', 'ccm']);
});

after(async () => {
  await worker?.stop();
  await site?.close();
  await fleet?.stop();
});

const names = (from: number, to: number) => fleet.hosts.slice(from, to).map(({ host }) => host.name);
const tries = (username = 'push') => fleet.domain.accounts.find(username)!.tries;
const account = async (name: string) =>
  (await site.get<{ items: { name: string; state: string; stopReason?: string }[] }>('/accounts')).items.find(
    (one) => one.name === name,
  )!;
const add = (name: string, username: string, password: string, scope: object = { kind: 'site' }) =>
  site.send('POST', '/accounts', { name, username, password, scope });
const logonOf = (ccr: Shown) => ccr.steps.find(({ name }) => name === 'logon');

/** Every one of them waits for an account, in whichever process it was worked. */
async function allWait(machines: string[]): Promise<void> {
  for (const name of machines) {
    const ccr = await site.until(name, 'waiting');
    assert.ok(logonOf(ccr), `${name}: ${JSON.stringify(ccr.steps)}`);
  }
}

const first = () => names(0, 12);

test('a wrong password: two logons in all, from two processes and twelve machines; then everybody waits and nobody tries', async () => {
  await add('push', 'CORP\\push', 'Wrong-1!');
  await site.push(first());
  await allWait(first());
  assert.deepEqual({ ...tries() }, { succeeded: 0, failed: 2, inARow: 2 });
  const { state, stopReason } = await account('push');
  assert.equal(state, 'stopped');
  assert.match(stopReason!, /two machines in a row refused its password/);
  await site.act('retry', first());
  await allWait(first());
  await eventually('each to have been tried again', async () => (await site.show(first()[0]!)).attempts > 1);
  assert.equal(tries().failed, 2, 'a stopped account is not tried');
});

test('the password changed: each machine is logged on to once, the CCRs that waited go on by themselves', async () => {
  await site.send('POST', '/accounts/push/resume', { password: RIGHT });
  for (const name of first()) {
    const ccr = await site.until(name, 'complete');
    assert.equal(ccr.account, 'push');
  }
  assert.equal((await account('push')).state, 'usable');
  assert.equal(tries().failed, 2);
  assert.ok(tries().succeeded >= 12 && tries().succeeded <= 12 * 4, `${tries().succeeded} logons`);
});

test('locked out: one logon, and it is stopped for everybody in both processes', async () => {
  fleet.domain.accounts.find('push')!.state = 'locked';
  await site.send('POST', '/accounts/push/resume', {});
  const before = tries().failed;
  const machines = names(12, 20);
  await site.push(machines);
  await allWait(machines);
  assert.equal(tries().failed - before, 1);
  assert.match((await account('push')).stopReason!, /locked/);
  fleet.domain.accounts.find('push')!.state = 'active';
});

test('a machine that gives another name is not logged on to, by any account', async () => {
  const [shy] = fleet.hosts.slice(20, 21);
  await shy!.host.set({ answersAs: 'SOMEBODY' });
  await add('local', '%machinename%\\Administrator', 'Local-1!', { kind: 'host', pattern: shy!.host.name });
  await site.send('POST', '/accounts/push/resume', {});
  const before = tries().failed;
  await site.push(shy!.host.name);
  const ccr = await site.until(shy!.host.name, 'retry', 'waiting');
  assert.equal(ccr.lastErrorCode, 1396);
  assert.deepEqual(shy!.host.logons.all, []);
  assert.equal(tries().failed, before);
});

test('of four accounts that a machine would refuse, two are tried in an attempt', async () => {
  const [shut] = fleet.hosts.slice(21, 22);
  for (const letter of 'abcd')
    await add(`local ${letter}`, `%machinename%\\user${letter}`, 'Nope-1!', { kind: 'host', pattern: shut!.host.name });
  await site.push(shut!.host.name);
  const ccr = await site.until(shut!.host.name, 'retry', 'waiting');
  assert.equal(ccr.attempts, 1);
  const { all } = shut!.host.logons;
  assert.equal(
    all.reduce((sum, one) => sum + one.failed + one.succeeded, 0),
    2,
    JSON.stringify(all),
  );
});

test('with a new vault key the accounts work on, and what was sealed is sealed anew', async () => {
  await site.send('PUT', '/policies/secrets/wifi.key', { value: 'correct horse' });
  const running = await pushpoint(['vault', 'rotate', '--data', site.data]);
  assert.equal(running.code, 1, running.out);
  assert.match(running.err, /PP_SITE_RUNNING/);
  await worker!.stop();
  worker = undefined;
  await site.end();
  const dry = await pushpoint(['vault', 'rotate', '--data', site.data, '--json', '--dry-run']);
  const done = await pushpoint(['vault', 'rotate', '--data', site.data, '--json']);
  assert.deepEqual([dry.code, done.code], [0, 0], done.err);
  const { from, to, accounts, secrets } = done.json<{ from: string; to: string; accounts: number; secrets: number }>();
  assert.notEqual(from, to);
  assert.deepEqual([accounts, secrets], [6, 1]);
  assert.equal(dry.json<{ accounts: number }>().accounts, 6);
  await site.spawn();
  await site.send('PUT', '/points/mp', { address: site.points });
  const [last] = names(22, 23);
  await site.push(last!);
  const ccr = await site.until(last!, 'complete');
  assert.equal(ccr.account, 'push');
  // The secret is opened with the new key, and sealed for the client that has just come.
  const client = () => site.get<{ hasSecrets: boolean }>(`/clients/${last!}`);
  await eventually('the secret to be sealed for the new client', async () => (await client()).hasSecrets);
});
