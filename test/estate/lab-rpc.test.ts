import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { LabHost } from '#lab/host';
import { writeWhole } from '#lab/disk';
import { PASSWORD, startHost } from '#test/lab-host';
import { need } from '#test/need';

interface Said {
  code: number;
  out: string;
}

function run(command: string, args: string[], env: Record<string, string> = {}): Promise<Said> {
  return new Promise((resolve) => {
    execFile(command, args, { timeout: 60_000, env: { ...process.env, ...env } }, (error, stdout, stderr) =>
      resolve({ code: error ? 1 : 0, out: stdout + stderr }),
    );
  });
}

/** A program that stays until it is stopped. */
const PROGRAM = new TextEncoder().encode(
  '//pushpoint-bootstrap\nexport const main = (host) => new Promise((r) => host.signal.addEventListener("abort", () => r(0)));\n',
);

/** netOf gives `net rpc` for one host; the password goes by the environment. */
async function netOf(t: TestContext, host: LabHost, protection: 'sign' | 'encrypt') {
  const folder = await mkdtemp(join(tmpdir(), 'lab-net-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const conf = join(folder, 'smb.conf');
  const directories = ['private', 'lock', 'state', 'cache'].map((name) => `${name} directory = ${folder}`);
  await writeFile(
    conf,
    ['[global]', ...directories, `client protection = ${protection}`, 'client min protocol = SMB2_10', ''].join('\n'),
  );
  const fixed = [
    '-I',
    host.address,
    '-p',
    String(host.port),
    '-S',
    host.name,
    '-U',
    'CORP/push',
    '-s',
    conf,
    `--client-protection=${protection}`,
  ];
  return async (...words: string[]): Promise<string> => {
    const { out } = await run('net', ['rpc', ...words, ...fixed], { PASSWD: PASSWORD });
    return out;
  };
}

for (const protection of ['sign', 'encrypt'] as const) {
  test(`net rpc makes, starts, stops and deletes a service of a lab host (${protection})`, need('net'), async (t) => {
    const { host } = await startHost(t, { profile: 'server-2022' });
    await writeWhole(host.machine.disk, ['Windows', 'agent.exe'], PROGRAM);
    const net = await netOf(t, host, protection);
    assert.match(await net('service', 'list'), /LanmanServer\s+"Server"/);
    assert.match(await net('service', 'create', 'labagent', 'Lab agent', 'C:\\Windows\\agent.exe'), /Successfully created/);
    await net('service', 'start', 'labagent');
    assert.match(
      await net('service', 'status', 'labagent'),
      /labagent service is running[^]*Executable Path +=.*agent\.exe[^]*Lab agent/,
    );
    assert.match(await net('service', 'stop', 'labagent'), /labagent service is stopped/);
    assert.match(await net('service', 'delete', 'labagent'), /Successfully deleted/);
    assert.doesNotMatch(await net('service', 'list'), /labagent/);
    assert.match(await net('service', 'status', 'labagent'), /WERR_(NO_SUCH_SERVICE|SERVICE_DOES_NOT_EXIST)/);
  });

  test(`net rpc reads the registry of a lab host (${protection})`, need('net'), async (t) => {
    const { host } = await startHost(t, { profile: 'server-2022', switches: { remoteRegistry: 'running' } });
    const net = await netOf(t, host, protection);
    const version = 'HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion';
    assert.match(await net('registry', 'getvalue', version, 'ProductName'), /REG_SZ[^]*Windows Server 2022 Standard/);
    assert.match(await net('registry', 'getvalue', version, 'CurrentMajorVersionNumber'), /REG_DWORD[^]*\b(10|0xa)\b/i);
    const all = await net('registry', 'enumerate', version);
    for (const name of ['ProductName', 'CurrentBuild', 'EditionID', 'UBR']) assert.match(all, new RegExp(`= ${name}\\b`), all);
    assert.match(await net('registry', 'enumerate', 'HKLM\\SYSTEM\\CurrentControlSet\\Control'), /= ProductOptions/);
  });
}

test('net rpc finds no winreg where RemoteRegistry is disabled, and is refused without rights', need('net'), async (t) => {
  const { host } = await startHost(t, { switches: { ordinaryRights: true } });
  const net = await netOf(t, host, 'sign');
  assert.match(await net('registry', 'enumerate', 'HKLM\\SOFTWARE'), /NT_STATUS_OBJECT_NAME_NOT_FOUND/);
  assert.match(await net('service', 'list'), /ACCESS_DENIED/);
});

const IMPACKET = `
import io, os, sys, time
from impacket.smbconnection import SMBConnection
from impacket import smb3structs as s
from impacket.dcerpc.v5 import transport, scmr, rrp, srvs
address, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
c = SMBConnection(name, address, sess_port=port, preferredDialect=s.SMB2_DIALECT_30)
c.login('push', os.environ['LAB_PASSWORD'], 'CORP')
def bound(pipe, uuid):
    rpc = transport.SMBTransport(name, filename=pipe, smb_connection=c).get_dce_rpc()
    rpc.connect(); rpc.bind(uuid); return rpc
rpc = bound(r'\\svcctl', scmr.MSRPC_UUID_SCMR)
manager = scmr.hROpenSCManagerW(rpc)['lpScHandle']
c.putFile('ADMIN$', 'imp.exe', io.BytesIO(open(sys.argv[4], 'rb').read()).read)
service = scmr.hRCreateServiceW(rpc, manager, 'impsvc\\0', 'Imp service\\0', lpBinaryPathName='%SystemRoot%\\\\imp.exe\\0', dwStartType=scmr.SERVICE_DEMAND_START)['lpServiceHandle']
scmr.hRStartServiceW(rpc, service)
for i in range(50):
    state = scmr.hRQueryServiceStatus(rpc, service)['lpServiceStatus']['dwCurrentState']
    if state == scmr.SERVICE_RUNNING: break
    time.sleep(0.02)
assert state == scmr.SERVICE_RUNNING, state
config = scmr.hRQueryServiceConfigW(rpc, service)['lpServiceConfig']
assert config['lpBinaryPathName'] == '%SystemRoot%\\\\imp.exe\\0', config['lpBinaryPathName']
names = [x['lpServiceName'][:-1] for x in scmr.hREnumServicesStatusW(rpc, manager)]
assert 'impsvc' in names and 'LanmanServer' in names, names
scmr.hRControlService(rpc, service, scmr.SERVICE_CONTROL_STOP)
scmr.hRDeleteService(rpc, service); scmr.hRCloseServiceHandle(rpc, service)
for missing, code in (('nosuch', 1060), ('impsvc', 1060)):
    try:
        scmr.hROpenServiceW(rpc, manager, missing + '\\0'); raise AssertionError(missing)
    except scmr.DCERPCSessionError as e:
        assert e.get_error_code() == code, e
reg = bound(r'\\winreg', rrp.MSRPC_UUID_RRP)
root = rrp.hOpenLocalMachine(reg)['phKey']
key = rrp.hBaseRegOpenKey(reg, root, 'SOFTWARE\\\\Microsoft\\\\Windows NT\\\\CurrentVersion')['phkResult']
print(rrp.hBaseRegQueryValue(reg, key, 'ProductName')[1][:-1])
i, found = 0, []
while True:
    try: found.append(rrp.hBaseRegEnumValue(reg, key, i)['lpValueNameOut'][:-1]); i += 1
    except rrp.DCERPCSessionError: break
assert 'CurrentBuild' in found, found
srv = bound(r'\\srvsvc', srvs.MSRPC_UUID_SRVS)
info = srvs.hNetrServerGetInfo(srv, 101)['InfoStruct']['ServerInfo101']
print(info['sv101_name'][:-1], info['sv101_version_major'])
shares = [x['shi1_netname'][:-1] for x in srvs.hNetrShareEnum(srv, 1)['InfoStruct']['ShareInfo']['Level1']['Buffer']]
print(sorted(shares))
c.logoff()
print('done')
`;

test("impacket's svcctl, winreg and srvsvc work on a lab host, signed and encrypted", need('impacket'), async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'lab-imp-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'program'), PROGRAM);
  for (const encryptAll of [false, true]) {
    const { host } = await startHost(t, { profile: 'server-2022', switches: { remoteRegistry: 'running', encryptAll } });
    const args = ['-c', IMPACKET, host.address, String(host.port), host.name, join(folder, 'program')];
    const { out } = await run('/usr/bin/python3', args, { LAB_PASSWORD: PASSWORD });
    assert.match(out, /Windows Server 2022 Standard\nWS-1 10\n\['ADMIN\$', 'C\$', 'IPC\$'\]\ndone/, out);
  }
});
