import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { serveNamedPipes } from '#lab/rpc';
import { GONE, labRpc, type LabRpc } from '#test/lab-rpc';
import { need } from '#test/need';
import { startSmbd, type Smbd } from '#test/smbd';

/** A real smbd carries our RPC server to stock clients: Samba's `net` and impacket, whose NDR is not ours. */

interface Said {
  code: number;
  out: string;
}

function run(command: string, args: string[], env: Record<string, string> = {}): Promise<Said> {
  return new Promise((resolve) => {
    const options = { timeout: 60_000, env: { ...process.env, ...env } };
    execFile(command, args, options, (error, stdout, stderr) => resolve({ code: error ? 1 : 0, out: stdout + stderr }));
  });
}

interface Estate {
  lab: LabRpc;
  smbd: Smbd;
  net: (...args: string[]) => Promise<Said>;
}

const VERSION = 'SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion';

async function estate(t: TestContext, encrypt: 'off' | 'required', extra: string[] = []): Promise<Estate> {
  const lab = labRpc();
  lab.services.adopt({ name: 'LanmanServer', displayName: 'Server', binaryPath: 'C:\\Windows\\system32\\svchost.exe' });
  lab.registry.seed(VERSION, 'ProductName', 'Windows 10 Enterprise');
  lab.registry.seed(VERSION, 'CurrentMajorVersionNumber', 10);
  lab.registry.seed(`${VERSION}\\Winlogon`, 'Shell', 'explorer.exe');
  const smbd = await startSmbd({ ownPipes: true, encrypt, extra });
  t.after(() => smbd.stop());
  const stop = await serveNamedPipes({
    folder: smbd.pipes,
    pipes: lab.server.names(),
    administrators: ['root'],
    open: (pipe, identity) => lab.server.pipe(pipe, identity),
  });
  t.after(stop);
  const auth = join(smbd.folder, '..', 'auth');
  await writeFile(auth, `username=${smbd.username}\npassword=${smbd.password}\n`, { mode: 0o600 });
  const protection = encrypt === 'required' ? 'encrypt' : 'sign';
  const head = [
    'rpc',
    '-I',
    smbd.address,
    '-p',
    String(smbd.port),
    '-A',
    auth,
    '-s',
    '/dev/null',
    `--client-protection=${protection}`,
  ];
  const net = (...args: string[]) => run('net', ['rpc', ...args, ...head.slice(1)]);
  return { lab, smbd, net };
}

for (const encrypt of ['off', 'required'] as const) {
  const how = encrypt === 'required' ? 'an encrypting' : 'a signing';
  test(`net rpc service works on our RPC server behind ${how} smbd`, need('root', 'smbd', 'net'), async (t) => {
    const { lab, net } = await estate(t, encrypt);
    const listed = await net('service', 'list');
    assert.match(listed.out, /LanmanServer\s+"Server"/, listed.out);
    const created = await net('service', 'create', 'ccmsetup', 'SMS setup', 'C:\\Windows\\ccmsetup\\ccmsetup.exe');
    assert.match(created.out, /Successfully created Service: ccmsetup/, created.out);
    assert.match((await net('service', 'status', 'ccmsetup')).out, /ccmsetup service is stopped/);
    const started = await net('service', 'start', 'ccmsetup');
    assert.match(started.out, /Successfully started service: ccmsetup|START_PENDING|WERR_OK/, started.out);
    assert.match((await net('service', 'status', 'ccmsetup')).out, /ccmsetup service is running/);
    assert.equal(lab.started[0]?.service, 'ccmsetup');
    const stopped = await net('service', 'stop', 'ccmsetup');
    assert.match(stopped.out, /ccmsetup service is stopped/, stopped.out);
    assert.equal(lab.started[0]?.told, true);
    assert.match((await net('service', 'delete', 'ccmsetup')).out, /Successfully deleted Service: ccmsetup/);
    assert.equal(lab.services.get('ccmsetup'), undefined);
    assert.match((await net('service', 'status', 'ccmsetup')).out, /WERR_SERVICE_DOES_NOT_EXIST|NO_SUCH_SERVICE/);
    await net('service', 'create', 'broken', 'Broken', GONE);
    assert.match((await net('service', 'start', 'broken')).out, /WERR_(FILE_NOT_FOUND|BADFILE)/);
    assert.deepEqual(lab.complaints, []);
  });

  test(`net rpc registry works on our RPC server behind ${how} smbd`, need('root', 'smbd', 'net'), async (t) => {
    const { lab, net } = await estate(t, encrypt);
    const key = `HKLM\\${VERSION}`;
    const one = await net('registry', 'getvalue', key, 'ProductName');
    assert.match(one.out, /Windows 10 Enterprise/, one.out);
    const all = await net('registry', 'enumerate', key);
    assert.match(all.out, /Keyname\s+= Winlogon/, all.out);
    assert.match(all.out, /Valuename\s+= CurrentMajorVersionNumber/);
    assert.match(all.out, /Value\s+= (0x0000000a|10)\b/);
    assert.equal((await net('registry', 'createkey', 'HKLM\\SOFTWARE\\Test')).code, 0);
    assert.equal((await net('registry', 'setvalue', 'HKLM\\SOFTWARE\\Test', 'Site', 'sz', 'P01')).code, 0);
    assert.match((await net('registry', 'getvalueraw', 'HKLM\\SOFTWARE\\Test', 'Site')).out, /^P01/);
    assert.equal((await net('registry', 'deletevalue', 'HKLM\\SOFTWARE\\Test', 'Site')).code, 0);
    assert.equal((await net('registry', 'deletekey', 'HKLM\\SOFTWARE\\Test')).code, 0);
    // `net` shows our 2 (file not found) as the NTSTATUS it translates it to.
    assert.match(
      (await net('registry', 'enumerate', 'HKLM\\SOFTWARE\\Test')).out,
      /registry_openkey failed: NT_STATUS_NO_SUCH_DEVICE/,
    );
    assert.deepEqual(lab.complaints, []);
  });
}

/** What impacket's services.py, reg.py and netview.py do, in one go; it prints what it saw as JSON. */
const IMPACKET = String.raw`
import json, os, sys, time
from impacket.dcerpc.v5 import transport, scmr, rrp, srvs
from impacket.smbconnection import SMBConnection

host, port, user, gone, dialect = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
smb = SMBConnection(host, host, sess_port=port, preferredDialect=dialect)
smb.login(user, os.environ['PASSWORD'])

def bind(pipe, uuid, fragment=None):
    rpc = transport.SMBTransport(host, filename='\\' + pipe, smb_connection=smb)
    dce = rpc.get_dce_rpc()
    dce.connect()
    dce.bind(uuid)
    if fragment: dce.set_max_fragment_size(fragment)
    return dce

def code(call):
    try: call()
    except Exception as e: return e.get_error_code() if hasattr(e, 'get_error_code') else repr(e)
    return 0

seen = {}
dce = bind('svcctl', scmr.MSRPC_UUID_SCMR, 200)
scm = scmr.hROpenSCManagerW(dce)['lpScHandle']
made = scmr.hRCreateServiceW(dce, scm, 'ccmsetup\0', 'SMS setup\0', lpBinaryPathName='C:\\Windows\\ccmsetup\\ccmsetup.exe\0')
svc = made['lpServiceHandle']
seen['again'] = code(lambda: scmr.hRCreateServiceW(dce, scm, 'CCMSetup\0', 'Other\0', lpBinaryPathName='x\0'))
seen['same display name'] = code(lambda: scmr.hRCreateServiceW(dce, scm, 'other\0', 'sms setup\0', lpBinaryPathName='x\0'))
cfg = scmr.hRQueryServiceConfigW(dce, svc)['lpServiceConfig']
seen['config'] = [cfg['dwStartType'], cfg['lpBinaryPathName'][:-1], cfg['lpDisplayName'][:-1], cfg['lpServiceStartName'][:-1]]
scmr.hRChangeServiceConfigW(dce, svc, dwStartType=4)
seen['disabled'] = code(lambda: scmr.hRStartServiceW(dce, svc))
scmr.hRChangeServiceConfigW(dce, svc, dwStartType=3)
arguments = ['ccmsetup\0'] + ['argument number %d\0' % i for i in range(300)]
scmr.hRStartServiceW(dce, svc, len(arguments), arguments)
seen['running twice'] = code(lambda: scmr.hRStartServiceW(dce, svc))
while scmr.hRQueryServiceStatus(dce, svc)['lpServiceStatus']['dwCurrentState'] == 2: time.sleep(0.01)
seen['state'] = scmr.hRQueryServiceStatus(dce, svc)['lpServiceStatus']['dwCurrentState']
scmr.hRControlService(dce, svc, scmr.SERVICE_CONTROL_STOP)
while scmr.hRQueryServiceStatus(dce, svc)['lpServiceStatus']['dwCurrentState'] == 3: time.sleep(0.01)
seen['stopped'] = scmr.hRQueryServiceStatus(dce, svc)['lpServiceStatus']['dwCurrentState']
seen['not active'] = code(lambda: scmr.hRControlService(dce, svc, scmr.SERVICE_CONTROL_STOP))
scmr.hRDeleteService(dce, svc)
seen['marked'] = code(lambda: scmr.hRDeleteService(dce, svc))
seen['still there'] = code(lambda: scmr.hROpenServiceW(dce, scm, 'ccmsetup\0'))
dce.disconnect()
dce = bind('svcctl', scmr.MSRPC_UUID_SCMR)
scm = scmr.hROpenSCManagerW(dce)['lpScHandle']
seen['gone'] = code(lambda: scmr.hROpenServiceW(dce, scm, 'ccmsetup\0'))
svc = scmr.hRCreateServiceW(dce, scm, 'broken\0', 'Broken\0', lpBinaryPathName=gone + '\0')['lpServiceHandle']
seen['no program'] = code(lambda: scmr.hRStartServiceW(dce, svc))
listed = scmr.hREnumServicesStatusW(dce, scm)
seen['listed'] = sorted(one['lpServiceName'][:-1] for one in listed)

dce = bind('winreg', rrp.MSRPC_UUID_RRP)
root = rrp.hOpenLocalMachine(dce)['phKey']
key = rrp.hBaseRegOpenKey(dce, root, 'SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion')['phkResult']
seen['product'] = rrp.hBaseRegQueryValue(dce, key, 'ProductName')[1][:-1]
seen['major'] = rrp.hBaseRegQueryValue(dce, key, 'CurrentMajorVersionNumber')[1]
seen['subkeys'] = [rrp.hBaseRegEnumKey(dce, key, 0)['lpNameOut'][:-1]]
info = rrp.hBaseRegQueryInfoKey(dce, key)
seen['counts'] = [info['lpcSubKeys'], info['lpcValues']]
made = rrp.hBaseRegCreateKey(dce, root, 'SOFTWARE\\Test')['phkResult']
rrp.hBaseRegSetValue(dce, made, 'Site', rrp.REG_SZ, 'P01\0')
seen['set'] = rrp.hBaseRegQueryValue(dce, made, 'Site')[1][:-1]
rrp.hBaseRegDeleteValue(dce, made, 'Site')
rrp.hBaseRegDeleteKey(dce, root, 'SOFTWARE\\Test')
seen['no key'] = code(lambda: rrp.hBaseRegOpenKey(dce, root, 'SOFTWARE\\Test'))

dce = bind('srvsvc', srvs.MSRPC_UUID_SRVS)
info = srvs.hNetrServerGetInfo(dce, 101)['InfoStruct']['ServerInfo101']
seen['server'] = [info['sv101_name'][:-1], info['sv101_version_major'], info['sv101_type']]
share = srvs.hNetrShareGetInfo(dce, 'ADMIN$\0', 2)['InfoStruct']['ShareInfo2']
seen['share'] = [share['shi2_netname'][:-1], share['shi2_path'][:-1]]
shares = srvs.hNetrShareEnum(dce, 1)['InfoStruct']['ShareInfo']['Level1']['Buffer']
seen['shares'] = [one['shi1_netname'][:-1] for one in shares]
seen['time'] = srvs.hNetrRemoteTOD(dce)['BufferPtr']['tod_elapsedt'] > 1500000000
print(json.dumps(seen))
`;

for (const encrypt of ['off', 'required'] as const) {
  const how = encrypt === 'required' ? 'an encrypting' : 'a signing';
  test(`impacket works on our RPC server behind ${how} smbd`, need('root', 'smbd', 'impacket'), async (t) => {
    // impacket 0.10 derives no keys for the encryption of 3.1.1, so it is met on 3.0.
    const { lab, smbd } = await estate(t, encrypt, ['server min protocol = SMB3_00']);
    const args = ['-c', IMPACKET, smbd.address, String(smbd.port), smbd.username, GONE, String(0x0300)];
    const { out } = await run('/usr/bin/python3', args, { PASSWORD: smbd.password });
    const line = out.trim().split('\n').at(-1) ?? '';
    assert.ok(line.startsWith('{'), out);
    assert.deepEqual(JSON.parse(line), {
      again: 1073,
      'same display name': 1078,
      config: [2, 'C:\\Windows\\ccmsetup\\ccmsetup.exe', 'SMS setup', 'LocalSystem'],
      disabled: 1058,
      'running twice': 1056,
      state: 4,
      stopped: 1,
      'not active': 1062,
      marked: 1072,
      'still there': 0,
      gone: 1060,
      'no program': 2,
      listed: ['LanmanServer', 'broken'],
      product: 'Windows 10 Enterprise',
      major: 10,
      subkeys: ['Winlogon'],
      counts: [1, 2],
      set: 'P01',
      'no key': 2,
      server: ['LAB1', 10, 0x1003],
      share: ['ADMIN$', 'C:\\Windows'],
      shares: ['ADMIN$', 'C$', 'IPC$'],
      time: true,
    });
    assert.equal(lab.started[0]?.args.length, 300);
    assert.equal(lab.started[0]?.args[299], 'argument number 299');
    assert.deepEqual(lab.complaints, []);
  });
}
