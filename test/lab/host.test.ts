import { systemClock } from '#base/clock';
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { isCode, PushpointError } from '#base/errors';
import { STATUS } from '#wire/status';
import { logOn, newDomain, PASSWORD, startHost, type As } from '#test/lab-host';

const withStatus = (status: number) => (error: unknown) => error instanceof PushpointError && error.ntstatus === status;

test('an administrator of the domain gets to ADMIN$, which is the Windows folder of a fresh system', async (t) => {
  const { host, folder } = await startHost(t);
  assert.deepEqual(await readdir(folder), [], 'nothing is on the disk before somebody looks');
  const session = await logOn(host);
  assert.equal(session.peer.netbiosComputer, 'WS-1');
  assert.deepEqual(session.peer.osVersion, { major: 10, minor: 0, build: 26_100 });
  const admin = await session.tree('ADMIN$');
  const names = (await admin.list('')).map((file) => file.name.toLowerCase());
  for (const name of ['system32', 'syswow64', 'temp']) assert.ok(names.includes(name), name);
  await admin.writeFile('ccmsetup.txt', Uint8Array.of(1));
  const drive = await session.tree('C$');
  assert.equal((await drive.stat('WINDOWS\\CCMSETUP.TXT'))?.size, 1n);
  await session.logoff();
  assert.deepEqual(host.logons.all, [{ account: 'CORP\\push', succeeded: 1, failed: 0 }]);
});

test('accounts that may not log on hear why, a wrong password above all', async (t) => {
  const { host } = await startHost(t);
  await assert.rejects(logOn(host, { password: 'no' }), withStatus(STATUS.LOGON_FAILURE));
  await assert.rejects(logOn(host, { username: 'nobody' }), withStatus(STATUS.LOGON_FAILURE));
  await assert.rejects(logOn(host, { username: 'gone' }), withStatus(STATUS.ACCOUNT_DISABLED));
  await assert.rejects(logOn(host, { username: 'late' }), withStatus(STATUS.ACCOUNT_EXPIRED));
  await assert.rejects(logOn(host, { username: 'stale' }), withStatus(STATUS.PASSWORD_EXPIRED));
  await assert.rejects(logOn(host, { username: 'gone', password: 'no' }), withStatus(STATUS.LOGON_FAILURE));
  assert.equal(host.logons.tried, 6);
});

test('wrong passwords lock an account of the domain for all machines, and a new password unlocks it', async (t) => {
  const domain = newDomain(3);
  const { host: one } = await startHost(t, { domain });
  const { host: two } = await startHost(t, { domain, name: 'WS-2' });
  for (const host of [one, two, one]) await assert.rejects(logOn(host, { password: 'no' }), withStatus(STATUS.LOGON_FAILURE));
  await assert.rejects(logOn(two), withStatus(STATUS.ACCOUNT_LOCKED_OUT));
  assert.deepEqual(domain.accounts.find('PUSH')?.tries, { succeeded: 0, failed: 4, inARow: 3 });
  domain.accounts.find('push')!.setPassword(PASSWORD);
  await (await logOn(two)).logoff();
});

test('who is no administrator here, or one whose token is filtered, is kept out of ADMIN$', async (t) => {
  const { host } = await startHost(t);
  const refused = async (as: As) => {
    const session = await logOn(host, as);
    await session.tree('IPC$');
    await assert.rejects(session.tree('ADMIN$'), withStatus(STATUS.ACCESS_DENIED));
    await assert.rejects(session.tree('C$'), withStatus(STATUS.ACCESS_DENIED));
    await session.logoff();
  };
  await refused({ username: 'clerk' });
  await refused({ username: 'helper', domain: 'WS-1' });
  const local = await logOn(host, { username: 'administrator', domain: 'WS-1' });
  await local.tree('ADMIN$');
  await local.logoff();
  await host.set({ ordinaryRights: true });
  await refused({});
});

test('a machine can be off, mute, or answer with the name of another, and be repaired while it runs', async (t) => {
  const { host } = await startHost(t, { switches: { offline: 'closed' } });
  await assert.rejects(logOn(host), (e: unknown) => isCode(e, 'PP_NET_REFUSED'));
  await host.set({ offline: 'silent' });
  await assert.rejects(logOn(host), (e: unknown) => e instanceof PushpointError && e.again === 'retry');
  await host.set({ offline: false, answersAs: 'OTHER' });
  await assert.rejects(logOn(host), (e: unknown) => e instanceof PushpointError && e.win32 === 1396);
  assert.equal(host.logons.tried, 0, 'nobody used a credential on a machine that says another name');
  const { port } = host;
  await host.repair();
  assert.equal(host.port, port);
  await (await logOn(host)).logoff();
});

for (const point of ['negotiate', 'logon', 'admin-share', 'copy'] as const) {
  test(`a machine can go down ${point === 'copy' ? 'during' : 'after'} ${point}`, async (t) => {
    const { host } = await startHost(t, { switches: { vanishAt: point } });
    const push = async () => {
      const session = await logOn(host);
      const admin = await session.tree('ADMIN$');
      await admin.writeFile('ccmsetup.exe', new Uint8Array(4_000_000));
      await admin.list('');
    };
    await assert.rejects(push(), (e: unknown) => e instanceof PushpointError && e.again === 'retry');
    await assert.rejects(logOn(host), (e: unknown) => isCode(e, 'PP_NET_REFUSED'));
    await host.repair();
    // What was being written when the machine went down is let go of a moment later; a push would come again.
    for (let tries = 1; ; tries++) {
      try {
        await push();
        return;
      } catch (error) {
        if (tries === 2000 || !withStatus(STATUS.SHARING_VIOLATION)(error)) throw error;
        await systemClock.sleep(10);
      }
    }
  });
}

test('a disk that is full, a lock of another site and an old setup are there when somebody looks, and gone when repaired', async (t) => {
  const { host } = await startHost(t, { switches: { diskFull: true, foreignLock: 'X99', oldSetupRunning: 'stuck' } });
  const session = await logOn(host);
  const admin = await session.tree('ADMIN$');
  assert.deepEqual(
    (await admin.list('', 'SMSClientInstall.*')).map((file) => file.name),
    ['SMSClientInstall.X99'],
  );
  assert.ok((await admin.freeBytes())! < 100_000n);
  await assert.rejects(admin.writeFile('new.exe', new Uint8Array(200_000)), withStatus(STATUS.DISK_FULL));
  await assert.rejects(admin.writeFile('ccmsetup\\ccmsetup.exe', new Uint8Array(10)), withStatus(STATUS.SHARING_VIOLATION));
  await host.repair();
  await admin.writeFile('ccmsetup\\ccmsetup.exe', new Uint8Array(200_000));
  assert.deepEqual(await admin.list('', 'SMSClientInstall.*'), []);
  await session.logoff();
});

test('a NAS has no ADMIN$ and no services; a machine can have its own taken away', async (t) => {
  const { host: nas } = await startHost(t, { profile: 'nas', name: 'NAS-1' });
  const session = await logOn(nas);
  await assert.rejects(session.tree('ADMIN$'), withStatus(STATUS.BAD_NETWORK_NAME));
  await session.logoff();
  const { host } = await startHost(t, { switches: { adminShare: false } });
  const other = await logOn(host);
  await assert.rejects(other.tree('ADMIN$'), withStatus(STATUS.BAD_NETWORK_NAME));
  await other.logoff();
});

test('a machine that speaks SMB1 only hangs up on us', async (t) => {
  const { host } = await startHost(t, { profile: 'windows-xp', switches: { smb1Only: true } });
  await assert.rejects(logOn(host), (e: unknown) => e instanceof PushpointError);
  await host.repair();
  const session = await logOn(host);
  assert.deepEqual(session.peer.osVersion, { major: 5, minor: 1, build: 2600 });
  await session.logoff();
});

test('a share that takes long to connect comes all the same, with its id', async (t) => {
  const { host } = await startHost(t);
  const session = await logOn(host);
  await host.set({ slowMs: 600 });
  const admin = await session.tree('ADMIN$');
  await host.set({ slowMs: 0 });
  assert.ok((await admin.list('')).length > 0);
  await session.logoff();
});
