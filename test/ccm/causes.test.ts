import assert from 'node:assert/strict';
import { test } from 'node:test';

import { catalogue, type Code } from '#base/errors';
import { labSite, type LabKind } from '#test/lab-site';
import { waitFor } from '#test/push-site';
import { STATUS, statusName, win32Name } from '#wire/status';

/** The codes of facts B5, HRESULTs as the Win32 code in them or signed, and those of the package-retry list there. */
const MEANT_BY_PUSH = [
  2, 5, 8, 21, 51, 52, 53, 64, 65, 67, 86, 112, 120, 1003, 1053, 1058, 1060, 1068, 1130, 1203, 1208, 1219, 1305, 1326, 1327, 1330,
  1331, 1909, 1385, 1396, 1450, 1460, 121, 1789, 1722, 1825, -2147467259, 1603, 1117, -2016411115,
];
const RETRIED_BY_AGENTS = [
  4, 5, 8, 13, 14, 39, 51, 53, 54, 55, 59, 64, 65, 67, 70, 71, 85, 86, 87, 112, 128, 170, 267, 999, 1003, 1203, 1219, 1220, 1222,
  1231, 1232, 1238, 1265, 1311, 1323, 1326, 1330, 1618, 1622, 2250,
];
/** Rows that say that there is no row. */
const GENERIC: ReadonlySet<Code> = new Set<Code>([
  'PP_LOGON_REFUSED',
  'PP_SMB_REFUSED',
  'PP_TARGET_ERROR',
  'PP_RPC_FAULT',
  'PP_PUSH_SETUP_FAILED',
  'PP_PUSH_DEFECT',
]);

interface Case {
  win32: number;
  code: Code;
  step: string;
  kind: LabKind;
  rpc?: { interface: string; opnum: number; win32?: number; fault?: number };
  /** The import tells no address, and DNS has none. */
  noAddress?: boolean;
}

/** ntwin32 is a status of FACILITY_NTWIN32, which carries a Win32 code ([MS-ERREF] 2.3). */
const ntwin32 = (code: number) => (0xc007_0000 | code) >>> 0;
const refused = (at: string, status: number): LabKind => ({ switches: { refuses: { [at]: status } } });
const wire =
  (at: string, step: string) =>
  (status: number, win32: number, code: Code): Case => ({ win32, code, step, kind: refused(at, status) });
const logon = wire('logon', 'logon');
const share = wire('share:ADMIN$', 'admin-share');
const pipe = wire('pipe:svcctl', 'inspect');
const lock = wire('file:SMSClientInstall.P01', 'lock');
const file = wire('file:ccmsetup.exe', 'copy');
/** [MS-SCMR] 3.1.4: opnum 19 is RStartServiceW, 12 RCreateServiceW, 15 ROpenSCManagerW. */
const svcctl = (opnum: number, step: string, win32: number, code: Code): Case => ({
  win32,
  code,
  step,
  kind: {},
  rpc: { interface: 'svcctl', opnum, win32 },
});
const fault = (status: number, win32: number, code: Code): Case => ({
  win32,
  code,
  step: 'inspect',
  kind: {},
  rpc: { interface: 'svcctl', opnum: 15, fault: status },
});
const setup = (exit: number, win32: number, code: Code): Case => ({
  win32,
  code,
  step: 'setup',
  kind: { switches: { bootstrapFails: exit } },
});
const as = (step: string, kind: LabKind, win32: number, code: Code): Case => ({ win32, code, step, kind });

/** What a machine answers, where, and what an administrator is told. One number has several causes, told apart by the step. */
const CASES: Case[] = [
  logon(STATUS.LOGON_FAILURE, 1326, 'PP_LOGON_FAILURE'),
  logon(STATUS.WRONG_PASSWORD, 86, 'PP_LOGON_FAILURE'),
  logon(STATUS.NO_SUCH_USER, 1317, 'PP_LOGON_FAILURE'),
  logon(ntwin32(1323), 1323, 'PP_LOGON_FAILURE'),
  logon(STATUS.ACCOUNT_RESTRICTION, 1327, 'PP_LOGON_RESTRICTED'),
  logon(STATUS.PASSWORD_EXPIRED, 1330, 'PP_LOGON_PASSWORD_EXPIRED'),
  logon(STATUS.ACCOUNT_DISABLED, 1331, 'PP_LOGON_ACCOUNT_DISABLED'),
  logon(STATUS.ACCOUNT_EXPIRED, 1793, 'PP_LOGON_ACCOUNT_EXPIRED'),
  logon(STATUS.ACCOUNT_LOCKED_OUT, 1909, 'PP_LOGON_ACCOUNT_LOCKED'),
  logon(STATUS.LOGON_TYPE_NOT_GRANTED, 1385, 'PP_LOGON_TYPE'),
  logon(STATUS.TRUSTED_RELATIONSHIP_FAILURE, 1789, 'PP_LOGON_TRUST'),
  logon(STATUS.NETWORK_CREDENTIAL_CONFLICT, 1219, 'PP_LOGON_CONFLICT'),
  logon(STATUS.DOWNGRADE_DETECTED, 1265, 'PP_LOGON_DOWNGRADE'),
  logon(STATUS.NO_LOGON_SERVERS, 1311, 'PP_LOGON_NO_SERVER'),
  logon(ntwin32(1396), 1396, 'PP_LOGON_TARGET_NAME'),
  logon(STATUS.ACCESS_DENIED, 5, 'PP_LOGON_DENIED'),
  logon(STATUS.NETWORK_ACCESS_DENIED, 65, 'PP_ANSWER_NETWORK_DENIED'),
  logon(STATUS.INSUFF_SERVER_RESOURCES, 1130, 'PP_SMB_RESOURCES'),
  logon(STATUS.NO_MEMORY, 8, 'PP_SMB_RESOURCES'),
  logon(STATUS.REMOTE_NOT_LISTENING, 51, 'PP_ANSWER_NOT_LISTENING'),
  logon(STATUS.DUPLICATE_NAME, 52, 'PP_ANSWER_DUPLICATE_NAME'),
  logon(STATUS.IO_TIMEOUT, 121, 'PP_ANSWER_TIMEOUT'),
  logon(ntwin32(1460), 1460, 'PP_ANSWER_TIMEOUT'),
  logon(ntwin32(1825), 1825, 'PP_ANSWER_SECURITY_PACKAGE'),
  share(STATUS.ACCESS_DENIED, 5, 'PP_SMB_NOT_ADMIN'),
  share(STATUS.BAD_NETWORK_NAME, 67, 'PP_SMB_NO_SHARE'),
  share(STATUS.BAD_NETWORK_PATH, 53, 'PP_ANSWER_NO_PATH'),
  share(ntwin32(1203), 1203, 'PP_ANSWER_NO_PATH'),
  share(STATUS.NETWORK_NAME_DELETED, 64, 'PP_SMB_SESSION_ENDED'),
  share(STATUS.DEVICE_NOT_READY, 21, 'PP_ANSWER_NOT_READY'),
  share(STATUS.SHARING_PAUSED, 70, 'PP_ANSWER_PAUSED'),
  share(STATUS.REQUEST_NOT_ACCEPTED, 71, 'PP_SMB_RESOURCES'),
  share(STATUS.NETWORK_BUSY, 54, 'PP_ANSWER_NETWORK_BUSY'),
  share(ntwin32(170), 170, 'PP_ANSWER_NETWORK_BUSY'),
  share(STATUS.UNEXPECTED_NETWORK_ERROR, 59, 'PP_ANSWER_NETWORK_ERROR'),
  share(STATUS.DEVICE_DOES_NOT_EXIST, 55, 'PP_ANSWER_NETWORK_ERROR'),
  share(ntwin32(85), 85, 'PP_ANSWER_NETWORK_ERROR'),
  share(ntwin32(2250), 2250, 'PP_ANSWER_NETWORK_ERROR'),
  share(STATUS.REMOTE_SESSION_LIMIT, 1220, 'PP_SMB_RESOURCES'),
  share(ntwin32(1238), 1238, 'PP_SMB_RESOURCES'),
  share(STATUS.INSUFFICIENT_RESOURCES, 1450, 'PP_SMB_RESOURCES'),
  share(STATUS.TOO_MANY_OPENED_FILES, 4, 'PP_SMB_RESOURCES'),
  share(ntwin32(14), 14, 'PP_SMB_RESOURCES'),
  share(ntwin32(128), 128, 'PP_SMB_RESOURCES'),
  share(ntwin32(1208), 1208, 'PP_ANSWER_EXTENDED'),
  share(STATUS.NETWORK_UNREACHABLE, 1231, 'PP_ANSWER_UNROUTABLE'),
  share(STATUS.HOST_UNREACHABLE, 1232, 'PP_ANSWER_UNROUTABLE'),
  share(ntwin32(1222), 1222, 'PP_ANSWER_UNROUTABLE'),
  share(STATUS.UNKNOWN_REVISION, 1305, 'PP_ANSWER_REVISION'),
  share(ntwin32(13), 13, 'PP_ANSWER_BAD_DATA'),
  share(STATUS.INVALID_PARAMETER, 87, 'PP_ANSWER_BAD_PARAMETER'),
  share(ntwin32(999), 999, 'PP_ANSWER_DISK_ERROR'),
  share(STATUS.IO_DEVICE_ERROR, 1117, 'PP_ANSWER_DISK_ERROR'),
  share(ntwin32(1003), 1003, 'PP_ANSWER_CANNOT_COMPLETE'),
  pipe(STATUS.ACCESS_DENIED, 5, 'PP_SMB_PIPE_DENIED'),
  pipe(STATUS.OBJECT_NAME_NOT_FOUND, 2, 'PP_SMB_NO_PIPE'),
  lock(STATUS.ACCESS_DENIED, 5, 'PP_SMB_ACCESS_DENIED'),
  lock(ntwin32(39), 39, 'PP_SMB_DISK_FULL'),
  lock(STATUS.NOT_A_DIRECTORY, 267, 'PP_SMB_NO_PATH'),
  file(STATUS.ACCESS_DENIED, 5, 'PP_SMB_ACCESS_DENIED'),
  file(STATUS.DISK_FULL, 112, 'PP_SMB_DISK_FULL'),
  file(STATUS.OBJECT_NAME_NOT_FOUND, 2, 'PP_SMB_NO_FILE'),
  svcctl(15, 'inspect', 5, 'PP_SERVICE_ACCESS_DENIED'),
  svcctl(12, 'start', 5, 'PP_SERVICE_ACCESS_DENIED'),
  svcctl(19, 'start', 2, 'PP_SERVICE_BINARY_MISSING'),
  svcctl(19, 'start', 8, 'PP_TARGET_RESOURCES'),
  svcctl(19, 'start', 120, 'PP_RPC_INTERFACE_UNKNOWN'),
  svcctl(19, 'start', 1003, 'PP_ANSWER_CANNOT_COMPLETE'),
  svcctl(19, 'start', 1053, 'PP_SERVICE_START_TIMEOUT'),
  svcctl(19, 'start', 1058, 'PP_SERVICE_DISABLED'),
  svcctl(19, 'start', 1060, 'PP_SERVICE_UNKNOWN'),
  svcctl(19, 'start', 1068, 'PP_SERVICE_DEPENDENCY'),
  svcctl(19, 'start', 1130, 'PP_TARGET_RESOURCES'),
  svcctl(19, 'start', 1450, 'PP_TARGET_RESOURCES'),
  svcctl(19, 'start', 1460, 'PP_ANSWER_TIMEOUT'),
  fault(5, 5, 'PP_RPC_ACCESS_DENIED'),
  fault(1722, 1722, 'PP_RPC_UNAVAILABLE'),
  fault(1825, 1825, 'PP_ANSWER_SECURITY_PACKAGE'),
  setup(1603, 1603, 'PP_SETUP_FATAL'),
  setup(0x8007_0643, 1603, 'PP_SETUP_FATAL'),
  setup(0x8007_0005, 5, 'PP_SETUP_ACCESS_DENIED'),
  setup(0x8007_06ba, 1722, 'PP_SETUP_RPC'),
  setup(0x8007_0721, 1825, 'PP_SETUP_SECURITY_PACKAGE'),
  setup(0x8000_4005, -2147467259, 'PP_SETUP_UNSPECIFIED'),
  setup(0x8007_045d, 1117, 'PP_SETUP_DISK_ERROR'),
  setup(0x87d0_0215, -2016411115, 'PP_SETUP_ITEM_NOT_FOUND'),
  setup(1618, 1618, 'PP_SETUP_BUSY'),
  setup(1622, 1622, 'PP_SETUP_LOG'),
  as('probe', { switches: { offline: 'closed' } }, 53, 'PP_NET_REFUSED'),
  as('probe', { switches: { offline: 'closed' } }, 53, 'PP_NET_NAME_UNKNOWN'),
  as('logon', { switches: { answersAs: 'ANOTHER' } }, 1396, 'PP_LOGON_WRONG_HOST'),
  as('admin-share', { profile: 'nas' }, 1305, 'PP_PUSH_NOT_WINDOWS'),
  as('copy', { switches: { vanishAt: 'copy' } }, 64, 'PP_NET_CLOSED'),
  as('decide', { switches: { clientInstalled: { version: '99.0.0', site: 'P01' } } }, 120, 'PP_PUSH_CLIENT_PRESENT'),
  as('decide', { profile: 'domain-controller' }, 1305, 'PP_PUSH_DOMAIN_CONTROLLER'),
  as('decide', { switches: { encryptedSetup: true } }, 6002, 'PP_TARGET_ENCRYPTED'),
];

const STATES = { retry: 'retry', wait: 'waiting', never: 'skipped' } as const;
/** Codes after which an account is of no use to anybody. */
const STOPPED: ReadonlySet<number> = new Set([1330, 1331, 1793, 1909]);

test('every code that push and its agents know is met by a case here, and none of them leads to a row without words of its own', () => {
  const met = new Set(CASES.map((c) => c.win32));
  assert.deepEqual(
    [...MEANT_BY_PUSH, ...RETRIED_BY_AGENTS].filter((code) => !met.has(code)),
    [],
  );
  for (const { code, win32 } of CASES) {
    assert.ok(!GENERIC.has(code), `${win32}: ${code}`);
    const { cause, remedy } = catalogue[code];
    assert.ok(cause.length > 30 && remedy.length > 12, `${code} tells too little`);
    assert.match(win32Name(win32), /^[A-Z]/, String(win32));
  }
});

test('one number, many causes: the same code met at another step has another cause and another remedy', () => {
  const told = new Map<number, Set<string>>();
  for (const { win32, code } of CASES) told.set(win32, (told.get(win32) ?? new Set()).add(catalogue[code].remedy));
  for (const [win32, least] of [
    [2, 3],
    [5, 7],
    [53, 3],
    [67, 1],
    [120, 2],
    [1305, 3],
    [1396, 2],
    [64, 2],
  ] as const)
    assert.ok(told.get(win32)!.size >= least, `${win32} has ${told.get(win32)!.size} remedies`);
});

function title({ kind, rpc, win32 }: Case): string {
  const refuses = Object.entries(kind.switches?.refuses ?? {}).map(([at, status]) => `${at} answers ${statusName(status)}`);
  return (
    refuses[0] ??
    (rpc ? `${rpc.interface} ${rpc.opnum} answers ${rpc.win32 ?? `fault ${rpc.fault}`}` : `${win32} of ${JSON.stringify(kind)}`)
  );
}

test('each of them on the wire: the CCR ends with that code, cause and worth of another try, told by the step where it was met', async (t) => {
  const named = CASES.map((one, i): [string, Case] => [`${one.step === 'logon' ? 'L' : 'C'}${i}`, one]);
  const { site, hosts } = await labSite(t, Object.fromEntries(named.map(([name, { kind }]) => [name, kind])));
  await site.records.account.remove('push');
  await site.addAccount('CORP\\push', { pattern: 'C*' });
  for (const [name, one] of named) {
    if (one.rpc) hosts[name]!.machine.rpc.interference.inject(one.rpc);
    // One account for each: what one machine says of an account must not stop the next case.
    if (one.step === 'logon') await site.addAccount(`CORP\\${name}`, { name, pattern: name });
  }
  const unknown = named.find(([, one]) => one.code === 'PP_NET_NAME_UNKNOWN')![0];
  await site.database.query("update resource set addresses = '{}' where name = $1", [unknown]);
  await site.startCcm();
  await site.push(named.map(([name]) => name));
  const bySetup = named.filter(([, one]) => one.step === 'setup').map(([name]) => name);
  await waitFor('all to be tried', async () => {
    const { items } = await site.records.ccr.list({ limit: 1000 });
    return items.every(
      (c) => !['queued', 'processing'].includes(c.state) && (c.state !== 'verifying' || bySetup.includes(c.name)),
    );
  });
  // A bootstrap that was still seen running is looked at a minute later.
  await site.skip(61_000);
  const wrong: string[] = [];
  for (const [name, one] of named) {
    const shown = await site.until(name, 'retry', 'waiting', 'skipped', 'failed', 'complete');
    const failing = shown.steps.find((s) => s.code === shown.lastError) ?? shown.steps.find((s) => s.outcome === 'skipped');
    const step = one.step === 'setup' && ['start', 'verify'].includes(failing?.name ?? '') ? 'setup' : failing?.name;
    const got = [shown.lastError, shown.lastErrorCode, shown.state, step];
    const wanted = [one.code, one.win32, STATES[catalogue[one.code].again], one.step];
    if (got.join() !== wanted.join())
      wrong.push(`${title(one)}: ${got.join()} instead of ${wanted.join()}: ${shown.lastErrorText}`);
    if (/\{\w+\}/.test(shown.lastErrorText ?? '')) wrong.push(`${title(one)}: ${shown.lastErrorText}`);
  }
  assert.deepEqual(wrong, []);
  for (const account of await site.records.account.list()) {
    const one = named.find(([name]) => name === account.name)?.[1];
    const stops = one !== undefined && STOPPED.has(one.win32);
    assert.equal(account.state === 'stopped', stops, `${account.name}: ${one?.code}`);
    if (stops) assert.equal(account.stopCode, one.win32);
  }
});

test('a password that is called wrong by its rarer code stops the account at the second machine just the same', async (t) => {
  const kinds: Record<string, LabKind> = {};
  for (let i = 0; i < 12; i++) kinds[`PC-${i}`] = refused('logon', i % 2 ? STATUS.WRONG_PASSWORD : STATUS.NO_SUCH_USER);
  const { site, hosts } = await labSite(t, kinds);
  await site.startCcm();
  await site.push(Object.keys(kinds));
  for (const name of Object.keys(kinds)) await site.until(name, 'waiting');
  const [account] = await site.records.account.list();
  assert.deepEqual([account!.state, account!.stopCode], ['stopped', 1326]);
  const tried = Object.values(hosts).reduce((sum, host) => sum + host.logons.tried, 0);
  assert.equal(tried, 2);
});
