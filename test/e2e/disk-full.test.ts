import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { TestDisk } from '#test/disk';
import { need } from '#test/need';
import { eventually, WholeSite } from '#test/whole-site';

/** The disk of the data folder fills up, and gets room again: nothing that was acknowledged is lost, and people are told where and what. */

const MIB = 1024 * 1024;
const options = need('root', 'mkfs.ext4');
let site: WholeSite | undefined;
let disk: TestDisk | undefined;

/** fillUp leaves so much on the disk. */
function fillUp(left: number): void {
  const file = openSync(join(site!.folder, 'ballast'), 'a');
  const block = Buffer.alloc(MIB, 1);
  try {
    for (let size = MIB; size >= 4096;) {
      const { bavail, bsize } = statfsSync(site!.folder);
      if (bavail * bsize - left < size) {
        size /= 2;
        continue;
      }
      try {
        writeSync(file, block, 0, size);
      } catch {
        size /= 2;
      }
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

before(async () => {
  if (options.skip) return;
  site = new WholeSite();
  disk = new TestDisk(site.folder, 320 * MIB);
  await (await site.create()).spawn();
  await site.prepare({ csv: 'name,domain\nFIRST,CORP\n', account: { username: 'CORP\\push', password: 'pw' } });
});

after(async () => {
  await disk?.remove();
  await site?.close();
});

const upload = (octets: number) =>
  site!.call<{ code?: string; detail?: string }>('POST', '/content', Buffer.alloc(octets, 3), 'application/octet-stream');

test('files of packages are refused before the disk is full, and taken again when there is room', options, async () => {
  fillUp(20 * MIB);
  const refused = await upload(MIB);
  assert.equal(refused.status, 507, refused.text);
  assert.equal(refused.body.code, 'PP_STORE_DISK_LOW');
  assert.match(refused.body.detail!, new RegExp(`^disk nearly full at ${site!.data}/content: \\d+ MiB are free`));
  assert.deepEqual(readdirSync(join(site!.data, 'content', 'incoming')), [], 'nothing is left of what was refused');
  await site!.importCsv('name,domain\nWHILE-LOW,CORP\n');
  rmSync(join(site!.folder, 'ballast'));
  assert.equal((await upload(MIB)).status, 200);
  // One that would fill the disk is stopped on its way.
  const large = await upload(220 * MIB);
  assert.equal(large.body.code, 'PP_STORE_DISK_LOW', large.text);
});

test('a full disk: the command and the API say so, nothing is lost, and work goes on when there is room', options, async (t) => {
  const box = join(site!.data, 'inboxes', 'ccr.box');
  mkdirSync(box, { recursive: true });
  for (const name of ['DROP1', 'DROP2'])
    writeFileSync(join(site!.folder, name), `[NT Client Configuration Request]\nMachine Name=${name}\n`);
  fillUp(8 * MIB);
  const kept: string[] = [];
  const codes = new Map<string, number>();
  let said = '';
  for (let n = 0; !(codes.has('PP_STORE_DISK_FULL') && n > 40) && n < 400; n++) {
    const names = Array.from({ length: 200 }, (_, i) => `PC${n}-${i}`);
    const csv = `name,domain\n${names.map((name) => `${name},CORP`).join('\n')}\n`;
    const answer = await site!.call<{ code?: string; detail?: string; rejected?: unknown[] }>(
      'POST',
      '/devices/import',
      csv,
      'text/csv',
    );
    if (answer.status === 200) kept.push(...names);
    else codes.set(answer.body.code!, (codes.get(answer.body.code!) ?? 0) + 1);
    if (answer.body.code === 'PP_STORE_DISK_FULL') said = answer.body.detail!;
    if (n === 20) renameSync(join(site!.folder, 'DROP1'), join(box, 'DROP1.ccr'));
    if (n === 30) fillUp(0);
  }
  renameSync(join(site!.folder, 'DROP2'), join(box, 'DROP2.ccr'));
  t.diagnostic(`${kept.length} machines taken; refused with ${[...codes].map(([code, n]) => `${code} ${n}×`).join(', ')}`);
  assert.ok(kept.length > 0, 'some were taken before');
  assert.match(said, new RegExp(`^disk full at ${site!.data}/database`));
  assert.deepEqual(
    [...codes.keys()].filter((code) => !/^PP_STORE_(DISK_FULL|UNREACHABLE)$/.test(code)),
    [],
    'every refusal tells what it is',
  );
  rmSync(join(site!.folder, 'ballast'));
  await eventually(
    'the site to work again',
    async () => (await site!.call('POST', '/devices/import', 'name,domain\nAFTER,CORP\n', 'text/csv')).status === 200,
  );
  const found = new Set<string>();
  for (let cursor = ''; ;) {
    const page: { items: { name: string }[]; next?: string } = await site!.get(`/devices?limit=500${cursor}`);
    for (const { name } of page.items) found.add(name);
    if (!page.next) break;
    cursor = `&cursor=${encodeURIComponent(page.next)}`;
  }
  assert.deepEqual(
    [...kept, 'WHILE-LOW', 'AFTER'].filter((name) => !found.has(name)),
    [],
    'what was acknowledged is there',
  );
  for (const name of ['DROP1', 'DROP2'])
    await eventually(`the CCR of ${name}`, async () => (await site!.call('GET', `/ccrs/${name}`)).status === 200, 90_000);
  assert.ok(!existsSync(join(box, 'bad', 'DROP1.ccr')) && !existsSync(join(box, 'bad', 'DROP2.ccr')));
  process.kill(site!.pid!, 'SIGTERM');
  await eventually('the site to have stopped', () => disk!.users().length === 0);
});

test(
  'up on a disk that is full already ends with what and where; with room it starts, and nothing is lost',
  options,
  async (t) => {
    await site!.spawn();
    await site!.importCsv('name,domain\nBEFORE-FULL,CORP\n');
    // Everything dies at once, so that the database has something to write before it can start.
    for (const pid of disk!.users()) process.kill(pid, 'SIGKILL');
    await site!.kill();
    await eventually('all of it to be gone', () => disk!.users().length === 0);
    fillUp(0);
    // Whether the database has to write before it can serve depends on what it had written last: it ends with words, or it serves what it
    // can and says so. It never hangs, and never leaves half of itself behind.
    const refused = await site!.spawn().then(
      () => undefined,
      (cause: Error) => cause.message,
    );
    t.diagnostic(refused ?? 'it started');
    if (refused === undefined) {
      const log = () => readFileSync(join(site!.data, 'logs', 'pushpoint.log'), 'utf8');
      await eventually('the log to tell of it', () => /PP_STORE_DISK_(LOW|FULL)/.test(log()));
      assert.equal((await site!.call('GET', '/devices/BEFORE-FULL')).status, 200);
      process.kill(site!.pid!, 'SIGTERM');
      await eventually('the site to have stopped', () => disk!.users().length === 0);
    } else {
      assert.match(refused, /^up (ended with 1|did not start)/);
      const said = refused.split('\n').find((line) => line.startsWith('{"error"'))!;
      const { error } = JSON.parse(said) as { error: { code: string; message: string; cause: string; remedy: string } };
      assert.match(error.code, /^PP_(STORE_DISK_FULL|SITE_FOLDER)$/);
      assert.ok(error.message.includes(site!.data), error.message);
      assert.match(error.remedy, /start/);
    }
    await site!.kill();
    assert.deepEqual(disk!.users(), [], 'no database is left behind');
    rmSync(join(site!.folder, 'ballast'));
    await site!.spawn();
    for (const name of ['AFTER', 'BEFORE-FULL']) assert.equal((await site!.call('GET', `/devices/${name}`)).status, 200, name);
    process.kill(site!.pid!, 'SIGTERM');
    await eventually('the site to have stopped', () => disk!.users().length === 0);
  },
);
