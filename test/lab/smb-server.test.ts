import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { ManualClock } from '#base/clock';
import { isCode, PushpointError } from '#base/errors';
import { ACCESS, DIALECT, DISPOSITION, type CipherName, type SigningName } from '#wire/smb';
import { STATUS } from '#wire/status';
import { startLabSmb, type LabSmb } from '#test/lab-smb';

const withStatus = (status: number) => (error: unknown) => error instanceof PushpointError && error.ntstatus === status;

async function roundTrip(lab: LabSmb, options: Parameters<LabSmb['connect']>[0]) {
  const session = await lab.connect(options);
  const admin = await session.tree('ADMIN$');
  const data = new Uint8Array(randomBytes(2_500_000));
  await admin.mkdir('ccmsetup\\logs');
  await admin.writeFile('ccmsetup\\big.bin', data);
  assert.deepEqual(new Uint8Array(await admin.readFile('CCMSETUP\\BIG.BIN', { maxBytes: 3e6 })), data);
  assert.deepEqual((await admin.list('ccmsetup')).map((file) => file.name).sort(), ['big.bin', 'logs']);
  assert.equal(await admin.remove('ccmsetup\\big.bin'), true);
  const { dialect, signing, cipher } = session;
  await session.logoff();
  assert.deepEqual(lab.complaints, []);
  return { dialect, signing, cipher };
}

for (const dialect of [DIALECT.SMB210, DIALECT.SMB300, DIALECT.SMB302, DIALECT.SMB311]) {
  for (const encryption of ['off', 'offered'] as const) {
    test(`files go both ways in dialect ${dialect.toString(16)} with encryption ${encryption}`, async (t) => {
      const lab = await startLabSmb(t);
      const spoken = await roundTrip(lab, { dialects: [dialect], encryption });
      assert.equal(spoken.dialect, dialect);
      assert.equal(spoken.cipher !== undefined, encryption === 'offered' && dialect >= DIALECT.SMB300);
    });
  }
}

test('each cipher and each signing of 3.1.1 carries files', async (t) => {
  const lab = await startLabSmb(t);
  for (const cipher of ['AES-128-CCM', 'AES-128-GCM', 'AES-256-CCM', 'AES-256-GCM'] as CipherName[])
    assert.equal((await roundTrip(lab, { ciphers: [cipher] })).cipher, cipher);
  for (const signing of ['HMAC-SHA256', 'AES-CMAC', 'AES-GMAC'] as SigningName[])
    assert.equal((await roundTrip(lab, { signings: [signing], encryption: 'off' })).signing, signing);
});

test('a server that encrypts everything turns down whoever cannot, and a share that encrypts does so too', async (t) => {
  const strict = await startLabSmb(t, { speech: { encryptAll: true } });
  assert.ok((await roundTrip(strict, {})).cipher);
  await assert.rejects(strict.connect({ dialects: [DIALECT.SMB210] }), withStatus(STATUS.ACCESS_DENIED));
  const share = await startLabSmb(t, { encryptShare: true });
  const plain = await share.connect({ dialects: [DIALECT.SMB210] });
  await plain.tree('IPC$');
  await assert.rejects(plain.tree('ADMIN$'), withStatus(STATUS.ACCESS_DENIED));
  await plain.logoff();
});

test('who is not let in is told why in the words of Windows, and nobody becomes a guest', async (t) => {
  const lab = await startLabSmb(t);
  await assert.rejects(lab.connect({ password: 'wrong' }), withStatus(STATUS.LOGON_FAILURE));
  const session = await lab.connect({ as: 'ordinary' });
  await session.tree('IPC$');
  await assert.rejects(session.tree('ADMIN$'), withStatus(STATUS.ACCESS_DENIED));
  await assert.rejects(session.tree('NOPE$'), withStatus(STATUS.BAD_NETWORK_NAME));
  await session.logoff();
  await assert.rejects(lab.connect({ dialects: [DIALECT.SMB202] }), withStatus(STATUS.NOT_SUPPORTED));
});

test('what a disk refuses reaches the client with its status', async (t) => {
  const lab = await startLabSmb(t, { freeBytes: 100_000 });
  const session = await lab.connect();
  const admin = await session.tree('ADMIN$');
  await assert.rejects(admin.writeFile('big', new Uint8Array(200_000)), withStatus(STATUS.DISK_FULL));
  await assert.rejects(admin.readFile('gone', { maxBytes: 10 }), withStatus(STATUS.OBJECT_NAME_NOT_FOUND));
  await assert.rejects(admin.readFile('no\\gone', { maxBytes: 10 }), withStatus(STATUS.OBJECT_PATH_NOT_FOUND));
  assert.equal(await admin.remove('gone'), false);
  await admin.writeFile('held', new Uint8Array(3));
  const held = await lab.disk.open(['Windows', 'held'], { access: ACCESS.READ_DATA, share: 0, disposition: DISPOSITION.OPEN });
  await assert.rejects(admin.writeFile('HELD', new Uint8Array(5)), withStatus(STATUS.SHARING_VIOLATION));
  await held.close();
  assert.equal(await admin.createNew('held', new Uint8Array(1)), false);
  assert.equal(await admin.createNew('new', new Uint8Array(1)), true);
  await admin.rename('new', 'newer', { replace: false });
  assert.equal((await admin.stat('NEWER'))?.size, 1n);
  assert.equal(await admin.freeBytes(), BigInt(Math.floor(lab.disk.freeBytes / 4096) * 4096));
  await session.logoff();
});

test('a pipe keeps messages apart and gives a long one in pieces', async (t) => {
  const lab = await startLabSmb(t);
  const session = await lab.connect();
  const ipc = await session.tree('IPC$');
  await assert.rejects(ipc.openPipe('none'), (error: unknown) => isCode(error) || error instanceof PushpointError);
  const pipe = await ipc.openPipe('echo');
  assert.deepEqual(new Uint8Array(await pipe.transact(Uint8Array.of(1, 2, 3), 100)), Uint8Array.of(3, 2, 1));
  const long = Uint8Array.from({ length: 1000 }, (_, i) => i % 200);
  const parts = [new Uint8Array(await pipe.transact(long, 400))];
  parts.push(new Uint8Array(await pipe.read(400)), new Uint8Array(await pipe.read(400)));
  assert.deepEqual(
    parts.map((part) => part.length),
    [400, 400, 200],
  );
  assert.deepEqual(Uint8Array.from(parts.flatMap((part) => [...part])), long.slice().reverse());
  await pipe.write(Uint8Array.of(9, 8));
  await pipe.write(Uint8Array.of(7));
  assert.deepEqual(new Uint8Array(await pipe.read(100)), Uint8Array.of(8, 9));
  assert.deepEqual(new Uint8Array(await pipe.read(100)), Uint8Array.of(7));
  await pipe.close();
  await session.logoff();
});

test('what takes long is announced as pending, and the client waits for it', async (t) => {
  const ours = new ManualClock();
  const theirs = new ManualClock();
  let release: (() => void) | undefined;
  let isSlow = false;
  const lab = await startLabSmb(t, {
    clock: theirs,
    delay: () => (isSlow ? new Promise((resolve) => (release = resolve)) : Promise.resolve()),
  });
  const session = await lab.connect({ clock: ours, timeouts: { operationMs: 1000 } });
  const admin = await session.tree('ADMIN$');
  isSlow = true;
  const look = admin.stat('nothing');
  await until(() => release !== undefined);
  await ours.advance(900);
  const before = session.stats.bytesIn;
  await theirs.advance(600);
  await until(() => session.stats.bytesIn > before);
  // Without the interim answer the client would have given up by now.
  await ours.advance(900);
  isSlow = false;
  release!();
  assert.equal(await look, undefined);
  await session.logoff();
});

test('points of a push are told in order, and logoff lets go of everything', async (t) => {
  const lab = await startLabSmb(t);
  const session = await lab.connect();
  const admin = await session.tree('ADMIN$');
  await admin.writeFile('lock', Uint8Array.of(1));
  assert.equal(lab.points.includes('copy'), false);
  await admin.writeFile('program', new Uint8Array(50_000));
  assert.deepEqual(lab.points, ['connect', 'negotiate', 'logon', 'admin-share', 'copy']);
  const open = await admin.openPipe('x').catch(() => undefined);
  assert.equal(open, undefined, 'ADMIN$ has no pipes');
  await session.logoff();
  await until(() => lab.server.connections === 0);
});

test('a connection without a logon ends, and so does a session that is silent too long', async (t) => {
  const clock = new ManualClock();
  const lab = await startLabSmb(t, { clock, limits: { logonMs: 1000, idleMs: 60_000 } });
  const session = await lab.connect();
  await clock.advance(30_000);
  assert.equal(lab.server.connections, 1);
  const admin = await session.tree('ADMIN$');
  await clock.advance(59_000);
  await admin.list('');
  await clock.advance(61_000);
  await until(() => lab.server.connections === 0);
});

async function until(fact: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !fact(); i++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(fact());
}
