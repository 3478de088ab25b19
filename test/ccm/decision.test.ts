import { test } from 'node:test';
import assert from 'node:assert/strict';

import { isCode } from '#base/errors';
import { checkIdentity, compareVersions, decide, nextSlot, retryAt, sortLocks, type Facts, type Wish } from '#components/ccm';
import { defaultSettings } from '#records/site';

function facts(
  change: {
    os?: Partial<Facts['os']>;
    client?: Partial<Facts['client']>;
    setup?: Partial<Facts['setup']>;
    freeBytes?: bigint;
  } = {},
): Facts {
  return {
    os: {
      windows: true,
      name: 'Windows 10',
      major: 10,
      minor: 0,
      build: 19045,
      type: 'workstation',
      architecture: 'x64',
      ...change.os,
    },
    freeBytes: change.freeBytes ?? 50_000_000_000n,
    client: { installed: false, running: false, version: undefined, site: undefined, ...change.client },
    setup: { service: undefined, files: new Map(), ccrId: undefined, ...change.setup },
    windowsPath: 'C:\\Windows',
  };
}

function wish(change: Partial<Wish> = {}): Wish {
  return {
    machine: 'PC1',
    ccrId: 7,
    site: 'P01',
    forced: false,
    reinstall: false,
    includeDcs: false,
    inspectOnly: false,
    package: { name: 'client', version: '2.0.0', minimumBuild: undefined, architectures: undefined, freeBytes: 100_000_000 },
    ...change,
  };
}

/** verdict is the decision in short: what is done, or code and Win32 code of the refusal. */
function verdict(f: Facts, w: Wish): string {
  const decision = decide(f, w);
  return decision.do === 'refuse' ? `${decision.error.code} ${decision.error.win32}` : decision.do;
}

test('a machine without a client gets it', () => assert.equal(verdict(facts(), wish()), 'install'));

test('a client that is there is left alone, unless forced, reinstalled or older', () => {
  const installed = { installed: true, running: true, version: '2.0.0', site: 'P01' };
  assert.equal(verdict(facts({ client: installed }), wish()), 'PP_PUSH_CLIENT_PRESENT 120');
  assert.equal(
    verdict(facts({ client: { ...installed, version: undefined, site: undefined } }), wish()),
    'PP_PUSH_CLIENT_PRESENT 120',
  );
  assert.equal(verdict(facts({ client: { ...installed, version: '2.0.1' } }), wish()), 'PP_PUSH_CLIENT_PRESENT 120');
  assert.equal(verdict(facts({ client: { ...installed, version: '1.9.12' } }), wish()), 'install');
  assert.equal(verdict(facts({ client: installed }), wish({ forced: true })), 'install');
  assert.equal(verdict(facts({ client: installed }), wish({ reinstall: true })), 'install');
});

test('the client of another site is not taken away, even when it is older, unless forced', () => {
  const foreign = { installed: true, running: true, version: '1.0.0', site: 'X99' };
  assert.equal(verdict(facts({ client: foreign }), wish()), 'PP_PUSH_CLIENT_OF_OTHER_SITE 120');
  assert.equal(verdict(facts({ client: foreign }), wish({ forced: true })), 'install');
});

test('systems: XP, 2000 and what is no Windows are skipped with 1305; force goes over the OS check', () => {
  for (const os of [
    { major: 5, minor: 1 },
    { major: 5, minor: 0 },
    { major: 6, minor: 0 },
  ]) {
    assert.equal(verdict(facts({ os }), wish()), 'PP_PUSH_OS_UNSUPPORTED 1305');
    assert.equal(verdict(facts({ os }), wish({ forced: true })), 'install');
  }
  assert.equal(verdict(facts({ os: { windows: false, name: 'Samba' } }), wish()), 'PP_PUSH_NOT_WINDOWS 1305');
  assert.equal(verdict(facts({ os: { major: 6, minor: 1, build: 7601 } }), wish()), 'install');
  assert.equal(
    verdict(facts({ os: { major: undefined, minor: undefined } }), wish()),
    'install',
    'an unknown version is no refusal',
  );
});

test('systems: what the package asks for counts where it is known', () => {
  const asks = wish({ package: { ...wish().package, minimumBuild: 20_000, architectures: ['x64'] } });
  assert.equal(verdict(facts(), asks), 'PP_PUSH_OS_UNSUPPORTED 1305');
  assert.equal(verdict(facts({ os: { build: 26_100 } }), asks), 'install');
  assert.equal(verdict(facts({ os: { build: 26_100, architecture: 'arm64' } }), asks), 'PP_PUSH_OS_UNSUPPORTED 1305');
  assert.equal(verdict(facts({ os: { build: undefined, architecture: undefined } }), asks), 'install');
});

test('a domain controller needs to be asked for; force alone is not that', () => {
  const dc = facts({ os: { type: 'dc' } });
  assert.equal(verdict(dc, wish()), 'PP_PUSH_DOMAIN_CONTROLLER 1305');
  assert.equal(verdict(dc, wish({ forced: true })), 'PP_PUSH_DOMAIN_CONTROLLER 1305');
  assert.equal(verdict(dc, wish({ includeDcs: true })), 'install');
});

test('an inspection installs nothing, and is refused what an installation would be', () => {
  assert.equal(verdict(facts(), wish({ inspectOnly: true })), 'report');
  assert.equal(verdict(facts({ os: { major: 5, minor: 1 } }), wish({ inspectOnly: true })), 'PP_PUSH_OS_UNSUPPORTED 1305');
});

test('too little room is another try, not a skip; unknown room is no refusal', () => {
  const decision = decide(facts({ freeBytes: 99_999_999n }), wish());
  assert.ok(decision.do === 'refuse' && decision.error.code === 'PP_TARGET_DISK_SPACE' && decision.error.win32 === 112);
  assert.equal(decision.error.again, 'retry');
  assert.equal(verdict({ ...facts(), freeBytes: undefined }, wish()), 'install');
});

test('what an attempt of this CCR that crashed left is taken up again', () => {
  const ours = { ccrId: 7 };
  assert.equal(verdict(facts({ setup: { ...ours, service: 'running' } }), wish()), 'await');
  assert.equal(verdict(facts({ setup: { ...ours, service: 'stopped' } }), wish()), 'install');
  assert.equal(
    verdict(facts({ setup: { service: 'running', ccrId: 8 } }), wish()),
    'install',
    "another CCR's bootstrap is replaced",
  );
  const running = { installed: true, running: true, version: '2.0.0', site: 'P01' };
  assert.equal(verdict(facts({ setup: ours, client: running }), wish()), 'complete');
  assert.equal(verdict(facts({ setup: ours, client: { ...running, running: false } }), wish()), 'install');
  // The note of the client goes before the file of the bootstrap, which loses its token at the end, and which an old client may stand beside.
  assert.equal(verdict(facts({ client: { ...running, ccrId: 7 } }), wish()), 'complete');
  assert.equal(verdict(facts({ setup: ours, client: { ...running, ccrId: 6 } }), wish()), 'PP_PUSH_CLIENT_PRESENT 120');
  assert.equal(verdict(facts({ setup: ours, client: { ...running, version: '1.0', ccrId: 'none' } }), wish()), 'install');
  assert.equal(verdict(facts(), wish({ proven: 'the client reported in', forced: true })), 'complete', 'nothing is done twice');
});

test('versions are compared by number', () => {
  assert.equal(compareVersions('1.10', '1.9'), 1);
  assert.equal(compareVersions('1.0', '1.0.0'), 0);
  assert.equal(compareVersions('5.00.8325', '5.00.9000'), -1);
});

test('the wanted machine is told from another one by the names it gives of itself', () => {
  const wanted = { name: 'PC1', domain: 'CORP', names: ['PC1', 'pc1.corp.example'] };
  const peer = { netbiosComputer: 'PC1', netbiosDomain: 'CORP', dnsComputer: 'pc1.corp.example', dnsDomain: 'corp.example' };
  const refused = (p: Parameters<typeof checkIdentity>[1], w = wanted) =>
    assert.throws(
      () => checkIdentity(w, p),
      (e: unknown) => isCode(e, 'PP_LOGON_WRONG_HOST') && e.win32 === 1396,
    );
  checkIdentity(wanted, peer);
  checkIdentity({ ...wanted, domain: 'corp.example' }, peer);
  checkIdentity(wanted, { netbiosComputer: 'PC1', netbiosDomain: 'PC1', dnsComputer: 'pc1' });
  checkIdentity(
    { name: 'A-RATHER-LONG-NAME', names: ['a-rather-long-name.corp.example'] },
    { netbiosComputer: 'A-RATHER-LONG-N', dnsComputer: 'a-rather-long-name.corp.example' },
  );
  refused({ ...peer, netbiosComputer: 'PC2', dnsComputer: 'pc2.corp.example' });
  refused({ netbiosComputer: 'PC1', dnsComputer: 'pc2.corp.example' });
  refused({ ...peer, netbiosDomain: 'OTHER', dnsDomain: 'other.example', dnsComputer: 'pc1.other.example' });
  refused({});
});

test('locks: fresh ones of others count, stale ones are taken away, by the clock of the machine', () => {
  const at = (minutes: number) => new Date(Date.UTC(2026, 0, 5, 8, minutes));
  const own = { site: 'P01', name: 'SMSClientInstall.P01', modifiedAt: at(30) };
  const lock = (site: string, minutes: number) => ({ site, name: `SMSClientInstall.${site}`, modifiedAt: at(minutes) });
  const sorted = (...locks: ReturnType<typeof lock>[]) => {
    const { busy, stale } = sortLocks([own, ...locks], own, at(30), 15 * 60_000);
    return { busy: busy.map((l) => l.site), stale: stale.map((l) => l.site) };
  };
  assert.deepEqual(sorted(lock('X99', 20), lock('X98', 14)), { busy: ['X99'], stale: ['X98'] });
  assert.deepEqual(sorted(lock('X99', 15)), { busy: ['X99'], stale: [] });
  // Two sites in the same instant: one of them goes on, and both agree which.
  assert.deepEqual(sorted(lock('A00', 30)), { busy: ['A00'], stale: [] });
  assert.deepEqual(sorted(lock('X99', 30)), { busy: [], stale: [] });
  assert.deepEqual(sorted(lock('X99', 31)), { busy: [], stale: [] });
});

test('a week has 168 tries, at its hours, whatever the spread and whenever one came out of turn', () => {
  const start = new Date('2026-01-05T08:00:00Z');
  const week = 7 * 86_400_000;
  for (const fraction of [0, 0.5, 0.999999]) {
    let now = start;
    let tries = 1;
    for (;;) {
      now = retryAt({ retryIntervalStart: start, intervalAttempts: tries }, now, defaultSettings.ccr, fraction);
      if (now.getTime() - start.getTime() >= week) break;
      tries++;
    }
    assert.equal(tries, 168, `spread ${fraction}`);
  }
  const late = new Date(start.getTime() + 90 * 60_000);
  const next = retryAt({ retryIntervalStart: start, intervalAttempts: 1 }, late, defaultSettings.ccr, 0);
  assert.equal(next.getTime() - late.getTime(), 30 * 60_000, 'never sooner than half an interval');
  const woken = new Date(start.getTime() + 60_000);
  assert.equal(
    retryAt({ retryIntervalStart: start, intervalAttempts: 5 }, woken, defaultSettings.ccr, 0).getTime() - woken.getTime(),
    3_600_000,
    'never later than one',
  );
});

test('a started client is looked at after 1, 2, 5 and 15 minutes, then hourly', () => {
  const start = new Date('2026-01-05T08:00:00Z');
  const minutes = [1, 2, 5, 15];
  let now = start;
  const looks: number[] = [];
  for (let i = 0; i < 7; i++) {
    now = nextSlot(start, now, minutes);
    looks.push((now.getTime() - start.getTime()) / 60_000);
  }
  assert.deepEqual(looks, [1, 2, 5, 15, 60, 120, 180]);
});

test('Q235778: a version with a decimal comma, as some locales write it, is the version that it means', () => {
  assert.equal(compareVersions('5,00,9012', '5.0.9012'), 0);
  assert.equal(compareVersions('3,51', '4.0'), -1);
  assert.equal(
    verdict(facts({ client: { installed: true, running: true, version: '2,0,0' } }), wish()),
    'PP_PUSH_CLIENT_PRESENT 120',
  );
  assert.equal(verdict(facts({ client: { installed: true, running: true, version: '1,9,0' } }), wish()), 'install');
});
