import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ManualClock } from '#base/clock';
import { Disk, DiskError, makeFolders, readWhole, removeWhole, splitPath, writeWhole, type OpenHow } from '#lab/disk';
import { ACCESS, DISPOSITION, SHARE_ACCESS } from '#wire/smb';
import { STATUS } from '#wire/status';

const text = (words: string) => new TextEncoder().encode(words);
const EVERYTHING = ACCESS.READ_DATA | ACCESS.WRITE_DATA | ACCESS.DELETE;
const SHARE_ALL = SHARE_ACCESS.READ | SHARE_ACCESS.WRITE | SHARE_ACCESS.DELETE;

async function newDisk(t: TestContext, options: { freeBytes?: number } = {}) {
  const home = await mkdtemp(join(tmpdir(), 'lab-disk-'));
  t.after(() => rm(home, { recursive: true, force: true }));
  const folder = join(home, 'c');
  return { home, folder, disk: new Disk({ folder, clock: new ManualClock(), ...options }) };
}

const how = (given: Partial<OpenHow> = {}): OpenHow => ({
  access: EVERYTHING,
  share: SHARE_ALL,
  disposition: DISPOSITION.OPEN_IF,
  ...given,
});

const refuses = (work: Promise<unknown>, status: number) =>
  assert.rejects(work, (error: unknown) => error instanceof DiskError && error.status === status);

test('a disk makes its folder only when something looks at it, and furnishes it once', async (t) => {
  const { home, folder } = await newDisk(t);
  let furnished = 0;
  const disk = new Disk({ folder, clock: new ManualClock(), furnish: async () => void furnished++ });
  assert.deepEqual(await readdir(home), []);
  await Promise.all([disk.find(['x']), disk.find(['y'])]);
  assert.deepEqual(await readdir(home), ['c']);
  assert.equal(furnished, 1);
});

test('names are compared without case and keep the case they were made with', async (t) => {
  const { disk, folder } = await newDisk(t);
  await writeWhole(disk, ['Windows', 'CcmSetup', 'Ccmsetup.EXE'], text('one'));
  await writeWhole(disk, ['WINDOWS', 'ccmsetup', 'ccmsetup.exe'], text('two'));
  assert.deepEqual(await readdir(join(folder, 'Windows', 'CcmSetup')), ['Ccmsetup.EXE']);
  assert.equal(new TextDecoder().decode(await readWhole(disk, ['windows', 'CCMSETUP', 'CCMSETUP.exe'])), 'two');
  await refuses(disk.open(['windows', 'ccmSETUP'], how({ disposition: DISPOSITION.CREATE })), STATUS.OBJECT_NAME_COLLISION);
});

test('no path leads out of the root: not by dots, not by slashes, not by streams, not by links', async (t) => {
  const { disk, folder, home } = await newDisk(t);
  await writeFile(join(home, 'outside.txt'), 'not yours');
  await makeFolders(disk, ['in']);
  await symlink(home, join(folder, 'in', 'link'));
  await symlink(join(home, 'outside.txt'), join(folder, 'in', 'file-link'));
  for (const path of ['..\\outside.txt', 'in\\..\\..\\outside.txt', '.', 'in\\.'])
    assert.throws(
      () => splitPath(path),
      (e: unknown) => e instanceof DiskError && e.status === STATUS.OBJECT_PATH_SYNTAX_BAD,
    );
  for (const path of ['../outside.txt', 'a/b', 'x:stream', 'a*', 'nul\0', 'in\\\\x', 'ends.', 'ends ', 'x'.repeat(256), '\ud800'])
    assert.throws(
      () => splitPath(path),
      (e: unknown) => e instanceof DiskError && e.status === STATUS.OBJECT_NAME_INVALID,
      path,
    );
  await refuses(disk.open(['in', 'link', 'outside.txt'], how()), STATUS.ACCESS_DENIED);
  await refuses(disk.open(['in', 'file-link'], how()), STATUS.ACCESS_DENIED);
  const shown = await disk.open(['in'], how({ access: ACCESS.READ_DATA, wants: 'directory' }));
  assert.deepEqual(
    (await shown.list('*')).map((info) => info.name),
    ['.', '..'],
  );
  await shown.close();
  assert.equal(await readFile(join(home, 'outside.txt'), 'utf8'), 'not yours');
});

test('what is missing is told apart: the name, or the way to it', async (t) => {
  const { disk } = await newDisk(t);
  await refuses(disk.open(['gone.txt'], how({ disposition: DISPOSITION.OPEN })), STATUS.OBJECT_NAME_NOT_FOUND);
  await refuses(disk.open(['gone', 'gone.txt'], how()), STATUS.OBJECT_PATH_NOT_FOUND);
  assert.equal(await disk.find(['gone', 'gone.txt']), undefined);
  assert.equal(await removeWhole(disk, ['gone']), false);
});

test('opens share a file only as both of them say', async (t) => {
  const { disk } = await newDisk(t);
  await writeWhole(disk, ['f'], text('x'));
  const reader = await disk.open(['f'], how({ access: ACCESS.READ_DATA, share: SHARE_ACCESS.READ }));
  await refuses(disk.open(['F'], how({ access: ACCESS.WRITE_DATA })), STATUS.SHARING_VIOLATION);
  await refuses(disk.open(['f'], how({ access: ACCESS.DELETE })), STATUS.SHARING_VIOLATION);
  const second = await disk.open(['f'], how({ access: ACCESS.READ_DATA, share: SHARE_ACCESS.READ }));
  const quiet = await disk.open(['f'], how({ access: ACCESS.READ_ATTRIBUTES, share: 0 }));
  for (const file of [reader, second, quiet]) await file.close();
  const writer = await disk.open(['f'], how({ access: ACCESS.WRITE_DATA }));
  await writer.close();
});

test('the program of a running service can be read, and neither written to nor deleted', async (t) => {
  const { disk } = await newDisk(t);
  await writeWhole(disk, ['setup.exe'], text('program'));
  const image = await disk.open(
    ['setup.exe'],
    how({ access: ACCESS.EXECUTE, share: SHARE_ACCESS.READ | SHARE_ACCESS.DELETE, disposition: DISPOSITION.OPEN, image: true }),
  );
  assert.equal((await readWhole(disk, ['setup.exe']))?.length, 7);
  await refuses(writeWhole(disk, ['setup.exe'], text('new')), STATUS.SHARING_VIOLATION);
  await refuses(removeWhole(disk, ['setup.exe']), STATUS.CANNOT_DELETE);
  await image.close();
  await writeWhole(disk, ['setup.exe'], text('new'));
  assert.equal(await removeWhole(disk, ['setup.exe']), true);
});

test('a file that is to be deleted goes with its last handle, and cannot be opened meanwhile', async (t) => {
  const { disk } = await newDisk(t);
  const one = await disk.open(['f'], how());
  const two = await disk.open(['f'], how());
  await one.setDelete(true);
  await refuses(disk.open(['f'], how()), STATUS.DELETE_PENDING);
  await one.close();
  assert.ok(await disk.find(['f']));
  await two.close();
  assert.equal(await disk.find(['f']), undefined);
  await makeFolders(disk, ['full', 'inner']);
  const folder = await disk.open(['full'], how({ wants: 'directory' }));
  await refuses(folder.setDelete(true), STATUS.DIRECTORY_NOT_EMPTY);
  await folder.close();
});

test('a full disk takes small steps only as far as it has room, and gives room back', async (t) => {
  const { disk } = await newDisk(t, { freeBytes: 10 });
  await writeWhole(disk, ['f'], text('1234567'));
  assert.equal(disk.freeBytes, 3);
  await refuses(writeWhole(disk, ['g'], text('1234')), STATUS.DISK_FULL);
  const file = await disk.open(['f'], how({ disposition: DISPOSITION.OPEN }));
  await Promise.allSettled([file.write(7, text('ab')), file.write(9, text('cd'))]);
  assert.ok(disk.freeBytes >= 0, 'two writes at once never take more than there is');
  await file.truncate(0);
  await file.close();
  await removeWhole(disk, ['g']);
  assert.equal(disk.freeBytes, 10);
});

test('rename replaces only when told so, and never what is open', async (t) => {
  const { disk } = await newDisk(t);
  await writeWhole(disk, ['a'], text('A'));
  await writeWhole(disk, ['b'], text('B'));
  const a = await disk.open(['a'], how());
  await refuses(a.rename(['B'], false), STATUS.OBJECT_NAME_COLLISION);
  const b = await disk.open(['b'], how());
  await refuses(a.rename(['b'], true), STATUS.ACCESS_DENIED);
  await b.close();
  await a.rename(['b'], true);
  await a.rename(['B'], false);
  await a.close();
  assert.equal(new TextDecoder().decode(await readWhole(disk, ['b'])), 'A');
  assert.equal(await disk.find(['a']), undefined);
});

test('a listing is filtered as DOS filters, in time that does not explode', async (t) => {
  const { disk } = await newDisk(t);
  for (const name of ['SMSClientInstall.P01', 'win.ini', 'noext', `${'a'.repeat(200)}.txt`])
    await writeWhole(disk, [name], text(''));
  const list = async (pattern: string) => {
    const folder = await disk.open([], how({ access: ACCESS.READ_DATA, wants: 'directory' }));
    const names = (await folder.list(pattern)).map((info) => info.name);
    await folder.close();
    return names;
  };
  assert.deepEqual(await list('smsclientinstall.*'), ['SMSClientInstall.P01']);
  assert.deepEqual(await list('win.???'), ['win.ini']);
  assert.deepEqual(await list('<.ini'), ['win.ini']);
  assert.deepEqual(await list('?oext'), ['noext']);
  assert.equal((await list('*.*')).length, 6);
  assert.deepEqual(await list(`${'*a'.repeat(120)}b`), []);
});

test('times are those of the clock that was handed in', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'lab-disk-'));
  t.after(() => rm(home, { recursive: true, force: true }));
  const clock = new ManualClock('2031-02-03T04:05:06Z');
  const disk = new Disk({ folder: home, clock });
  await writeWhole(disk, ['f'], text('x'));
  const file = await disk.open(['f'], how());
  assert.equal((await file.info()).writtenAt.toISOString(), '2031-02-03T04:05:06.000Z');
  await file.setTimes(undefined, new Date('2001-01-01T00:00:00Z'));
  await file.close();
  const again = await disk.open(['f'], how());
  assert.equal((await again.info()).writtenAt.getUTCFullYear(), 2001);
  await again.close();
});
