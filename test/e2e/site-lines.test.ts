import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock';
import { pushpoint } from '#test/command';
import { eventually, freePort, WholeSite } from '#test/whole-site';

/** Two site servers, each a process of its own: killed in the middle of batches, and brought back from backups. */

interface SiteJson {
  code: string;
  kind: string;
  parent?: string;
  link?: { role: string; state: string; backlog: number; restarts: number; restartedWhy?: string; error?: { code: string } };
}

const primary = new WholeSite('P01');
const secondary = new WholeSite('S01');
let said = 0;

/** discover has the secondary learn of some more machines. */
async function discover(many: number): Promise<void> {
  const rows = Array.from(
    { length: many },
    () => `M${String(++said).padStart(5, '0')},CORP,,10.9.${said >> 8}.${said & 255},Windows 11,workstation`,
  );
  await secondary.importCsv(`name,domain,fqdn,ip,os,type\n${rows.join('\n')}\n`);
}

async function known(site: WholeSite): Promise<number> {
  let count = 0;
  let cursor: string | undefined;
  do {
    const page = await site.get<{ items: unknown[]; next?: string }>(`/devices?limit=500${cursor ? `&cursor=${cursor}` : ''}`);
    count += page.items.length;
    cursor = page.next;
  } while (cursor);
  return count;
}

async function lineOf(site: WholeSite, to: string) {
  return (await site.get<{ items: SiteJson[] }>('/sites')).items.find(({ code }) => code === to)!.link!;
}

const allThere = () => eventually('all machines at the primary', async () => (await known(primary)) === said, 60_000);

before(async () => {
  await (await primary.create(`127.0.0.1:${await freePort()}`)).spawn();
  await (await secondary.join(primary)).spawn();
});
after(async () => {
  await secondary.close();
  await primary.close();
});

test('machines that a secondary learns of are known at its primary', async () => {
  await discover(300);
  await allThere();
  const list = await pushpoint(['site', 'list', '--data', primary.data]);
  assert.match(list.out, /^S01 +secondary +P01 +up /m);
});

test('joins that are refused leave nothing behind', async () => {
  const file = join(primary.folder, 'once.token');
  const data = join(primary.folder, 'S02');
  const at = ['--listen', '127.0.0.1:0', '--console', '127.0.0.1:0'];
  const token = await pushpoint(['site', 'token', '--out', file, '--hours', '1', '--data', primary.data]);
  assert.equal(token.code, 0, token.err);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const { secret } = JSON.parse(readFileSync(file, 'utf8')) as { secret: string };
  assert.ok(!token.out.includes(secret));
  assert.equal((await pushpoint(['site', 'token', '--out', file, '--data', primary.data])).code, 2, 'never over another file');
  const ask = (code: string, ...more: string[]) =>
    pushpoint(['site', 'join', code, '--parent', primary.points, '--token-file', file, '--data', data, ...at, ...more]);
  assert.match((await ask('S01')).err, /PP_LINK_CODE_USED/);
  assert.match((await ask('P01')).err, /PP_LINK_CODE_USED/);
  assert.equal((await ask('S02', '--dry-run')).code, 0);
  assert.ok(!existsSync(data));
  const silent = await pushpoint([
    'site',
    'join',
    'S02',
    '--parent',
    'http://127.0.0.1:1',
    '--token-file',
    file,
    '--data',
    data,
    ...at,
  ]);
  assert.match(silent.err, /PP_LINK_UNREACHABLE/);
  assert.equal(silent.code, 1);
  assert.ok(!existsSync(data));
  writeFileSync(file, '{}');
  assert.match((await ask('S02')).err, /PP_LINK_TOKEN_FILE/);
  assert.match((await pushpoint(['site', 'token', '--data', secondary.data])).err, /PP_LINK_PARENT/);
});

test('a new key for the vault of a site: the line goes on, with the key of the site that it had', async () => {
  await secondary.end();
  const rotated = await pushpoint(['vault', 'rotate', '--data', secondary.data]);
  assert.equal(rotated.code, 0, rotated.err);
  await secondary.spawn();
  await discover(5);
  await allThere();
});

test('the parent is killed in the middle of batches, again and again: every machine arrives', async () => {
  for (let round = 0; round < 3; round++) {
    const work = discover(1500);
    await systemClock.sleep(40 * round + 20);
    await primary.kill();
    await work;
    await eventually('the child to notice', async () => (await lineOf(secondary, 'P01')).error !== undefined);
    await primary.spawn();
    await allThere();
  }
  assert.equal((await lineOf(secondary, 'P01')).restarts, 0);
});

test('the child is killed in the middle of batches: every machine that it took arrives', async () => {
  await discover(2000);
  await secondary.kill();
  await secondary.spawn();
  await allThere();
  await eventually('nothing to wait', async () => (await lineOf(secondary, 'P01')).backlog === 0);
});

test('a child that is restored from a backup: the line notices, and goes on', async () => {
  const file = join(secondary.folder, 's01.tar');
  assert.equal((await pushpoint(['backup', '--data', secondary.data, '-o', file])).code, 0);
  await discover(200);
  await allThere();
  await secondary.end();
  renameSync(secondary.data, `${secondary.data}.lost`);
  const key = join(`${secondary.data}.lost`, 'vault', 'vault.key');
  const restored = await pushpoint(['restore', file, '--data', secondary.data, '--vault-key', key]);
  assert.equal(restored.code, 0, restored.err);
  secondary.useToken();
  await secondary.spawn();
  await discover(100);
  await allThere();
  const up = await lineOf(secondary, 'P01');
  assert.equal(up.state, 'joined');
  assert.match(up.restartedWhy ?? '', /this site was restored/);
});

test('a parent that is restored from a backup asks for nothing: it gets all of it again', async () => {
  const file = join(primary.folder, 'p01.tar');
  assert.equal((await pushpoint(['backup', '--data', primary.data, '-o', file])).code, 0);
  await discover(150);
  await allThere();
  const { points } = primary;
  await primary.end();
  renameSync(primary.data, `${primary.data}.lost`);
  const key = join(`${primary.data}.lost`, 'vault', 'vault.key');
  const restored = await pushpoint(['restore', file, '--data', primary.data, '--vault-key', key]);
  assert.equal(restored.code, 0, restored.err);
  primary.useToken();
  await primary.spawn();
  assert.equal(primary.points, points);
  await allThere();
  assert.match((await lineOf(secondary, 'P01')).restartedWhy ?? '', /the other site was restored/);
});

test('a child that was removed says so, and its machines stay at home', async () => {
  const removed = await pushpoint(['site', 'remove', 'S01', '--data', primary.data]);
  assert.equal(removed.code, 0, removed.err);
  await eventually('the child to notice', async () => (await lineOf(secondary, 'P01')).state === 'removed');
  const before = await known(primary);
  await discover(10);
  said -= 10;
  assert.equal((await known(secondary)) >= 10, true);
  const list = await pushpoint(['site', 'list', '--data', secondary.data]);
  assert.match(list.out, /removed by the parent/);
  assert.equal(await known(primary), before);
});
