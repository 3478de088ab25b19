import assert from 'node:assert/strict';
import { readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemClock } from '#base/clock';
import { AccountRecord, passwordPurpose } from '#records/account';
import type { CcrState } from '#records/ccr';
import { LabDomain } from '#lab/host';
import { labSite, type LabKind as Kind } from '#test/lab-site';
import { PASSWORD, type PushSite, VERSION, waitFor } from '#test/push-site';

const lockedDomain = new LabDomain({
  netbios: 'CORP',
  dns: 'corp.example',
  accounts: [{ username: 'push', password: PASSWORD, administrator: true, state: 'locked' }],
});
const STEPS = 'probe,logon,admin-share,inspect,lock,decide,copy,start,release';

test('a push goes from the probe to a client that reported in', async (t) => {
  const { site, hosts } = await labSite(t, { 'PC-1': {} });
  await site.startCcm();
  const from = systemClock.monotonic();
  await site.push('PC-1');
  const done = await site.until('PC-1', 'complete', 'failed', 'retry', 'waiting', 'skipped');
  const ms = systemClock.monotonic() - from;
  assert.equal(done.state, 'complete', JSON.stringify(done.steps));
  assert.equal(done.steps.map((s) => s.name).join(), `${STEPS},verify`);
  assert.deepEqual(new Set(done.steps.map((s) => s.outcome)), new Set(['ok']));
  assert.match(done.proof!, /reported in/);
  assert.equal(done.attempts, 1);
  assert.equal(done.account, 'push');
  const host = hosts['PC-1']!;
  assert.equal(host.machine.serviceState('CcmExec'), 'running');
  await waitFor('the bootstrap to remove itself', () => host.machine.serviceState('ccmsetup') === undefined);
  const session = site.sessions[0]!;
  assert.equal(site.sessions.length, 1, 'one connection, one logon');
  t.diagnostic(`${session.stats.turnArounds} turn-arounds, ${session.stats.bytesOut} bytes out, ${Math.round(ms)} ms`);
  assert.ok(session.stats.turnArounds <= 20, `${session.stats.turnArounds} turn-arounds`);
  const client = await site.records.client.byResource(done.resourceId!);
  assert.equal(client?.version, VERSION);
  const seen = await site.records.resource.byId(done.resourceId!);
  assert.equal(seen?.type, 'workstation');
  assert.match(seen?.osVersion ?? '', /^10\.0\.26100/);
  const journal = site.journal.join('');
  for (const line of [
    /Attempting to connect to administrative share '\\\\PC-1\\admin\$' using account 'CORP\\push'/,
    /Searching for SMSClientInstall\.\* under '\\\\PC-1\\admin\$\\'/,
    /Deleting SMS Client Install Lock File '\\\\PC-1\\admin\$\\SMSClientInstall\.P01'/,
    /<======End request: "\d+\.CCR", machine name: "PC-1"\./,
  ])
    assert.match(journal, line);
  for (const text of [journal, site.lines.join(''), JSON.stringify(done)])
    assert.ok(!text.includes(PASSWORD), 'the password stands nowhere');
});

interface Case {
  host: Kind;
  state: CcrState;
  win32: number | undefined;
  /** The step that tells of it, and its outcome there. */
  step: string;
  code?: string;
  wish?: Parameters<PushSite['push']>[1];
  /** Decided by the look at the machine a minute after the start. */
  looked?: boolean;
  /** Logons that the machine saw; one where nothing is said. */
  logons?: number;
}

const xp = { profile: 'windows-xp' } as const;
const installed = { switches: { clientInstalled: { version: '99.0.0', site: 'P01' } } };
const foreign = { switches: { clientInstalled: { version: '99.0.0', site: 'X99' } } };

/** What goes wrong in the field: where the timeline tells it, by which code, and what becomes of the CCR. */
const CASES: Record<string, Case> = {
  'SWITCHED-OFF': {
    host: { switches: { offline: 'closed' } },
    state: 'retry',
    win32: 53,
    step: 'probe failed',
    code: 'PP_NET_REFUSED',
    logons: 0,
  },
  'STALE-DNS': {
    host: { switches: { answersAs: 'SOMEONE-ELSE' } },
    state: 'retry',
    win32: 1396,
    step: 'logon failed',
    code: 'PP_LOGON_WRONG_HOST',
    logons: 0,
  },
  'NOT-ADMIN': {
    host: { switches: { ordinaryRights: true } },
    state: 'retry',
    win32: 5,
    step: 'admin-share failed',
    code: 'PP_SMB_NOT_ADMIN',
  },
  'NO-SHARES': {
    host: { switches: { adminShare: false } },
    state: 'waiting',
    win32: 67,
    step: 'admin-share failed',
    code: 'PP_SMB_NO_SHARE',
  },
  NAS: {
    host: { profile: 'nas' },
    state: 'skipped',
    win32: 1305,
    step: 'admin-share failed',
    code: 'PP_PUSH_NOT_WINDOWS',
  },
  'DISK-FULL': {
    host: { switches: { diskFull: true } },
    state: 'retry',
    win32: 112,
    step: 'decide failed',
    code: 'PP_TARGET_DISK_SPACE',
  },
  'SCM-SLOW': {
    host: { switches: { startTimesOut: true } },
    state: 'retry',
    win32: 1053,
    step: 'start failed',
    code: 'PP_SERVICE_START_TIMEOUT',
  },
  'SMB1-ONLY': {
    host: { switches: { smb1Only: true } },
    state: 'retry',
    win32: 64,
    step: 'logon failed',
    code: 'PP_SMB_NOT_SPOKEN',
    logons: 0,
  },
  'XP-BOX': { host: xp, state: 'skipped', win32: 1305, step: 'decide skipped', code: 'PP_PUSH_OS_UNSUPPORTED' },
  'DC-1': {
    host: { profile: 'domain-controller' },
    state: 'skipped',
    win32: 1305,
    step: 'decide skipped',
    code: 'PP_PUSH_DOMAIN_CONTROLLER',
  },
  'HAS-CLIENT': { host: installed, state: 'skipped', win32: 120, step: 'decide skipped', code: 'PP_PUSH_CLIENT_PRESENT' },
  'OTHER-SITE': { host: foreign, state: 'skipped', win32: 120, step: 'decide skipped', code: 'PP_PUSH_CLIENT_OF_OTHER_SITE' },
  'FOREIGN-LOCK': {
    host: { switches: { foreignLock: 'X99' } },
    state: 'waiting',
    win32: 32,
    step: 'lock failed',
    code: 'PP_TARGET_LOCKED',
  },
  'SETUP-FAILS': {
    host: { switches: { bootstrapFails: 1603 } },
    state: 'retry',
    win32: 1603,
    step: 'verify failed',
    code: 'PP_SETUP_FATAL',
    looked: true,
  },
  'SETUP-STUCK': {
    host: { switches: { oldSetupRunning: 'stuck' } },
    state: 'retry',
    win32: 1056,
    step: 'copy failed',
    code: 'PP_PUSH_SETUP_RUNNING',
  },
  'GOES-DOWN': {
    host: { switches: { vanishAt: 'copy' } },
    state: 'retry',
    win32: 64,
    step: 'copy failed',
    code: 'PP_NET_CLOSED',
  },
  INSPECTED: { host: {}, state: 'complete', win32: undefined, step: 'decide skipped', wish: { inspectOnly: true } },
  'DC-ASKED': {
    host: { profile: 'domain-controller' },
    state: 'complete',
    win32: undefined,
    step: 'start ok',
    wish: { includeDcs: true },
  },
  'CLIENT-FORCED': { host: installed, state: 'complete', win32: undefined, step: 'verify ok', wish: { forced: true } },
  'OLD-SETUP': { host: { switches: { oldSetupRunning: 'stoppable' } }, state: 'complete', win32: undefined, step: 'copy ok' },
  'NO-REGISTRY': { host: { switches: { remoteRegistry: 'disabled' } }, state: 'complete', win32: undefined, step: 'inspect ok' },
  ENCRYPTED: { host: { switches: { encryptAll: true } }, state: 'complete', win32: undefined, step: 'start ok' },
  'SERVER-2016': { host: { profile: 'server-2016' }, state: 'complete', win32: undefined, step: 'start ok' },
  'WINDOWS-7': { host: { profile: 'windows-7' }, state: 'complete', win32: undefined, step: 'start ok' },
};

for (const [name, expected] of Object.entries(CASES)) {
  test(`${name}: ${expected.state}${expected.win32 === undefined ? '' : ` with ${expected.win32}`}, told by "${expected.step}"`, async (t) => {
    const { site, hosts } = await labSite(t, { [name]: expected.host });
    await site.startCcm();
    await site.push(name, expected.wish);
    if (expected.looked) {
      await site.until(name, 'verifying');
      // What the bootstrap says has the CCR looked at in between; the machine itself is asked a minute after the start.
      await waitFor('the look to be planned', async () => {
        const { nextAttemptAt, startedAt } = await site.show(name);
        return nextAttemptAt !== undefined && nextAttemptAt.getTime() - startedAt!.getTime() === 60_000;
      });
      await waitFor('the bootstrap to end', () => (hosts[name]!.machine.serviceState('ccmsetup') ?? 'stopped') === 'stopped');
      await site.skip(61_000);
    }
    const shown = await site.until(name, 'complete', 'failed', 'retry', 'waiting', 'skipped');
    const steps = shown.steps.map((s) => `${s.name} ${s.outcome}`);
    const told = `${shown.state} ${shown.lastError ?? ''} ${shown.lastErrorCode ?? ''}: ${JSON.stringify(shown.steps, undefined, 1)}`;
    assert.equal(shown.state, expected.state, told);
    assert.equal(shown.lastErrorCode, expected.win32, told);
    if (expected.code) assert.equal(shown.lastError, expected.code, told);
    assert.ok(steps.includes(expected.step), told);
    for (const step of shown.steps) assert.ok(step.outcome === 'ok' || step.detail, `${step.name} says nothing`);
    const { tried } = hosts[name]!.logons;
    assert.ok(expected.logons === undefined ? tried >= 1 : tried === expected.logons, `${tried} logons`);
    if (expected.state !== 'complete') return;
    assert.equal(hosts[name]!.machine.serviceState('CcmExec'), expected.wish?.inspectOnly ? undefined : 'running');
  });
}

test('two accounts at most: the first that is refused leads to the second, which is remembered for this machine', async (t) => {
  const { site, hosts } = await labSite(t, { 'PC-1': {} });
  await site.records.account.remove('push');
  await site.addAccount('CORP\\push', { name: 'wrong', password: 'not-the-password', pattern: 'PC-*' });
  await site.addAccount('CORP\\second', { name: 'good' });
  await site.startCcm();
  await site.push('PC-1', { inspectOnly: true });
  const first = await site.until('PC-1', 'complete', 'retry', 'waiting');
  assert.equal(first.state, 'complete', JSON.stringify(first.steps));
  assert.equal(first.account, 'good');
  assert.match(first.steps.find((s) => s.name === 'logon')!.detail!, /tried the next account|trying the next account/);
  const { logons } = hosts['PC-1']!;
  assert.deepEqual(logons.of('CORP\\push'), { succeeded: 0, failed: 1 });
  await site.push('PC-1', { inspectOnly: true });
  await waitFor(
    'the second inspection',
    async () => (await site.records.ccr.find('PC-1')).filter((c) => c.state === 'complete').length === 2,
  );
  assert.deepEqual(logons.of('CORP\\push'), { succeeded: 0, failed: 1 }, 'the refused one was not shown again');
  assert.deepEqual(logons.of('CORP\\second'), { succeeded: 2, failed: 0 });
});

test('%machinename% is the local account of each machine', async (t) => {
  const local = { accounts: [{ username: 'Administrator', password: PASSWORD, administrator: true }] };
  const { site, hosts } = await labSite(t, { 'PC-1': local });
  await site.records.account.remove('push');
  await site.addAccount('%machinename%\\Administrator');
  await site.startCcm();
  await site.push('PC-1', { inspectOnly: true });
  const done = await site.until('PC-1', 'complete', 'retry', 'waiting');
  assert.equal(done.state, 'complete', JSON.stringify(done.steps));
  assert.deepEqual(hosts['PC-1']!.logons.of('PC-1\\Administrator'), { succeeded: 1, failed: 0 });
});

test('a locked account is stopped at once for everybody: 20 machines, one logon, and the rest wait without one', async (t) => {
  const hosts: Record<string, Kind> = {};
  for (let i = 1; i <= 20; i++) hosts[`PC-${i}`] = { domain: lockedDomain };
  const { site, hosts: made } = await labSite(t, hosts);
  await site.startCcm();
  const names = Object.keys(made);
  await site.push(names);
  for (const name of names) await site.until(name, 'waiting');
  const tried = Object.values(made).reduce((sum, host) => sum + host.logons.tried, 0);
  assert.equal(tried, 1, 'one machine tried it first, and that was enough');
  const [account] = await site.records.account.list();
  assert.equal(account!.state, 'stopped');
  assert.equal(account!.stopCode, 1909);
});

test('a wrong password stops at two machines in a row, and a corrected one lets all go on', async (t) => {
  const hosts: Record<string, Kind> = {};
  for (let i = 1; i <= 8; i++) hosts[`PC-${i}`] = {};
  const { site, hosts: made } = await labSite(t, hosts);
  await site.records.account.remove('push');
  await site.addAccount('CORP\\push', { password: 'not-the-password' });
  await site.startCcm();
  const names = Object.keys(made);
  await site.push(names, { inspectOnly: true });
  for (const name of names) await site.until(name, 'waiting');
  const failed = () => Object.values(made).reduce((sum, host) => sum + host.logons.of('CORP\\push').failed, 0);
  assert.equal(failed(), 2);
  await site.records.account.setPassword('push', site.vault.seal(PASSWORD, passwordPurpose('CORP\\push')));
  for (const name of names) await site.until(name, 'complete');
  assert.equal(failed(), 2);
});

test('a password that was changed while a machine waits for its turn is the one that is used there', async (t) => {
  const { site, hosts } = await labSite(t, { 'PC-1': {} });
  const { account } = site.records;
  await account.remove('push');
  await site.addAccount('CORP\\push', { password: 'the-old-password' });
  const [push] = await account.list();
  // Nothing proves the account yet, so one machine at a time logs on with it: here one of another process.
  const elsewhere = new AccountRecord(site.database, site.clock);
  assert.equal(await elsewhere.enter(push!.id, 'ANOTHER'), true);
  await site.startCcm();
  await site.push('PC-1', { inspectOnly: true });
  const waiting = async () => (await site.database.query('select from account_waiting')).length > 0;
  await waitFor('the attempt to wait for its turn', waiting);
  await account.setPassword('push', site.vault.seal(PASSWORD, passwordPurpose('CORP\\push')));
  await elsewhere.left(push!.id, 'ANOTHER');
  const done = await site.until('PC-1', 'complete', 'waiting', 'retry', 'failed');
  assert.equal(done.state, 'complete', JSON.stringify(done.steps));
  assert.equal(hosts['PC-1']!.logons.of('CORP\\push').failed, 0);
});

test('a stale lock of another site is taken over; our own is removed after a failure too', async (t) => {
  const { site, hosts } = await labSite(t, { 'PC-1': { switches: { foreignLock: 'X99', startTimesOut: true } } });
  await site.startCcm();
  const windows = join(site.folder, 'hosts', 'PC-1', 'Windows');
  await site.push('PC-1');
  await site.until('PC-1', 'waiting');
  assert.deepEqual(
    (await readdir(windows)).filter((n) => n.startsWith('SMSClientInstall')),
    ['SMSClientInstall.X99'],
  );
  const old = new Date(systemClock.now().getTime() - 20 * 60_000);
  await utimes(join(windows, 'SMSClientInstall.X99'), old, old);
  await site.skip(16 * 60_000);
  const failed = await site.until('PC-1', 'retry');
  assert.equal(failed.lastErrorCode, 1053);
  assert.match(failed.steps.find((s) => s.name === 'lock')!.detail!, /removed the lock that site X99 left/);
  assert.deepEqual(
    (await readdir(windows)).filter((n) => n.startsWith('SMSClientInstall')),
    [],
  );
  await hosts['PC-1']!.repair();
});

test('stale DNS: the machine is found under its own address after another one answered, and that one saw no credential', async (t) => {
  const { site, hosts } = await labSite(t, {
    'PC-1': { address: '127.0.0.31', port: 4545 },
    'PC-2': { address: '127.0.0.32', port: 4545 },
  });
  await site.startCcm({ network: site.network({ resolve: async () => ['127.0.0.31'] }) });
  const [device] = await site.records.resource.find('PC-1');
  await site.importCsv('name,domain,fqdn,ip,smbPort\r\nPC-1,CORP,pc-1.corp.example,127.0.0.32,4545\r\n');
  assert.deepEqual((await site.records.resource.byId(device!.id))!.addresses, ['127.0.0.32']);
  await site.push('PC-1', { inspectOnly: true });
  const done = await site.until('PC-1', 'complete', 'retry', 'waiting');
  assert.equal(done.state, 'complete', JSON.stringify(done.steps));
  assert.deepEqual(
    done.steps.slice(0, 4).map((s) => `${s.name} ${s.outcome}`),
    ['probe ok', 'logon failed', 'probe ok', 'logon ok'],
  );
  assert.equal(hosts['PC-2']!.logons.tried, 0);
});
