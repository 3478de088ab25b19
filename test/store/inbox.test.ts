import assert from 'node:assert/strict';
import { fork, spawnSync } from 'node:child_process';
import {
  appendFile,
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { systemClock, type Clock } from '#base/clock';
import { raise } from '#base/errors';
import { JsonLog } from '#base/log';
import { need } from '#test/need';
import { Inbox, writeAtomic, type InboxFile, type InboxOptions } from '#store/inbox';

const home = await mkdtemp(path.join(tmpdir(), 'pushpoint inbox ä '));
after(() => rm(home, { recursive: true, force: true }));
let count = 0;

interface Rig {
  dir: string;
  files: InboxFile[];
  lines: string[];
  stop: () => Promise<void>;
}

/** open runs an inbox on a fresh folder; `work` decides what becomes of a file after it was noted. */
function open(
  t: TestContext,
  work: (file: InboxFile) => Promise<void> = () => Promise.resolve(),
  more: Partial<InboxOptions> = {},
): Rig {
  const dir = more.dir ?? path.join(home, String(count++));
  const files: InboxFile[] = [];
  const lines: string[] = [];
  const log = new JsonLog(systemClock, (line) => lines.push(line), 'debug');
  const inbox = new Inbox({ dir, clock: systemClock, log, quietMs: 60, pollMs: 150, ...more });
  const stop = inbox.take(async (file) => {
    files.push(file);
    await work(file);
  });
  t.after(stop);
  return { dir, files, lines, stop };
}

async function until(what: string, look: () => boolean | Promise<boolean>, ms = 30_000): Promise<void> {
  const deadline = systemClock.monotonic() + ms;
  while (!(await look())) {
    if (systemClock.monotonic() > deadline) assert.fail(`waited in vain for: ${what}`);
    await systemClock.sleep(10);
  }
}

const names = (folder: string) => readdir(folder).catch(() => [] as string[]);
const settled = (dir: string) =>
  until('an empty inbox', async () => (await names(dir)).length === 2 && (await names(path.join(dir, 'inproc'))).length === 0);
const isThere = (folder: string) =>
  until(`the folder ${folder}`, async () => (await stat(folder).catch(() => undefined)) !== undefined);

test('a file that is dropped is worked once and removed', async (t) => {
  const { dir, files } = open(t);
  await isThere(path.join(dir, 'bad'));
  await writeFile(path.join(dir, 'PC1.ccr'), '[x]\r\n');
  await settled(dir);
  assert.deepEqual(
    files.map(({ name, bytes }) => [name, new TextDecoder().decode(bytes)]),
    [['PC1.ccr', '[x]\r\n']],
  );
  assert.equal(files[0]!.path, path.join(dir, 'inproc', 'PC1.ccr'));
});

test('a file that is still being written is not taken before it is complete', async (t) => {
  // Many times the pause between two lines, so that a writer who is kept waiting is none who has ended.
  const { dir, files } = open(t, undefined, { quietMs: 1000 });
  await isThere(path.join(dir, 'bad'));
  const file = path.join(dir, 'slow.ccr');
  for (let n = 0; n < 8; n++) {
    await appendFile(file, `line ${n}\n`);
    await systemClock.sleep(25);
  }
  await settled(dir);
  assert.equal(files.length, 1);
  assert.match(new TextDecoder().decode(files[0]!.bytes), /line 0\n(.*\n)*line 7\n$/);
});

test('a file that appears by rename or writeAtomic is taken; drafts beside it are not', async (t) => {
  const { dir, files } = open(t);
  await isThere(path.join(dir, 'bad'));
  for (const draft of ['.hidden', 'a.tmp', 'b.part', 'c.ccr~']) await writeFile(path.join(dir, draft), 'draft');
  await writeFile(path.join(home, 'beside'), 'one');
  await rename(path.join(home, 'beside'), path.join(dir, 'moved.ccr'));
  await writeAtomic(path.join(dir, 'atomic.ccr'), 'two');
  await until('both files', () => files.length === 2);
  assert.deepEqual(files.map(({ name }) => name).sort(), ['atomic.ccr', 'moved.ccr']);
  await until('no file in work', async () => (await names(path.join(dir, 'inproc'))).length === 0);
  assert.deepEqual((await names(dir)).sort(), ['.hidden', 'a.tmp', 'b.part', 'bad', 'c.ccr~', 'inproc']);
});

test('folders, links and pipes are left alone, never followed, and told of once', async (t) => {
  const { dir, files, lines } = open(t);
  await isThere(path.join(dir, 'bad'));
  await writeFile(path.join(home, 'secret'), 'not for the inbox');
  await symlink(path.join(home, 'secret'), path.join(dir, 'link.ccr'));
  await mkdir(path.join(dir, 'folder.ccr'));
  assert.equal(spawnSync('mkfifo', [path.join(dir, 'pipe.ccr')]).status, 0);
  await writeFile(path.join(dir, 'real.ccr'), 'x');
  await until('the plain file', () => files.length === 1);
  // A second one after it: by then the others have been looked at more often than it takes.
  await writeFile(path.join(dir, 'second.ccr'), 'x');
  await until('the second', () => files.length === 2);
  assert.deepEqual(
    files.map(({ name }) => name),
    ['real.ccr', 'second.ccr'],
  );
  assert.deepEqual((await names(dir)).sort(), ['bad', 'folder.ccr', 'inproc', 'link.ccr', 'pipe.ccr']);
  assert.equal(await readFile(path.join(home, 'secret'), 'utf8'), 'not for the inbox');
  const told = lines.flatMap((line) => /"what is no plain file .*"name":"([^"]+)"/.exec(line)?.[1] ?? []);
  assert.deepEqual(told.sort(), ['folder.ccr', 'link.ccr', 'pipe.ccr']);
});

test('a malformed file goes to bad with its reason, and an earlier one of that name stays', async (t) => {
  const { dir, files } = open(t, () =>
    Promise.reject(raise('PP_WIRE_MALFORMED', { message: 'CCR', field: 'f', offset: 3, why: 'odd' }, { detail: 'line 2' })),
  );
  for (const [n, text] of ['first', 'second'].entries()) {
    await isThere(path.join(dir, 'bad'));
    await writeFile(path.join(dir, 'x.ccr'), text);
    await until('the rejection', async () => (await names(path.join(dir, 'bad'))).length === 2 * (n + 1));
  }
  const bad = path.join(dir, 'bad');
  await settled(dir);
  assert.deepEqual((await names(bad)).sort(), ['x.ccr', 'x.ccr.2', 'x.ccr.2.reason', 'x.ccr.reason']);
  assert.equal(await readFile(path.join(bad, 'x.ccr'), 'utf8'), 'first');
  assert.equal(await readFile(path.join(bad, 'x.ccr.2'), 'utf8'), 'second');
  assert.match(
    await readFile(path.join(bad, 'x.ccr.reason'), 'utf8'),
    /^20.*Z\nPP_WIRE_MALFORMED: field f at offset 3.*\nline 2\nCause: .*\nRemedy: .*\n$/,
  );
  assert.equal(files.length, 2);
});

test('a file above the limit goes to bad and its content is not read', async (t) => {
  const { dir, files } = open(t, undefined, { limit: 1000 });
  await isThere(path.join(dir, 'bad'));
  await writeFile(path.join(dir, 'just.ccr'), 'x'.repeat(1000));
  await writeFile(path.join(dir, 'big.ccr'), 'x'.repeat(1001));
  await settled(dir);
  assert.deepEqual(
    files.map(({ name }) => name),
    ['just.ccr'],
  );
  assert.match(await readFile(path.join(dir, 'bad/big.ccr.reason'), 'utf8'), /PP_STORE_INBOX_TOO_BIG.*1001 octets, at most 1000/);
});

test('what fails for a passing cause is tried again and not lost', async (t) => {
  let fails = 1;
  const { dir, files } = open(t, () =>
    fails-- > 0 ? Promise.reject(raise('PP_STORE_UNREACHABLE', { where: 'x' })) : Promise.resolve(),
  );
  await isThere(path.join(dir, 'bad'));
  await writeFile(path.join(dir, 'x.ccr'), 'x');
  await until('the first try', () => files.length === 1);
  assert.deepEqual(await names(path.join(dir, 'inproc')), ['x.ccr']);
  await settled(dir);
  assert.equal(files.length, 2);
});

test('a second file of a name that is being worked waits for its turn', async (t) => {
  let finish!: () => void;
  const first = new Promise<void>((resolve) => (finish = resolve));
  const { dir, files } = open(t, ({ bytes }) => (bytes[0] === 0x31 ? first : Promise.resolve()));
  await isThere(path.join(dir, 'bad'));
  await writeFile(path.join(dir, 'x.ccr'), '1');
  await until('the first', () => files.length === 1);
  await writeFile(path.join(dir, 'x.ccr'), '2');
  // One of another name after it: by then it would have been taken if it were not held back.
  await writeFile(path.join(dir, 'y.ccr'), 'y');
  await until('the other', () => files.length === 2);
  assert.equal(files[1]!.name, 'y.ccr');
  assert.equal(await readFile(path.join(dir, 'inproc/x.ccr'), 'utf8'), '1');
  finish();
  await settled(dir);
  assert.deepEqual(
    files.map(({ bytes }) => String.fromCharCode(...bytes)),
    ['1', 'y', '2'],
  );
});

test('names that are no text, too long or full of control characters are taken under a plain name', async (t) => {
  const { dir, files } = open(t);
  await isThere(path.join(dir, 'bad'));
  const raw = Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0x41, 0xff, 0xfe]), Buffer.from('.ccr')]);
  await writeFile(raw, 'octets');
  for (const name of ['Bürö 7.ccr', 'line\nbreak.ccr', '-rf', `${'n'.repeat(250)}.ccr`, "'; drop table x --.ccr", '日本.ccr'])
    await writeFile(path.join(dir, name), name);
  await settled(dir);
  const seen = files.map(({ name }) => name);
  assert.equal(seen.length, 7);
  for (const name of ['Bürö 7.ccr', 'line%0Abreak.ccr', '-rf', 'A%FF%FE.ccr', "'; drop table x --.ccr", '日本.ccr'])
    assert.ok(seen.includes(name), `${name} among ${seen.join(' ')}`);
  const long = seen.find((name) => name.startsWith('nnn'))!;
  assert.ok(Buffer.byteLength(long) <= 220 && long.endsWith('.ccr'), long);
});

test('thousands of files at once are all worked, a few at a time', async (t) => {
  let now = 0;
  let most = 0;
  const { dir, files } = open(t, async () => {
    most = Math.max(most, ++now);
    await systemClock.sleep(0);
    now--;
  });
  await isThere(path.join(dir, 'bad'));
  await Promise.all(Array.from({ length: 1500 }, (_, n) => writeFile(path.join(dir, `PC${n}.ccr`), String(n))));
  await settled(dir);
  assert.equal(new Set(files.map(({ name }) => name)).size, 1500);
  assert.equal(files.length, 1500);
  assert.ok(most <= 8, `${most} at once`);
});

test('a folder that is deleted while the inbox runs is made again and goes on', async (t) => {
  const { dir, files } = open(t);
  await isThere(path.join(dir, 'bad'));
  await rm(dir, { recursive: true, maxRetries: 10, retryDelay: 20 });
  await isThere(path.join(dir, 'bad'));
  await writeFile(path.join(dir, 'x.ccr'), 'x');
  await until('the file', () => files.length === 1);
});

test('a file that vanishes between two looks is forgotten', async (t) => {
  const { dir, files, lines } = open(t);
  await isThere(path.join(dir, 'bad'));
  for (let n = 0; n < 20; n++) {
    await writeFile(path.join(dir, `${n}.ccr`), 'x');
    await systemClock.sleep(n * 5);
    await unlink(path.join(dir, `${n}.ccr`)).catch(() => {});
  }
  await settled(dir);
  assert.ok(files.length <= 20);
  assert.ok(!lines.some((line) => /"level":"(error|warn)"/.test(line)), lines.join(''));
});

test('a folder that cannot be used is told once, and work goes on when it can', async (t) => {
  const dir = path.join(home, 'blocked');
  await writeFile(dir, 'a file where the folder should be');
  let looks = 0;
  const clock: Clock = { ...systemClock, after: (ms, fn) => (looks++, systemClock.after(ms, fn)) };
  const { files, lines } = open(t, undefined, { dir, clock });
  const told = () => lines.filter((line) => line.includes('inbox cannot be used'));
  await until('the complaint', () => told().length > 0);
  const first = looks;
  await until('more looks, which say nothing new', () => looks >= first + 3);
  assert.equal(told().length, 1, lines.join(''));
  assert.match(told()[0]!, /PP_STORE_INBOX_FOLDER/);
  await unlink(dir);
  await isThere(path.join(dir, 'bad'));
  await writeFile(path.join(dir, 'x.ccr'), 'x');
  await until('the file', () => files.length === 1);
  assert.ok(lines.some((line) => line.includes('inbox can be used again')));
});

test('a link in place of bad or inproc is refused', async (t) => {
  const dir = path.join(home, 'linked');
  await mkdir(dir);
  await mkdir(path.join(home, 'elsewhere'));
  await symlink(path.join(home, 'elsewhere'), path.join(dir, 'bad'));
  await writeFile(path.join(dir, 'x.ccr'), 'x');
  const { files, lines } = open(t, undefined, { dir });
  await until('the complaint', () => lines.some((line) => line.includes('PP_STORE_INBOX_FOLDER')));
  assert.deepEqual(files, []);
});

const CHILD = new URL('../support/inbox-child.ts', import.meta.url);

test('a process that is killed while it works a file finds it again at its next start', async (t) => {
  const dir = path.join(home, 'killed');
  const child = fork(CHILD, [dir], { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  const taken = new Promise((resolve) => child.once('message', resolve));
  await isThere(path.join(dir, 'bad'));
  await writeFile(path.join(dir, 'x.ccr'), 'precious');
  assert.equal(await taken, 'x.ccr');
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('exit', resolve));
  assert.deepEqual(await names(path.join(dir, 'inproc')), ['x.ccr']);
  const { files } = open(t, undefined, { dir });
  await settled(dir);
  assert.equal(new TextDecoder().decode(files[0]!.bytes), 'precious');
});

test('on a disk that is full or read-only no file is lost', { ...need('root') }, async (t) => {
  const dir = path.join(home, 'full');
  await mkdir(dir, { recursive: true });
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,nr_inodes=24', 'none', dir]).status !== 0)
    return t.skip('may not mount a small disk');
  t.after(() => spawnSync('umount', ['-l', dir]));
  const { files, lines, stop } = open(
    t,
    () => Promise.reject(raise('PP_WIRE_MALFORMED', { message: 'CCR', field: 'f', offset: 3, why: 'odd' })),
    { dir },
  );
  await isThere(path.join(dir, 'bad'));
  await writeFile(path.join(dir, 'x.ccr'), 'x');
  // The file that fills the disk is a draft, so that the inbox leaves it alone.
  await writeFile(path.join(dir, 'fill.tmp'), Buffer.alloc(1 << 20)).catch(() => {});
  await until('the move to bad without room for a reason', async () => (await names(path.join(dir, 'bad'))).includes('x.ccr'));
  assert.equal(files.length, 1);
  await rm(path.join(dir, 'fill.tmp'));
  await writeFile(path.join(dir, 'y.ccr'), 'y');
  assert.equal(spawnSync('mount', ['-o', 'remount,ro', dir]).status, 0);
  await until('the complaint', () => lines.some((line) => line.includes('EROFS')));
  assert.equal(spawnSync('mount', ['-o', 'remount,rw', dir]).status, 0);
  await until('the file after all', () => files.some(({ name }) => name === 'y.ccr'));
  await stop();
});

test('an unreadable file goes to bad with the reason', async (t) => {
  const dir = path.join(home, 'unreadable');
  await mkdir(dir);
  const asRoot = process.getuid!() === 0;
  await chmod(home, 0o755);
  await chmod(dir, 0o777);
  const child = fork(CHILD, [dir], { stdio: 'ignore', ...(asRoot ? { uid: 65534, gid: 65534 } : {}) });
  t.after(() => child.kill('SIGKILL'));
  await isThere(path.join(dir, 'bad'));
  await writeFile(path.join(dir, 'x.ccr'), 'x', { mode: 0o000 });
  await until('the rejection', async () => (await names(path.join(dir, 'bad'))).length === 2);
  assert.match(await readFile(path.join(dir, 'bad/x.ccr.reason'), 'utf8'), /PP_STORE_INBOX_UNREADABLE.*EACCES/);
});

test('writeAtomic replaces a file wholly, with the rights that are asked for, and leaves no draft', async () => {
  const dir = await mkdtemp(path.join(home, 'atomic-'));
  const file = path.join(dir, 'x');
  await writeAtomic(file, 'one', 0o640);
  await writeAtomic(file, new Uint8Array([1, 2]));
  assert.deepEqual([...(await readFile(file))], [1, 2]);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  await mkdir(path.join(dir, 'folder'));
  await assert.rejects(writeAtomic(path.join(dir, 'folder'), 'x'), { code: 'EISDIR' });
  await Promise.all(Array.from({ length: 50 }, (_, n) => writeAtomic(file, String(n).repeat(1000))));
  assert.match(await readFile(file, 'utf8'), /^(\d+?)\1{999}$/);
  assert.deepEqual((await readdir(dir)).sort(), ['folder', 'x']);
});
