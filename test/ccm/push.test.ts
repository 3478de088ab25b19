import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import type { CcrState } from '#records/ccr';
import { LabDomain, LabHost, type LabHostOptions } from '#lab/host';
import { PASSWORD, PushSite, VERSION, waitFor } from '#test/push-site';

const domain = new LabDomain({
  netbios: 'CORP',
  dns: 'corp.example',
  accounts: [
    { username: 'push', password: PASSWORD, administrator: true },
    { username: 'second', password: PASSWORD, administrator: true },
  ],
});

type Kind = Partial<LabHostOptions>;

/** labSite is a site with one push account and some hosts, which are stopped before the site is. */
async function labSite(t: TestContext, hosts: Record<string, Kind>): Promise<{ site: PushSite; hosts: Record<string, LabHost> }> {
  const site = await PushSite.create();
  t.after(() => site.close());
  await site.addAccount('CORP\\push');
  const made: Record<string, LabHost> = {};
  for (const [name, kind] of Object.entries(hosts)) {
    const host = new LabHost({
      name,
      profile: 'windows-11',
      folder: join(site.folder, 'hosts', name),
      clock: systemClock,
      random: systemRandom,
      domain,
      ...kind,
    });
    await host.start();
    t.after(() => host.stop());
    made[name] = host;
  }
  // A host that is off has no port yet; 1 is one where nobody listens.
  const rows = Object.values(made).map((host) => `${host.name},CORP,${host.fqdn},${host.address},${host.port || 1}`);
  await site.importCsv(['name,domain,fqdn,ip,smbPort', ...rows, ''].join('\r\n'));
  return { site, hosts: made };
}

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
    step: 'start failed',
    code: 'PP_PUSH_SETUP_FAILED',
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
  'CLIENT-FORCED': { host: installed, state: 'complete', win32: undefined, step: 'start ok', wish: { forced: true } },
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
