import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startLabSmb, type LabSmb } from '#test/lab-smb';
import { need } from '#test/need';

const PASSWORD = 'Admin-Only-1!';

interface Said {
  code: number;
  out: string;
}

/** run starts somebody else's program; the password goes by a file or the environment, never by the command line. */
function run(command: string, args: string[], env: Record<string, string> = {}): Promise<Said> {
  return new Promise((resolve) => {
    execFile(command, args, { timeout: 60_000, env: { ...process.env, ...env } }, (error, stdout, stderr) =>
      resolve({ code: error ? 1 : 0, out: stdout + stderr }),
    );
  });
}

async function scratch(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lab-estate-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

function smbclient(lab: LabSmb, folder: string, options: string[], script: string): Promise<Said> {
  const auth = join(folder, 'auth');
  const share = `//${lab.address}/ADMIN$`;
  const quiet = ['--option=client min protocol=SMB2_02', '-s', '/dev/null'];
  return writeFile(auth, `username=Administrator\npassword=${PASSWORD}\ndomain=LAB1\n`, { mode: 0o600 }).then(() =>
    run('smbclient', [share, '-p', String(lab.port), '-A', auth, ...quiet, ...options, '-c', script]),
  );
}

async function session(lab: LabSmb, folder: string, options: string[]): Promise<void> {
  const sent = randomBytes(3_000_000);
  await writeFile(join(folder, 'sent'), sent);
  const local = (name: string) => join(folder, name);
  const script = [
    'mkdir ccmsetup',
    'cd ccmsetup',
    `put ${local('sent')} setup.exe`,
    'ls',
    `get SETUP.EXE ${local('back')}`,
    'rename setup.exe other.exe',
    'rm OTHER.exe',
    'cd ..',
    'rmdir ccmsetup',
    'ls gone.txt',
  ].join('; ');
  const { out } = await smbclient(lab, folder, options, script);
  assert.match(out, /setup\.exe +A +3000000 /, out);
  assert.deepEqual(await readFile(local('back')), sent);
  assert.match(out, /NT_STATUS_NO_SUCH_FILE listing \\gone\.txt/);
  assert.doesNotMatch(out, /NT_STATUS_(?!NO_SUCH_FILE)/);
  assert.equal(await lab.disk.find(['Windows', 'ccmsetup']), undefined);
  assert.deepEqual(lab.complaints, []);
}

for (const dialect of ['SMB2_10', 'SMB3_00', 'SMB3_02', 'SMB3_11']) {
  for (const protection of dialect === 'SMB2_10' ? ['sign'] : ['sign', 'encrypt']) {
    test(`smbclient works on a lab host in ${dialect} with ${protection}`, need('smbclient'), async (t) => {
      const lab = await startLabSmb(t);
      await session(lab, await scratch(t), ['-m', dialect, `--client-protection=${protection}`]);
    });
  }
}

test('smbclient works with each cipher and each signing of 3.1.1', need('smbclient'), async (t) => {
  const lab = await startLabSmb(t);
  const folder = await scratch(t);
  for (const cipher of ['aes-128-ccm', 'aes-128-gcm', 'aes-256-ccm', 'aes-256-gcm'])
    await session(lab, folder, [
      '-m',
      'SMB3_11',
      '--client-protection=encrypt',
      `--option=client smb3 encryption algorithms=${cipher}`,
    ]);
  for (const signing of ['hmac-sha256', 'aes-128-cmac', 'aes-128-gmac'])
    await session(lab, folder, [
      '-m',
      'SMB3_11',
      '--client-protection=sign',
      `--option=client smb3 signing algorithms=${signing}`,
    ]);
});

test('smbclient that begins with SMB1 is led to SMB2, as Windows does it', need('smbclient'), async (t) => {
  const lab = await startLabSmb(t);
  await session(lab, await scratch(t), ['-m', 'SMB3_11', '--option=client min protocol=NT1']);
});

test('smbclient works on a host that encrypts everything, and on a share that does', need('smbclient'), async (t) => {
  const folder = await scratch(t);
  await session(await startLabSmb(t, { speech: { encryptAll: true } }), folder, ['-m', 'SMB3_11']);
  await session(await startLabSmb(t, { encryptShare: true }), folder, ['-m', 'SMB3_11']);
});

test('smbclient is told why it may not', need('smbclient'), async (t) => {
  const lab = await startLabSmb(t, { freeBytes: 1000 });
  const folder = await scratch(t);
  const refused = async (args: string[], pattern: RegExp) =>
    assert.match((await run('smbclient', ['-s', '/dev/null', '-p', String(lab.port), ...args])).out, pattern);
  const env = { PASSWD: 'nonsense' };
  const wrong = await run(
    'smbclient',
    ['-s', '/dev/null', '-p', String(lab.port), `//${lab.address}/ADMIN$`, '-U', 'Administrator', '-c', 'ls'],
    env,
  );
  assert.match(wrong.out, /NT_STATUS_LOGON_FAILURE/);
  await refused([`//${lab.address}/ADMIN$`, '-N', '-c', 'ls'], /NT_STATUS_(LOGON_FAILURE|ACCESS_DENIED)/);
  await writeFile(join(folder, 'big'), new Uint8Array(5000));
  assert.match((await smbclient(lab, folder, [], `put ${join(folder, 'big')} big`)).out, /NT_STATUS_DISK_FULL/);
  assert.deepEqual(lab.complaints, []);
});

/** impacket 0.10 begins the hash of a session in dialect 3.1.1 at zero instead of at that of the connection; this sets it right. */
const IMPACKET = `
import io, os, sys
from impacket.smbconnection import SMBConnection, SessionError
from impacket import smb3structs as s
port = int(sys.argv[1])
for dialect in (s.SMB2_DIALECT_21, s.SMB2_DIALECT_30, s.SMB2_DIALECT_311, None):
    c = SMBConnection('LAB1', '127.0.0.1', sess_port=port, preferredDialect=dialect)
    low = c._SMBConnection
    low._Session['PreauthIntegrityHashValue'] = low._Connection['PreauthIntegrityHashValue']
    c.login('Administrator', os.environ['LAB_PASSWORD'], 'LAB1')
    assert c.isSigningRequired()
    c.createDirectory('ADMIN$', 'imp')
    data = os.urandom(1500000)
    c.putFile('ADMIN$', 'imp\\\\f.bin', io.BytesIO(data).read)
    out = io.BytesIO()
    c.getFile('ADMIN$', 'IMP\\\\F.BIN', out.write)
    assert out.getvalue() == data
    assert [f.get_longname() for f in c.listPath('ADMIN$', 'imp\\\\*')] == ['.', '..', 'f.bin']
    for path, wanted in (('..\\\\x', 'OBJECT_PATH_SYNTAX_BAD'), ('no\\\\x', 'OBJECT_PATH_NOT_FOUND'), ('x', 'OBJECT_NAME_NOT_FOUND')):
        try:
            c.deleteFile('ADMIN$', path)
            raise AssertionError(path)
        except SessionError as e:
            assert wanted in str(e), e
    try:
        c.deleteDirectory('ADMIN$', 'imp')
        raise AssertionError('not empty')
    except SessionError as e:
        assert 'DIRECTORY_NOT_EMPTY' in str(e), e
    c.deleteFile('ADMIN$', 'imp\\\\f.bin')
    c.deleteDirectory('ADMIN$', 'imp')
    print('ok', hex(c.getDialect()))
    c.logoff()
`;

test('impacket works on a lab host in 2.1, 3.0 and 3.1.1', need('impacket'), async (t) => {
  const lab = await startLabSmb(t);
  const { code, out } = await run('/usr/bin/python3', ['-c', IMPACKET, String(lab.port)], { LAB_PASSWORD: PASSWORD });
  assert.equal(code, 0, out);
  assert.deepEqual(out.match(/ok 0x\d+/g), ['ok 0x210', 'ok 0x300', 'ok 0x311', 'ok 0x300']);
  assert.deepEqual(lab.complaints, []);
});
