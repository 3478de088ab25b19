import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '#base/errors';
import { startLabSmb } from '#test/lab-smb';

test('small files are written, read, listed and removed in one turn-around each', async (t) => {
  const lab = await startLabSmb(t);
  const session = await lab.connect();
  const admin = await session.tree('ADMIN$');
  const spent = async <T>(work: Promise<T>): Promise<[T, number]> => {
    const before = session.stats.turnArounds;
    return [await work, session.stats.turnArounds - before];
  };
  const data = Uint8Array.from({ length: 40_000 }, (_, i) => i % 251);
  assert.deepEqual(await spent(admin.createNew('lock', data)), [true, 1]);
  assert.deepEqual(await spent(admin.createNew('lock', data)), [false, 1]);
  assert.deepEqual(await spent(admin.writeFile('lock', data.subarray(1))), [undefined, 1]);
  const [read, turns] = await spent(admin.readFile('lock', { maxBytes: 50_000 }));
  assert.deepEqual([Buffer.from(read).equals(data.subarray(1)), turns], [true, 1]);
  const [list, once] = await spent(admin.list(''));
  assert.deepEqual([list.map((one) => `${one.name} ${one.size}`), once], [['lock 39999'], 1]);
  assert.deepEqual((await spent(admin.list('', 'nothing.*')))[0], []);
  assert.deepEqual(await spent(admin.remove('lock')), [true, 1]);
  assert.deepEqual(await spent(admin.remove('lock')), [false, 1]);
  await session.logoff();
});

test('empty files, files of more than one request and folders of more than one answer go as well', async (t) => {
  const lab = await startLabSmb(t);
  const session = await lab.connect();
  const admin = await session.tree('ADMIN$');
  await admin.writeFile('empty', new Uint8Array(0));
  assert.equal((await admin.readFile('empty', { maxBytes: 10 })).length, 0);
  const large = Uint8Array.from({ length: 1_500_000 }, (_, i) => (i * 7) % 253);
  await admin.writeFile('large', large);
  assert.ok(Buffer.from(await admin.readFile('large', { maxBytes: 2_000_000 })).equals(large));
  await assert.rejects(admin.readFile('large', { maxBytes: 1_000_000 }), (error) => isCode(error, 'PP_SMB_TOO_BIG'));
  await admin.mkdir('many');
  const names = Array.from({ length: 900 }, (_, i) => `a-rather-long-name-of-a-file-${String(i).padStart(4, '0')}.txt`);
  await Promise.all(names.map((name) => admin.writeFile(`many\\${name}`, Uint8Array.of(1))));
  assert.deepEqual((await admin.list('many')).map((one) => one.name).sort(), names);
  await session.logoff();
});

test('what fails on the way leaves no file open', async (t) => {
  const lab = await startLabSmb(t);
  const session = await lab.connect();
  const admin = await session.tree('ADMIN$');
  await assert.rejects(admin.writeFile('no\\such\\folder', Uint8Array.of(1)), (error) =>
    isCode(error, 'PP_SMB_NO_PATH', 'PP_SMB_NO_FILE'),
  );
  await admin.mkdir('folder');
  await assert.rejects(admin.writeFile('folder', Uint8Array.of(1)), (error) =>
    isCode(error, 'PP_SMB_EXISTS', 'PP_SMB_ACCESS_DENIED', 'PP_SMB_REFUSED'),
  );
  lab.disk.freeBytes = 1000;
  await assert.rejects(admin.writeFile('full', new Uint8Array(50_000)), (error) => isCode(error, 'PP_SMB_DISK_FULL'));
  // Were it still open for writing, nobody could remove it.
  assert.equal(await admin.remove('full'), true);
  await session.logoff();
});
