import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { PushpointError, raise } from '#base/errors';
import { makeFolders, writeWhole } from '#lab/disk';
import { LabDomain, type LabHostOptions, type Switches } from '#lab/host';
import type { Verdict } from '#records/doctor';
import { STATUS } from '#wire/status';
import { checkOf, examined, startDoctor, stateOf } from '#test/doctor-site';
import { labSite } from '#test/lab-site';
import { PASSWORD, PushSite, waitFor } from '#test/push-site';

const withState = (state: 'locked' | 'disabled' | 'expired') =>
  new LabDomain({
    netbios: 'CORP',
    dns: 'corp.example',
    accounts: [{ username: 'push', password: PASSWORD, administrator: true, state }],
  });
const otherPassword = new LabDomain({
  netbios: 'CORP',
  dns: 'corp.example',
  accounts: [{ username: 'push', password: 'another one', administrator: true }],
});

interface Case {
  host: Partial<LabHostOptions>;
  /** The check that tells of it. */
  check: string;
  verdict: Verdict;
  code?: string;
  headline: RegExp;
  /** Another check of it, by name and verdict. */
  also?: [string, Verdict];
  /** Logons that the machine saw; one where nothing is said. */
  logons?: number;
}

const ill = (switches: Partial<Switches>): Partial<LabHostOptions> => ({ switches });
const gone = { logons: 0 };

/** What goes wrong in the field, where doctor tells of it, and its first sentence. */
const CASES: Record<string, Case> = {
  HEALTHY: { host: {}, check: 'decision', verdict: 'ok', headline: /^A push to HEALTHY would go through\.$/ },
  FIREWALL: {
    host: ill({ offline: 'closed' }),
    check: 'probe',
    verdict: 'problem',
    code: 'PP_NET_REFUSED',
    headline: /^The push to FIREWALL would fail at probe: nothing listens/,
    also: ['logon', 'not-tried'],
    ...gone,
  },
  'SMB1-ONLY': {
    host: ill({ smb1Only: true }),
    check: 'smb',
    verdict: 'problem',
    code: 'PP_SMB_ONLY_SMB1',
    headline: /would fail at logon: SMB1-ONLY speaks SMB 1 only/,
    ...gone,
  },
  'STALE-DNS': {
    host: ill({ answersAs: 'SOMEONE-ELSE' }),
    check: 'identity',
    verdict: 'problem',
    code: 'PP_LOGON_WRONG_HOST',
    headline: /calls itself someone-else/,
    also: ['logon', 'not-tried'],
    ...gone,
  },
  'NO-NTLM': {
    host: ill({ refusesNtlm: true }),
    check: 'logon',
    verdict: 'problem',
    code: 'PP_LOGON_NTLM_BLOCKED',
    headline: /would fail at logon: NO-NTLM or its domain does not accept NTLM/,
    also: ['smb', 'warning'],
    ...gone,
  },
  'WRONG-CLOCK': {
    host: ill({ clockOffMinutes: -90 }),
    check: 'clock',
    verdict: 'warning',
    code: 'PP_DOCTOR_CLOCK',
    headline: /^A push to WRONG-CLOCK would go through\. One thing is worth a look\.$/,
  },
  'WRONG-PASSWORD': {
    host: { domain: otherPassword },
    check: 'logon',
    verdict: 'problem',
    code: 'PP_LOGON_FAILURE',
    headline: /would fail at logon: WRONG-PASSWORD refused the user name or the password of CORP\\push/,
  },
  LOCKED: {
    host: { domain: withState('locked') },
    check: 'logon',
    verdict: 'problem',
    code: 'PP_LOGON_ACCOUNT_LOCKED',
    headline: /the account CORP\\push is locked out/,
  },
  DISABLED: {
    host: { domain: withState('disabled') },
    check: 'logon',
    verdict: 'problem',
    code: 'PP_LOGON_ACCOUNT_DISABLED',
    headline: /is disabled/,
  },
  EXPIRED: {
    host: { domain: withState('expired') },
    check: 'logon',
    verdict: 'problem',
    code: 'PP_LOGON_ACCOUNT_EXPIRED',
    headline: /has expired/,
  },
  'NOT-ADMIN': {
    host: ill({ ordinaryRights: true }),
    check: 'admin-share',
    verdict: 'problem',
    code: 'PP_SMB_NOT_ADMIN',
    headline: /would fail at admin-share: CORP\\push may not open ADMIN\$/,
    also: ['services', 'not-tried'],
  },
  'NO-SHARES': {
    host: ill({ adminShare: false }),
    check: 'admin-share',
    verdict: 'problem',
    code: 'PP_SMB_NO_SHARE',
    headline: /has no share ADMIN\$/,
  },
  NAS: {
    host: { profile: 'nas' },
    check: 'admin-share',
    verdict: 'problem',
    code: 'PP_PUSH_NOT_WINDOWS',
    headline: /not Windows/,
  },
  'NO-SERVICES': {
    host: ill({ refuses: { 'pipe:svcctl': STATUS.ACCESS_DENIED } }),
    check: 'services',
    verdict: 'problem',
    code: 'PP_SMB_PIPE_DENIED',
    headline: /would fail at start: NO-SERVICES denied access to the pipe svcctl/,
    also: ['system', 'not-tried'],
  },
  'REG-DISABLED': {
    host: ill({ remoteRegistry: 'disabled' }),
    check: 'remote-registry',
    verdict: 'unknown',
    headline: /would go through\.$/,
  },
  'DISK-FULL': {
    host: ill({ diskFull: true }),
    check: 'disk',
    verdict: 'problem',
    code: 'PP_TARGET_DISK_SPACE',
    headline: /would install nothing: DISK-FULL has 0 MB free/,
    also: ['decision', 'ok'],
  },
  'ENCRYPTED-1': {
    host: ill({ encryptedSetup: true }),
    check: 'folders',
    verdict: 'problem',
    code: 'PP_TARGET_ENCRYPTED',
    headline: /would install nothing: the folder ccmsetup on ENCRYPTED-1 is encrypted/,
    also: ['decision', 'problem'],
  },
  'OTHER-SITE': {
    host: ill({ foreignLock: 'X99' }),
    check: 'lock',
    verdict: 'problem',
    code: 'PP_TARGET_LOCKED',
    headline: /would fail at lock: OTHER-SITE is being worked on by site X99/,
  },
  'OLD-SETUP': {
    host: ill({ oldSetupRunning: 'stuck' }),
    check: 'setup',
    verdict: 'warning',
    headline: /would go through\. One thing is worth a look\.$/,
  },
  'HAS-CLIENT': {
    host: ill({ clientInstalled: { version: '99.0.0', site: 'P01' } }),
    check: 'decision',
    verdict: 'ok',
    code: 'PP_PUSH_CLIENT_PRESENT',
    headline: /^A push to HAS-CLIENT would leave it as it is: HAS-CLIENT has a client already \(99\.0\.0\)\.$/,
  },
  'OTHER-CLIENT': {
    host: ill({ clientInstalled: { version: '99.0.0', site: 'X99' } }),
    check: 'decision',
    verdict: 'problem',
    code: 'PP_PUSH_CLIENT_OF_OTHER_SITE',
    headline: /would install nothing: the client of OTHER-CLIENT belongs to site X99/,
    also: ['client-site', 'warning'],
  },
  DC: {
    host: { profile: 'domain-controller' },
    check: 'decision',
    verdict: 'problem',
    code: 'PP_PUSH_DOMAIN_CONTROLLER',
    headline: /is a domain controller/,
  },
};

for (const [name, wanted] of Object.entries(CASES))
  test(`doctor finds what ails a machine: ${name}`, async (t) => {
    const { site, hosts } = await labSite(t, { [name]: wanted.host });
    const { record } = await startDoctor(t, site);
    const done = await examined(record, name);
    assert.equal(done.state, 'done', done.error);
    const check = checkOf(done, wanted.check);
    assert.deepEqual([check.verdict, check.code], [wanted.verdict, wanted.code], JSON.stringify(check));
    assert.match(done.headline!, wanted.headline);
    if (wanted.verdict === 'problem' || wanted.verdict === 'warning')
      assert.ok(check.cause && check.remedy, 'it says why and what to do');
    if (wanted.also)
      assert.equal(checkOf(done, wanted.also[0]).verdict, wanted.also[1], JSON.stringify(checkOf(done, wanted.also[0])));
    assert.equal(hosts[name]!.logons.tried, wanted.logons ?? 1);
    assert.ok(!JSON.stringify(done).includes(PASSWORD), 'the password stands nowhere');
  });

test('a local account that UAC filters is told apart from a domain account that is no administrator, here and in the timeline of a CCR', async (t) => {
  const accounts = [
    { username: 'helper', password: PASSWORD, administrator: true, filtered: true },
    { username: 'Administrator', password: PASSWORD, administrator: true },
  ];
  const { site } = await labSite(t, { 'UAC-1': { accounts } });
  await site.records.account.remove('push');
  await site.addAccount('%machinename%\\helper');
  const { record } = await startDoctor(t, site);
  const done = await examined(record, 'UAC-1');
  const share = checkOf(done, 'admin-share');
  assert.deepEqual([share.verdict, share.code, share.win32], ['problem', 'PP_SMB_TOKEN_FILTERED', 5]);
  assert.match(share.remedy!, /LocalAccountTokenFilterPolicy/);
  await site.startCcm();
  await site.push('UAC-1');
  const ccr = await site.until('UAC-1', 'retry');
  assert.equal(ccr.lastError, 'PP_SMB_TOKEN_FILTERED', 'doctor and CCR say the same');
  await site.records.account.remove('push');
  await site.addAccount('%machinename%\\Administrator');
  assert.equal(checkOf(await examined(record, 'UAC-1'), 'admin-share').verdict, 'ok');
});

for (const [profile, remoteRegistry] of [
  ['windows-11', 'running'],
  ['server-2022', 'running'],
  // As a server is delivered: the first who opens the pipe starts the service.
  ['server-2022', 'trigger'],
] as const)
  test(`an examination changes nothing on the machine: files, services and registry are the same after it (${profile}, RemoteRegistry ${remoteRegistry})`, async (t) => {
    // A machine with everything on it that could be tidied up by mistake: an old bootstrap, a client, a lock left behind, a disk.
    const switches = {
      clientInstalled: { version: '1.0.0', site: 'P01' },
      foreignLock: 'X99',
      remoteRegistry,
    } as const;
    const { site, hosts } = await labSite(t, { 'STILL-1': { profile, switches } });
    const host = hosts['STILL-1']!;
    const { record } = await startDoctor(t, site);
    const registry = host.machine.serviceState('RemoteRegistry');
    // The first connection furnishes the disk.
    await examined(record, 'STILL-1');
    assert.equal(host.machine.serviceState('RemoteRegistry'), registry, 'not even the first look starts the service');
    const folder = join(site.folder, 'hosts', 'STILL-1');
    const before = await stateOf(host, folder);
    const done = await examined(record, 'STILL-1');
    assert.equal(checkOf(done, 'lock').code, 'PP_TARGET_LOCKED');
    assert.deepEqual(await stateOf(host, folder), before);
    assert.equal(await site.records.ccr.find('STILL-1').then((all) => all.length), 0, 'and no CCR is made');
    // Something that does change it is seen, so that the comparison can fail.
    await host.set({ foreignLock: 'Y88' });
    await examined(record, 'STILL-1');
    assert.notDeepEqual(await stateOf(host, folder), before);
  });

test('stop rules of accounts hold for doctor: two machines that refuse the password stop it, and then nobody knocks', async (t) => {
  const { site, hosts } = await labSite(t, { 'ONE-1': { domain: otherPassword }, 'TWO-1': { domain: otherPassword } });
  const { record } = await startDoctor(t, site);
  await examined(record, 'ONE-1');
  await examined(record, 'TWO-1');
  const [account] = await site.records.account.list();
  assert.equal(account!.state, 'stopped');
  const third = await examined(record, 'ONE-1');
  assert.match(checkOf(third, 'account').found, /push is stopped/);
  assert.match(third.headline!, /would fail at logon: no usable push account/);
  assert.equal(checkOf(third, 'logon').verdict, 'not-tried');
  assert.equal(hosts['ONE-1']!.logons.tried + hosts['TWO-1']!.logons.tried, 2);
  const server = await examined(record);
  assert.equal(checkOf(server, 'accounts').verdict, 'problem');
});

test('examining again and again locks no account: a machine that refused the password is not asked again until something changed', async (t) => {
  const domain = new LabDomain({
    netbios: 'CORP',
    dns: 'corp.example',
    lockAfter: 3,
    accounts: [{ username: 'push', password: 'another one', administrator: true }],
  });
  const { site, hosts } = await labSite(t, { 'AGAIN-1': { domain } });
  const { record } = await startDoctor(t, site);
  const all = await Promise.all(Array.from({ length: 6 }, () => examined(record, 'AGAIN-1')));
  assert.equal(hosts['AGAIN-1']!.logons.tried, 1, 'six at once are one logon');
  const codes = all.map((done) => checkOf(done, 'logon').code);
  for (const [code, times] of [
    ['PP_LOGON_FAILURE', 1],
    ['PP_DOCTOR_REFUSED_BEFORE', 5],
  ] as const)
    assert.equal(codes.filter((one) => one === code).length, times, codes.join(' '));
  assert.equal(domain.accounts.find('push')!.state, 'active');
  const later = await examined(record, 'AGAIN-1');
  assert.match(later.headline!, /would fail at logon: AGAIN-1 refused the user name or the password of CORP\\push at \d{4}-/);
  // Another account is still tried, and a local one is remembered in the same way.
  await site.addAccount('%machinename%\\helper', { name: 'local' });
  await examined(record, 'AGAIN-1');
  const local = checkOf(await examined(record, 'AGAIN-1'), 'logon');
  assert.equal(hosts['AGAIN-1']!.logons.tried, 2);
  assert.equal(local.code, 'PP_DOCTOR_REFUSED_BEFORE');
  // A person who corrected the account in the domain says so, or waits.
  const [push] = (await site.records.account.list()).filter(({ username }) => username === 'CORP\\push');
  await site.records.account.resume(push!.name);
  await examined(record, 'AGAIN-1');
  assert.equal(hosts['AGAIN-1']!.logons.tried, 3);
  await site.skip(61 * 60_000);
  await examined(record, 'AGAIN-1');
  assert.equal(hosts['AGAIN-1']!.logons.tried, 5, 'both once more, an hour later');
});

test('a machine with a CCR older than its resource is one machine to the stop rules of accounts', async (t) => {
  const { site, hosts } = await labSite(t, { 'OLDER-1': { domain: otherPassword } });
  await site.records.site.updateSettings({ ccr: { held: true } }, 'test');
  await site.push('OLDER-1');
  await site.database.query(`update ccr set machine_key = 'OLDER-1.CORP'`);
  const { record } = await startDoctor(t, site);
  // What an attempt of that CCR would have written.
  const [account] = await site.records.account.list();
  await site.records.account.failed(account!.id, 'OLDER-1.CORP', 1326);
  const done = await examined(record, 'OLDER-1');
  assert.equal(checkOf(done, 'logon').code, 'PP_DOCTOR_REFUSED_BEFORE');
  assert.equal((await site.records.account.list())[0]!.state, 'unproven', 'not stopped: nobody else refused it');
  assert.equal(hosts['OLDER-1']!.logons.tried, 0);
});

test('no credential goes to a machine that only names itself, nor where none is wanted', async (t) => {
  const { site, hosts } = await labSite(t, { 'SHY-1': {} });
  const { record } = await startDoctor(t, site);
  const shy = await examined(record, 'SHY-1', false);
  assert.equal(checkOf(shy, 'identity').verdict, 'ok');
  assert.deepEqual([checkOf(shy, 'logon').verdict, checkOf(shy, 'logon').found], ['not-tried', 'no logon was wanted']);
  await site.database.query('update resource set trusted = false');
  const claimed = await examined(record, 'SHY-1');
  assert.equal(checkOf(claimed, 'known').verdict, 'problem');
  assert.equal(checkOf(claimed, 'logon').verdict, 'not-tried');
  assert.match(claimed.headline!, /would not begin: it is known only from what it says of itself/);
  assert.equal(hosts['SHY-1']!.logons.tried, 0);
});

test('DNS that disagrees with discovery, or with itself, is told', async (t) => {
  const { site, hosts } = await labSite(t, { 'DNS-1': {} });
  const { record } = await startDoctor(t, site, {
    network: {
      resolve: async (name) => {
        if (name === 'dns-1.corp.example') return ['127.0.0.1', '192.0.2.9'];
        throw raise('PP_NET_NAME_UNKNOWN', { host: name });
      },
      reverse: async (address) => (address === '192.0.2.9' ? ['printer-7.corp.example'] : []),
      probe: async (options) => {
        if (options.address === '192.0.2.9')
          throw raise('PP_NET_SILENT', { address: options.address, port: options.port, ms: 1 });
        return site.network().probe(options);
      },
    },
  });
  assert.equal(hosts['DNS-1']!.address, '127.0.0.1');
  const done = await examined(record, 'DNS-1');
  const dns = checkOf(done, 'dns');
  assert.deepEqual([dns.verdict, dns.code], ['warning', 'PP_DOCTOR_REVERSE']);
  assert.match(dns.found, /192\.0\.2\.9 is called printer-7\.corp\.example/);
  const probe = checkOf(done, 'probe');
  assert.equal(probe.verdict, 'warning');
  assert.match(probe.found, /127\.0\.0\.1:\d+ answered.*192\.0\.2\.9:\d+ did not answer/);
});

test('after a push its traces on the machine and at the site are read', async (t) => {
  const { site, hosts } = await labSite(t, { 'DONE-1': {} });
  const { record } = await startDoctor(t, site);
  await site.startCcm();
  await site.push('DONE-1');
  await site.until('DONE-1', 'complete');
  // The client reports in a moment before the bootstrap has written its note.
  await waitFor('the bootstrap to be done', () => hosts['DONE-1']!.machine.serviceState('ccmsetup') === undefined);
  const done = await examined(record, 'DONE-1');
  for (const name of [
    'setup-log',
    'mobileclient',
    'state-messages',
    'heard-from',
    'agent',
    'client-site',
    'heartbeat',
    'approval',
  ])
    assert.equal(checkOf(done, name).verdict, 'ok', JSON.stringify(checkOf(done, name)));
  assert.match(checkOf(done, 'mobileclient').found, /asked from here: http:\/\/127\.0\.0\.1:\d+ answered/);
  // Of the bootstrap and of the agent that it started, whoever spoke last.
  assert.match(checkOf(done, 'state-messages').found, /^(?:400 Deployment|700 Site assignment) succeeded/);
  assert.match(checkOf(done, 'heard-from').found, /^yes/);
  assert.match(checkOf(done, 'agent').found, /0\.1\.0 runs/);
  assert.match(checkOf(done, 'ccr').found, /ended complete/);
  await hosts['DONE-1']!.set({ offline: 'closed' });
  const off = await examined(record, 'DONE-1');
  assert.equal(checkOf(off, 'agent').verdict, 'not-tried');
  assert.equal(checkOf(off, 'heartbeat').verdict, 'ok', 'what the site knows is told all the same');
});

test('a bootstrap that gave up is told with the last error of its log, and with what the Windows Installer said', async (t) => {
  const { site, hosts } = await labSite(t, { 'GAVE-UP': {} });
  const { record } = await startDoctor(t, site);
  const { disk } = hosts['GAVE-UP']!.machine;
  const line = (text: string, type: number) =>
    `<![LOG[${text}]LOG]!><time="10:00:00.000+000" date="11-21-2026" component="ccmsetup" context="" type="${type}" thread="1" file="">\r\n`;
  const log = ['ccmsetup 0.1.0 begins', 'management point http://mp.corp.example:8480 answered 404', 'waiting'].map((text, i) =>
    line(text, [1, 3, 1][i]!),
  );
  const folder = ['Windows', 'ccmsetup', 'logs'];
  await makeFolders(disk, folder);
  await writeWhole(disk, [...folder, 'ccmsetup.log'], new TextEncoder().encode(log.join('')));
  const first = checkOf(await examined(record, 'GAVE-UP'), 'setup-log');
  assert.equal(first.verdict, 'warning');
  assert.match(first.found, /its last error: management point http:\/\/mp\.corp\.example:8480 answered 404/);
  await writeWhole(disk, [...folder, 'client.msi.log'], Buffer.from('\ufeffAction ended. Return value 3.\r\n', 'utf16le'));
  assert.match(checkOf(await examined(record, 'GAVE-UP'), 'setup-log').found, /client\.msi\.log has "Return value 3"/);
});

test('folders that an installation works in are looked at: compressed, and an encrypted folder for temporary files', async (t) => {
  const { site, hosts } = await labSite(t, { 'FOLDERS-1': {} });
  const { disk } = hosts['FOLDERS-1']!.machine;
  const { record } = await startDoctor(t, site);
  const look = async () => checkOf(await examined(record, 'FOLDERS-1'), 'folders');
  assert.equal((await look()).verdict, 'ok', 'a folder that is not there is neither');
  await makeFolders(disk, ['Windows', 'Temp']);
  await makeFolders(disk, ['Windows', 'ccmsetup']);
  assert.equal((await look()).verdict, 'ok');
  const real = async (name: string) => (await disk.place(['Windows', name])).real;
  disk.attributes.set(await real('ccmsetup'), 0x800);
  const compressed = await look();
  assert.deepEqual([compressed.verdict, compressed.found], ['warning', 'compressed: %windir%\\ccmsetup']);
  disk.encrypt(await real('Temp'));
  const encrypted = await look();
  assert.equal(encrypted.verdict, 'warning');
  assert.match(encrypted.found, /Temp is encrypted/);
});

test('a site without what a push needs: management point, package and accounts are told each by itself', async (t) => {
  const site = await PushSite.create({ mp: false });
  t.after(() => site.close());
  await site.importCsv('name,domain,fqdn,ip\r\nBARE-1,CORP,,127.0.0.1\r\n');
  const { record } = await startDoctor(t, site);
  const host = await examined(record, 'BARE-1');
  assert.equal(checkOf(host, 'management-point').code, 'PP_PUSH_NO_MANAGEMENT_POINT');
  assert.equal(checkOf(host, 'account').code, 'PP_PUSH_NO_ACCOUNT');
  const server = await examined(record);
  assert.equal(checkOf(server, 'database').verdict, 'ok');
  assert.equal(checkOf(server, 'clock').verdict, 'ok');
  for (const name of ['accounts', 'management-point', 'workers']) assert.equal(checkOf(server, name).verdict, 'problem', name);
  await site.records.site.setPoint('mp', { address: 'http://127.0.0.1:9' }, 'test');
  const dead = await examined(record);
  assert.deepEqual(
    [checkOf(dead, 'management-point').verdict, checkOf(dead, 'management-point').code],
    ['problem', 'PP_DOCTOR_POINT'],
  );
  assert.match(checkOf(dead, 'management-point').found, /nothing listens there/);
});

test('work that is held back, waits too long or is stuck is told', async (t) => {
  const { site } = await labSite(t, { 'LATE-1': {}, 'LATE-2': {} });
  const { record } = await startDoctor(t, site);
  assert.equal(checkOf(await examined(record), 'queue').verdict, 'ok');
  await site.records.site.updateSettings({ ccr: { held: true } }, 'test');
  await site.push(['LATE-1', 'LATE-2']);
  await site.database.query(`update ccr set state = 'processing', last_attempt_at = $1 where name = 'LATE-2'`, [
    site.clock.now(),
  ]);
  await site.skip(20 * 60_000);
  const server = await examined(record);
  for (const name of ['queue', 'stuck', 'settings']) assert.equal(checkOf(server, name).verdict, 'warning', name);
  assert.match(checkOf(server, 'stuck').found, /^one CCR: LATE-2$/);
  for (const name of ['queue', 'settings']) assert.equal(checkOf(server, name).remedy, 'pushpoint ccr resume --all');
  const host = checkOf(await examined(record, 'LATE-1'), 'ccr');
  assert.equal(host.verdict, 'warning');
  assert.equal(host.remedy, 'pushpoint ccr resume --all');
});

test('the certificate of an https management point is looked at: its end, and the pin that clients have', async (t) => {
  const { site } = await labSite(t, { 'TLS-1': {} });
  const answer =
    (days: number, sha256: string, fromDays = -1) =>
    async () => ({
      status: 200,
      text: '<MPList></MPList>',
      ms: 1,
      certificate: {
        from: new Date(site.clock.now().getTime() + fromDays * 86_400_000),
        until: new Date(site.clock.now().getTime() + days * 86_400_000),
        sha256,
      },
    });
  const pin = 'a'.repeat(64);
  await site.records.site.setPoint('mp', { address: 'https://mp.corp.example:8443', pin }, 'test');
  for (const [days, shown, verdict, found, fromDays] of [
    [400, pin, 'ok', /answered/],
    [10, pin, 'warning', /expires on .*, in (9|10) days/],
    [-3, pin, 'problem', /expired on/],
    [400, 'b'.repeat(64), 'problem', /not the one that clients are told to expect/],
    [400, pin, 'problem', /good only from/, 2],
  ] as const) {
    const { record, doctor } = await startDoctor(t, site, { network: { askPoint: answer(days, shown, fromDays) } });
    const check = checkOf(await examined(record), 'management-point');
    assert.equal(check.verdict, verdict, JSON.stringify(check));
    assert.match(check.found, found);
    await doctor.stop();
  }
});

test('a package whose bytes were changed on disk is told by file', async (t) => {
  const { site } = await labSite(t, { 'ROT-1': {} });
  const { writeFile } = await import('node:fs/promises');
  const [pack] = await site.records.package.list();
  const file = pack!.files.find(({ name }) => name === 'client.mjs')!;
  await writeFile(site.content.path(file.sha256), 'rotten');
  const { record } = await startDoctor(t, site);
  const packages = checkOf(await examined(record), 'packages');
  assert.deepEqual([packages.verdict, packages.code], ['problem', 'PP_STORE_CONTENT_CORRUPT']);
  assert.match(packages.found, /file client\.mjs/);
  assert.equal(checkOf(await examined(record, 'ROT-1'), 'package').code, 'PP_STORE_CONTENT_CORRUPT');
});

test('a defect in one look is no verdict on the machine: the look is unknown, the others go on', async (t) => {
  const { site } = await labSite(t, { 'ODD-1': {} });
  const { record } = await startDoctor(t, site, {
    network: { askPoint: () => Promise.reject(new TypeError('something nobody thought of')) },
  });
  const done = await examined(record, 'ODD-1');
  assert.equal(checkOf(done, 'management-point').verdict, 'unknown');
  assert.equal(checkOf(done, 'decision').verdict, 'ok');
  assert.ok(
    site.lines.some((line) => line.includes('something nobody thought of')),
    'the log has it',
  );
});

test('a stop in the middle gives the examination back, and the next process makes it', async (t) => {
  const { site, hosts } = await labSite(t, { 'HANGS-1': {} });
  let asked: () => void = () => {};
  const reached = new Promise<void>((resolve) => (asked = resolve));
  const hangs = await startDoctor(t, site, {
    network: {
      probe: ({ signal }) => {
        asked();
        return new Promise((_, reject) => signal!.addEventListener('abort', () => reject(signal!.reason as Error)));
      },
    },
  });
  const { id } = await hangs.record.request({ host: 'HANGS-1', logon: true, by: 'test' });
  await reached;
  await hangs.doctor.stop();
  assert.equal((await hangs.record.byId(id))?.state, 'queued');
  const { record } = await startDoctor(t, site);
  await waitFor('the examination', async () => (await record.byId(id))?.state === 'done');
  assert.match((await record.byId(id))!.headline!, /would go through/);
  assert.equal(hosts['HANGS-1']!.logons.tried, 1);
});

test('errors of the network are the ones that attempts meet', async (t) => {
  const { site } = await labSite(t, { 'SILENT-1': {} });
  const { record } = await startDoctor(t, site, {
    network: {
      probe: ({ address, port }) => Promise.reject(raise('PP_NET_SILENT', { address, port, ms: 2000 })),
    },
  });
  const { code, win32, cause } = checkOf(await examined(record, 'SILENT-1'), 'probe');
  const same = raise('PP_NET_SILENT', {});
  assert.ok(same instanceof PushpointError);
  assert.deepEqual([code, win32, cause], ['PP_NET_SILENT', 53, same.reason]);
});
