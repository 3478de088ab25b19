import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { makeFolders } from '#lab/disk';
import { LabHost } from '#lab/host';
import { serveNamedPipes } from '#lab/rpc';
import { need } from '#test/need';
import { startSmbd, type Smbd, type SmbdOptions } from '#test/smbd';
import { brief, eventually, WholeSite } from '#test/whole-site';

/**
 * The whole push over an SMB stack that is not ours: Samba's smbd carries logon, signing, encryption and files; behind its pipes stands the
 * RPC server of a lab machine, and that machine's drive is the folder which smbd shares.
 */

const peers = need('smbd', 'root');
const PIPES = ['svcctl', 'winreg', 'srvsvc'];
const TEN = 'probe logon admin-share inspect lock decide copy start release verify';
const PASSWORD = 'Lab-Only-7!';

let site: WholeSite;

before(async () => {
  if (peers.skip !== undefined) return;
  site = new WholeSite();
  await (await site.create()).run();
  await site.prepare({
    csv: 'name,domain,fqdn,ip,smbPort\r\n',
    account: { username: '%machinename%\\Administrator', password: PASSWORD },
  });
});

after(() => site?.close());

/** estate is a lab machine whose network is smbd's. */
async function estate(t: TestContext, options: SmbdOptions): Promise<{ smbd: Smbd; host: LabHost; windows: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'pph-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const windows = join(folder, 'Windows');
  const smbd = await startSmbd({ ...options, ownPipes: true, admin: windows });
  t.after(() => smbd.stop());
  const host = new LabHost({
    name: smbd.host,
    profile: 'server-2022',
    folder,
    clock: systemClock,
    random: systemRandom,
    switches: { remoteRegistry: 'running' },
  });
  t.after(() => host.machine.stop());
  await makeFolders(host.machine.disk, ['Windows']);
  const stop = await serveNamedPipes({
    folder: smbd.pipes,
    pipes: PIPES,
    administrators: ['root'],
    open: (pipe, identity) => host.machine.rpc.pipe(pipe, identity),
  });
  t.after(stop);
  // Samba takes its DNS name from the system it runs on, whatever its NetBIOS name is.
  const fqdn = `${hostname().split('.')[0]}.lab.example`;
  await site.importCsv(`name,domain,fqdn,ip,smbPort\r\n${smbd.host},,${fqdn},${smbd.address},${smbd.port}\r\n`);
  return { smbd, host, windows };
}

interface Spoken {
  how: string;
  options: SmbdOptions;
  dialect: string;
  signing: string;
  encryption: RegExp | undefined;
}

const spoken: Spoken[] = [
  {
    how: 'signing mandatory, SMB 2.1 at most',
    options: { encrypt: 'off', extra: ['server max protocol = SMB2_10'] },
    dialect: '2.1',
    signing: 'HMAC-SHA256',
    encryption: undefined,
  },
  {
    how: 'signing mandatory, SMB 3.0.2 at most',
    options: { encrypt: 'off', extra: ['server max protocol = SMB3_02'] },
    dialect: '3.0.2',
    signing: 'AES-CMAC',
    encryption: undefined,
  },
  {
    how: 'encryption required, SMB 3.1.1 at least',
    options: { encrypt: 'required' },
    dialect: '3.1.1',
    signing: 'AES-GMAC',
    encryption: /^AES-(128|256)-GCM$/,
  },
];

for (const { how, options, dialect, signing, encryption } of spoken) {
  test(`a client is pushed through Samba: ${how}`, peers, async (t) => {
    const { smbd, host, windows } = await estate(t, options);
    await site.push(smbd.host, { force: true });
    const done = await site.until(smbd.host);
    assert.equal(done.state, 'complete', JSON.stringify(done.steps, undefined, 1));
    assert.equal(brief(done.steps), TEN);
    assert.match(done.proof!, /reported in/);
    assert.equal(done.attempt?.dialect, dialect);
    assert.equal(done.attempt?.signing, signing);
    if (encryption) assert.match(done.attempt?.encryption ?? '', encryption);
    else assert.equal(done.attempt?.encryption, undefined);
    assert.match(done.steps.find(({ name }) => name === 'inspect')!.detail!, /Windows Server 2022 Standard 10\.0/);
    const device = await site.get<{ os: string; type: string }>(`/devices/${smbd.host}`);
    assert.equal(device.os, 'Windows Server 2022 Standard', 'the ProductName of its registry');
    assert.equal(device.type, 'server');
    // The client reports in a moment before the bootstrap has tidied up behind it.
    await eventually('the bootstrap to take its service away', () => host.machine.serviceState('ccmsetup') === undefined);
    for (const file of ['ccmsetup/ccmsetup.exe', 'ccmsetup/mobileclient.tcf', 'CCM/CcmExec.exe', 'CCM/installed.json'])
      assert.ok(readFileSync(join(windows, file)).length > 0, file);
    assert.deepEqual(
      readdirSync(windows).filter((name) => /^SMSClientInstall/i.test(name)),
      [],
      'no lock is left',
    );
    assert.equal(host.machine.serviceState('CcmExec'), 'running');
  });
}

test('a password that Samba refuses: 1326, nothing is tried again, and a second machine ends the account', peers, async (t) => {
  const first = await estate(t, {});
  const second = await estate(t, { name: 'PPSMBD2' });
  const { host: a } = first.smbd;
  const { host: b } = second.smbd;
  await site.send('DELETE', '/accounts/push');
  // An account that two machines share, as one of a domain; machines keep local ones each for itself.
  const username = 'PPLAB\\Administrator';
  await site.send('POST', '/accounts', { name: 'push', username, password: 'not the one', scope: { kind: 'site' } });
  await site.push(a, { force: true });
  const one = await site.until(a);
  assert.deepEqual([one.state, one.lastErrorCode, one.lastError], ['waiting', 1326, 'PP_LOGON_FAILURE']);
  assert.equal(brief(one.steps), 'probe logon:failed');
  assert.ok(
    Date.parse(one.nextAttemptAt!) > systemClock.now().getTime() + 20 * 3_600_000,
    'a day, for each try counts against the account',
  );
  await site.push(b, { force: true });
  const two = await site.until(b);
  assert.deepEqual([two.state, two.lastErrorCode], ['waiting', 1326]);
  const [account] = (await site.get<{ items: { state: string; stopReason?: string }[] }>('/accounts')).items;
  assert.equal(account!.state, 'stopped', JSON.stringify(account));
  // With the account stopped nobody knocks any more, however often it is asked for.
  await site.act('retry', a);
  await eventually('the second attempt', async () => (await site.show(a)).attempts > one.attempts);
  const again = await site.until(a);
  assert.deepEqual([again.state, again.lastError], ['waiting', 'PP_PUSH_NO_ACCOUNT']);
  await site.send('POST', '/accounts/push/resume', { password: PASSWORD });
  for (const name of [a, b]) assert.equal((await site.until(name, 'complete', 'failed', 'retry', 'skipped')).state, 'complete');
});
