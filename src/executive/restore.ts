import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemClock } from '#base/clock';
import { isCode, raise } from '#base/errors';
import { silentLog } from '#base/log';
import { systemRandom } from '#base/random';
import { collect, readArchive, type Entry, type Source, type Sums } from '#store/archive';
import { ContentStore } from '#store/content';
import { importDatabase, openDatabase, type Database, type Part } from '#store/database';
import { syncFolder } from '#store/inbox';
import { openVault } from '#store/vault';
import { checkDatabaseUrl, DataFolder, replaceFile, type SiteFile } from './data-folder.ts';
import { checkBackup, type Manifest } from './manifest.ts';
import { tablePart } from './move-database.ts';
import { allMigrations, openRecords } from './records.ts';
import { holdRoles } from './role-lock.ts';

/** RestoreWish is what `restore` is told. */
export interface RestoreWish {
  source: Source;
  data: string;
  /** An empty external database instead of the embedded one. */
  database?: string | undefined;
  /** File with the vault's private key, where the backup does not hold it. */
  vaultKey?: string | undefined;
  dryRun?: boolean | undefined;
}

/** Restored is the answer. */
export interface Restored {
  site: string;
  data: string;
  madeAt: string;
  tables: number;
  rows: number;
  content: { files: number; missing: string[] };
  inbox: { files: number };
  /** CCRs that somebody was working on when the backup was made: they are looked at again from the beginning. */
  released: number;
  /** CCRs that install over what is there: paused, because it may have been done since. */
  paused: string[];
  /** Whether the vault can be opened: the key was in the backup or was given. */
  key: boolean;
  /** Whether the site's API token is the one of before. */
  token: boolean;
  migrated: string[];
}

const MARK = '.restoring';
const SMALL = 4 * 1024 * 1024;

/** restoreSite makes the data folder of a backup's site: beside its place first, and only when all of it is there under its name. */
export async function restoreSite(wish: RestoreWish): Promise<Restored> {
  const { source } = wish;
  checkDatabaseUrl(wish.database);
  const target = new DataFolder(wish.data);
  checkTarget(target);
  const { manifest, sums, rows } = await checkBackup(source);
  if (manifest.kind !== 'backup')
    throw raise('PP_SITE_RESTORE_FOLDER', {
      data: target.path,
      why: `${source.file} is an export of the database alone, not a backup`,
    });
  const done = {
    site: manifest.site.code,
    data: target.path,
    madeAt: manifest.madeAt,
    tables: manifest.database.tables.length,
    rows,
  };
  if (wish.dryRun)
    return {
      ...done,
      content: { files: manifest.content!.files, missing: manifest.content!.damaged },
      inbox: manifest.inbox!,
      released: 0,
      paused: [],
      key: manifest.key === true || wish.vaultKey !== undefined,
      token: manifest.key === true,
      migrated: [],
    };
  const folder = new DataFolder(`${target.path}.partial`);
  const release = await begin(folder);
  try {
    const made = await build(folder, { wish, manifest, sums });
    await rm(join(folder.path, MARK));
    for (const part of [folder.vault, folder.run, folder.inboxes, folder.content, folder.path]) await syncFolder(part);
    if (existsSync(target.path)) await rmdir(target.path);
    await rename(folder.path, target.path);
    await syncFolder(dirname(target.path));
    return { ...done, ...made };
  } catch (error) {
    await rm(folder.path, { recursive: true, force: true });
    throw error;
  } finally {
    release();
  }
}

function checkTarget(target: DataFolder): void {
  const refuse = (why: string) => raise('PP_SITE_RESTORE_FOLDER', { data: target.path, why });
  if (target.holdsSite()) throw refuse(`it holds the site ${target.readSite().code}`);
  const found = statSync(target.path, { throwIfNoEntry: false });
  if (found) {
    if (!found.isDirectory()) throw refuse('it is not a folder');
    if (readdirSync(target.path).length > 0) throw refuse('it is not empty');
    if (found.dev !== statSync(dirname(target.path)).dev)
      throw refuse('it is where another disk is mounted; name a folder in it');
  }
  target.checkWritable();
}

/** begin makes the folder to work in; what a restore that was killed has left there is taken away. */
async function begin(folder: DataFolder): Promise<() => void> {
  if (existsSync(folder.path)) {
    if (!existsSync(join(folder.path, MARK)))
      throw raise('PP_SITE_RESTORE_FOLDER', { data: folder.path, why: 'it is in the way, and was not made by a restore' });
    const release = await holdRoles(folder, new Set(['console', 'inbox']));
    try {
      // Its database server may still run: it is taken over, and stopped in order.
      await openDatabase({ dataDir: folder.path, clock: systemClock, log: silentLog, unsettled: true }).then(
        (database) => database.close(),
        () => {},
      );
      await rm(folder.path, { recursive: true, force: true });
    } finally {
      release();
    }
  }
  folder.make();
  await writeFile(join(folder.path, MARK), '');
  return await holdRoles(folder, new Set(['console', 'inbox']));
}

interface Work {
  wish: RestoreWish;
  manifest: Manifest;
  sums: Sums;
}

type Made = Omit<Restored, 'site' | 'data' | 'madeAt' | 'tables' | 'rows'>;

async function build(folder: DataFolder, { wish, manifest, sums }: Work): Promise<Made> {
  const { source } = wish;
  const url = wish.database;
  let site: SiteFile | undefined;
  // Not into the folder's own log, which moves away under it.
  const database = await openDatabase({ dataDir: folder.path, url, clock: systemClock, log: silentLog, connections: 3 });
  try {
    const content = new ContentStore({ dir: folder.content, random: systemRandom });
    const place = async (entry: Entry) => {
      if (entry.name === 'site.json') site = JSON.parse((await collect(entry, SMALL, source.file)).toString('utf8')) as SiteFile;
      else await put(folder, content, entry, source.file);
    };
    const all = readArchive(source, sums);
    let after: Entry | undefined;
    const parts = (async function* (): AsyncGenerator<Part> {
      for (let next = await all.next(); next.done !== true; next = await all.next()) {
        const part = await tablePart(next.value, source.file);
        // Files of packages can be many gigabytes: they are written when the transaction is over.
        if (part) yield part;
        else if (next.value.name.startsWith('content/')) return void (after = next.value);
        else await place(next.value);
      }
    })();
    const migrated = await importDatabase(database, {
      carried: manifest.database,
      records: allMigrations,
      clock: systemClock,
      parts,
    });
    if (after) await place(after);
    for (let next = await all.next(); next.done !== true; next = await all.next()) await place(next.value);
    if (!site) throw raise('PP_STORE_BACKUP_DAMAGED', { file: source.file, part: 'site.json', why: 'it is not there' });
    const settled = await settle(folder, database, content, manifest);
    const key = await bringKey(folder, wish.vaultKey);
    const { database: _before, ...rest } = site;
    folder.writeSite(url === undefined ? rest : { ...rest, database: url });
    return { ...settled, key, migrated, inbox: manifest.inbox! };
  } finally {
    await database.close();
  }
}

/** put writes a part that is a file to its place. */
async function put(folder: DataFolder, content: ContentStore, entry: Entry, file: string): Promise<void> {
  const { name } = entry;
  const sha256 = /^content\/[0-9a-f]{2}\/([0-9a-f]{64})$/.exec(name)?.[1];
  if (sha256 !== undefined) await content.put(entry.bytes, sha256);
  else if (name === 'vault/vault.pub' || name === 'vault/vault.key' || name === 'run/console.token')
    replaceFile(
      join(folder.path, name),
      (await collect(entry, SMALL, file)).toString('utf8'),
      name.endsWith('.pub') ? 0o644 : 0o600,
    );
  else if (name.startsWith('inboxes/')) {
    const one = JSON.parse((await collect(entry, SMALL, file)).toString('utf8')) as {
      folder: string;
      name: string;
      bytes: string;
    };
    const octets = Buffer.from(one.name, 'base64');
    if (
      !['ccr.box', 'ccr.box/inproc'].includes(one.folder) ||
      octets.length === 0 ||
      octets.includes(0x2f) ||
      octets[0] === 0x2e ||
      octets.includes(0)
    )
      throw raise('PP_STORE_BACKUP_DAMAGED', { file, part: name, why: 'it names no file of an inbox' });
    const dir = join(folder.inboxes, one.folder);
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const handle = await open(Buffer.concat([Buffer.from(`${dir}/`), octets]), 'wx', 0o600);
    try {
      await handle.writeFile(Buffer.from(one.bytes, 'base64'));
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}

/** settle makes of what was a site at work one that begins again: nobody works on anything, and nothing is done twice. */
async function settle(
  folder: DataFolder,
  database: Database,
  content: ContentStore,
  manifest: Manifest,
): Promise<Pick<Made, 'released' | 'paused' | 'content' | 'token'>> {
  const records = openRecords(database, systemClock, systemRandom);
  const released = await records.ccr.claims.reclaimDead(systemClock.now());
  const again: { id: number; name: string }[] = [];
  for await (const ccr of records.ccr.live()) if ((ccr.forced || ccr.reinstall) && ccr.state !== 'paused') again.push(ccr);
  const token = existsSync(folder.tokenFile);
  const paused = await database.transaction(async (tx) => {
    const stopped = await records.ccr.pause(
      again.map(({ id }) => id),
      tx,
    );
    if (!token)
      replaceFile(
        folder.tokenFile,
        `${await records.site.tokens.add({ label: 'console.token', scopes: ['admin'] }, tx)}\n`,
        0o600,
      );
    await records.audit.write(
      {
        who: 'restore',
        what: 'site.restore',
        object: manifest.site.code,
        detail: { madeAt: manifest.madeAt, released, paused: stopped.length },
      },
      tx,
    );
    return stopped.map(({ name }) => name);
  });
  const missing: string[] = [];
  for (const { files } of await records.package.list())
    for (const { sha256, name } of files) if ((await content.stat(sha256)) === undefined) missing.push(name);
  return { released, paused, token, content: { files: manifest.content!.files, missing } };
}

/** bringKey puts a given private key into its place and tells whether the vault opens. */
async function bringKey(folder: DataFolder, given: string | undefined): Promise<boolean> {
  const file = join(folder.vault, 'vault.key');
  if (given !== undefined) {
    const text = await readFile(given, 'utf8').catch((cause: unknown) => {
      throw raise('PP_STORE_VAULT_MISSING', { file: given }, { cause });
    });
    replaceFile(file, text, 0o600);
  }
  try {
    await openVault({ dir: folder.vault });
    return true;
  } catch (error) {
    if (isCode(error, 'PP_STORE_VAULT_MISSING') && given === undefined) return false;
    throw error;
  }
}
