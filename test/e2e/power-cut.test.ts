import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { existsSync, fsyncSync, openSync, closeSync, readdirSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { systemClock } from '#base/clock';
import { TestDisk } from '#test/disk';
import { need } from '#test/need';
import { eventually, WholeSite } from '#test/whole-site';

/**
 * Power cuts at random instants, on a disk of its own: what was acknowledged is there afterwards. PUSHPOINT_POWER_ROUNDS=50 makes it a long run.
 * What a cut takes away is what ext4 had not written; `kill -9` alone would leave all of that in the page cache.
 */

const ROUNDS = Number(process.env['PUSHPOINT_POWER_ROUNDS'] ?? 3);

const options = { ...need('root', 'mkfs.ext4'), timeout: 60_000 * (ROUNDS + 1) };

let site: WholeSite | undefined;
let disk: TestDisk | undefined;

after(async () => {
  await disk?.remove();
  await site?.close();
});

/** What the site, or the file system for dropped files, has acknowledged. */
class Promises {
  readonly devices: string[] = [];
  readonly ccrs: string[] = [];
  readonly dropped: string[] = [];
  /** Settings that were acknowledged, and the one that was asked for last. */
  setting = 0;
  asked = 0;
  #next = 0;

  name(): string {
    return `PC${String(++this.#next).padStart(5, '0')}`;
  }
  get count(): number {
    return this.devices.length + this.ccrs.length + this.dropped.length + this.setting;
  }
}

/** drop puts a CCR file into the inbox as a careful program does: whole, on the disk, then under its name. */
function drop(box: string, name: string): void {
  const draft = join(box, `.${name}.tmp`);
  const file = openSync(draft, 'w');
  writeSync(file, `[NT Client Configuration Request]\nMachine Name=${name}\n`);
  fsyncSync(file);
  closeSync(file);
  renameSync(draft, join(box, `${name}.ccr`));
  const folder = openSync(box, 'r');
  fsyncSync(folder);
  closeSync(folder);
}

/** load asks for things until the power is gone; only what was answered counts. */
async function load(on: WholeSite, told: Promises, enough: number, cut: () => void): Promise<void> {
  let isOn = true;
  const worker = (work: () => Promise<void>) =>
    (async () => {
      while (isOn) {
        try {
          await work();
        } catch (error) {
          if (isOn) throw error;
        }
        if (isOn && told.count >= enough) {
          isOn = false;
          cut();
        }
      }
    })();
  const importAndPush = async () => {
    const name = told.name();
    await on.importCsv(`name,domain,ip,smbPort\n${name},CORP,127.77.0.${randomInt(1, 250)},1\n`);
    if (isOn) told.devices.push(name);
    await on.push(name);
    if (isOn) told.ccrs.push(name);
  };
  const change = async () => {
    const wish = 1 + (told.asked % 200);
    told.asked++;
    await on.send('PATCH', '/settings', { ccr: { concurrency: wish } });
    if (isOn) told.setting = told.asked;
  };
  const box = join(on.data, 'inboxes', 'ccr.box');
  const dropFile = async () => {
    if (told.dropped.length > told.ccrs.length + 5) return systemClock.sleep(5);
    const name = told.name();
    drop(box, name);
    if (isOn) told.dropped.push(name);
  };
  await Promise.all([worker(importAndPush), worker(importAndPush), worker(importAndPush), worker(change), worker(dropFile)]);
}

async function namesOf(on: WholeSite, path: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (let cursor = ''; ;) {
    const page: { items: { name: string; state: string }[]; next?: string } = await on.get(`${path}?limit=500${cursor}`);
    for (const { name, state } of page.items) found.set(name, state);
    if (!page.next) return found;
    cursor = `&cursor=${encodeURIComponent(page.next)}`;
  }
}

async function judge(on: WholeSite, told: Promises): Promise<void> {
  const devices = await namesOf(on, '/devices');
  assert.deepEqual(
    told.devices.filter((name) => !devices.has(name)),
    [],
    'machines that were imported are lost',
  );
  const ccrs = await namesOf(on, '/ccrs');
  assert.deepEqual(
    told.ccrs.filter((name) => !ccrs.has(name)),
    [],
    'CCRs that were acknowledged are lost',
  );
  const { ccr } = await on.get<{ ccr: { concurrency: number } }>('/settings');
  const possible = [told.setting, told.asked].map((n) => 1 + ((n - 1) % 200));
  if (told.setting > 0)
    assert.ok(possible.includes(ccr.concurrency), `the setting is ${ccr.concurrency}, not ${possible.join(' or ')}`);
  told.asked = told.setting = ccr.concurrency;
  // A file that was accepted has its row; one that was not lies where it was dropped, and is taken now.
  await eventually('all dropped files to be CCRs', async () => {
    const now = await namesOf(on, '/ccrs');
    return told.dropped.every((name) => now.has(name));
  }).catch(async (cause: unknown) => {
    const now = await namesOf(on, '/ccrs');
    const lost = told.dropped.filter((name) => !now.has(name));
    throw new Error(`${lost.length} dropped files are lost: ${lost.slice(0, 5).join(' ')}`, { cause });
  });
  const retry = join(on.data, 'inboxes', 'ccrretry.box');
  await eventually('the files of ccrretry.box to be those of the database', async () => {
    const waiting = [...(await namesOf(on, '/ccrs'))].filter(([, state]) => state === 'retry').map(([name]) => name);
    if (!existsSync(retry)) return waiting.length === 0;
    const files = new Set(readdirSync(retry));
    return waiting.length > 0 && waiting.every((name) => files.has(`${name}.ccr`));
  });
  const { items } = await on.get<{ items: { seq: number }[] }>('/audit?limit=500');
  assert.ok(items.length > 0);
}

test(`${ROUNDS} power cuts: nothing that was acknowledged is lost, and the folder opens`, options, async (t) => {
  site = new WholeSite();
  disk = new TestDisk(site.folder, 1024 ** 3);
  await (await site.create()).spawn();
  await site.prepare({ csv: 'name,domain\nFIRST,CORP\n', account: { username: 'CORP\\push', password: 'pw' } });
  const told = new Promises();
  for (let round = 1; round <= ROUNDS; round++) {
    const enough = told.count + randomInt(20, 150);
    await load(site, told, enough, () => disk!.cut());
    await site.kill();
    await disk.again();
    await site.spawn();
    await judge(site, told);
    if (ROUNDS > 5)
      process.stderr.write(
        `cut ${round}: ${told.devices.length} machines, ${told.ccrs.length} CCRs, ${told.dropped.length} files\n`,
      );
  }
  assert.ok(told.ccrs.length > ROUNDS && told.dropped.length > ROUNDS && told.devices.length > ROUNDS);
  t.diagnostic(
    `${ROUNDS} cuts; acknowledged and found: ${told.devices.length} machines, ${told.ccrs.length} CCRs, ${told.dropped.length} dropped files`,
  );
  // In order this time: the database stops by itself.
  process.kill(site.pid!, 'SIGTERM');
  await eventually('the site to have stopped', () => disk!.users().length === 0);
});
