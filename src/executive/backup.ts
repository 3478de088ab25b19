import { createReadStream, existsSync, statSync } from 'node:fs';
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemClock } from '#base/clock';
import { isCode, raise } from '#base/errors';
import { systemRandom } from '#base/random';
import { Archive } from '#store/archive';
import { ContentStore } from '#store/content';
import { countRows, exportDatabase, migrationSteps, openDatabase, type Database } from '#store/database';
import { syncFolder } from '#store/inbox';
import { DataFolder, type SiteFile } from './data-folder.ts';
import { checkBackup, formatPart, MANIFEST_PART, type Manifest } from './manifest.ts';
import { allMigrations, openRecords } from './records.ts';
import { siteLog, version } from './site-folder.ts';

/** BackupWish is what `backup` is told. */
export interface BackupWish {
  data: string;
  /** A file that is not there yet, or a folder to put one into. */
  output: string;
  /** With the vault's private key and the API token, which only a sealed backup may hold. */
  withKey: boolean;
  passphrase?: string | undefined;
  /** Where the site's database is, if `up` is told so too. */
  database?: string | undefined;
  dryRun?: boolean | undefined;
}

/** BackedUp is the answer. */
export interface BackedUp {
  file: string;
  site: string;
  madeAt: string;
  size: number;
  sealed: boolean;
  key: boolean;
  tables: number;
  rows: number;
  content: { files: number; octets: number; damaged: string[] };
  inbox: { files: number };
}

/** Files in an inbox are smaller; what is larger will be rejected by the inbox anyway. */
const LARGEST_DROPPED = 1024 * 1024;

/** openStore opens the database of a data folder as it is: it is not migrated, so that a backup can be taken before an update. */
export function openStore(folder: DataFolder, file: SiteFile, database: string | undefined): Promise<Database> {
  const url = database ?? file.database;
  return openDatabase({
    dataDir: folder.path,
    url,
    clock: systemClock,
    log: siteLog(folder, systemClock, false),
    connections: 3,
  });
}

function fileOf(output: string, site: string, madeAt: Date, sealed: boolean): string {
  if (!statSync(output, { throwIfNoEntry: false })?.isDirectory()) return output;
  const stamp = madeAt.toISOString().replace(/[-:]|\.\d+/g, '');
  return join(output, `${site}-${stamp}.tar${sealed ? '.sealed' : ''}`);
}

/** makeBackup writes a backup of a site, running or not, reads it again to prove it, and only then gives it its name. */
export async function makeBackup(wish: BackupWish): Promise<BackedUp> {
  const folder = new DataFolder(wish.data);
  const site = folder.readSite();
  const { passphrase, withKey } = wish;
  if (withKey && passphrase === undefined)
    throw raise('PP_CLI_USAGE', { why: 'a backup --with-key is always encrypted: name a --passphrase-file' });
  const madeAt = systemClock.now();
  const file = fileOf(wish.output, site.code, madeAt, passphrase !== undefined);
  if (existsSync(file)) throw raise('PP_STORE_BACKUP_WRITE', { file, why: 'something of that name is there already' });
  const database = await openStore(folder, site, wish.database);
  try {
    if (wish.dryRun) return await estimate({ folder, site, database, madeAt, file, wish });
    const partial = `${file}.${process.pid}.partial`;
    const archive = await Archive.inFile(partial, { passphrase, madeAt, wanted: file });
    try {
      const manifest = await fill(archive, { folder, site, database, madeAt, withKey });
      const checked = await checkBackup({ file: partial, passphrase });
      if (JSON.stringify(checked.manifest) !== JSON.stringify(manifest))
        throw raise('PP_STORE_BACKUP_DAMAGED', { file: partial, part: MANIFEST_PART, why: 'it is not what was written' });
      const { size } = await stat(partial);
      await rename(partial, file);
      await syncFolder(dirname(file));
      await remember(database, manifest, file);
      return answer(file, manifest, size, passphrase !== undefined);
    } catch (error) {
      await archive.drop();
      await rm(partial, { force: true });
      throw error;
    }
  } finally {
    await database.close();
  }
}

function answer(file: string, manifest: Manifest, size: number, sealed: boolean): BackedUp {
  const { site, madeAt, key, database, content, inbox } = manifest;
  const rows = database.tables.reduce((sum, table) => sum + table.rows, 0);
  return {
    file,
    site: site.code,
    madeAt,
    size,
    sealed,
    key: key!,
    tables: database.tables.length,
    rows,
    content: content!,
    inbox: inbox!,
  };
}

/** remember writes to the audit log that a copy of the site was made, where the tables are those that this program knows. */
async function remember(database: Database, { database: { migrations }, key }: Manifest, file: string): Promise<void> {
  if (migrations.length !== (await migrationSteps(allMigrations)).length) return;
  const { audit } = openRecords(database, systemClock, systemRandom);
  await audit.write({ who: 'backup', what: 'site.backup', object: file, detail: { key: key === true } });
}

interface Work {
  folder: DataFolder;
  site: SiteFile;
  database: Database;
  madeAt: Date;
  withKey: boolean;
}

async function estimate(o: Omit<Work, 'withKey'> & { file: string; wish: BackupWish }): Promise<BackedUp> {
  const { tables, rows } = await countRows(o.database);
  const store = new ContentStore({ dir: o.folder.content, random: systemRandom });
  const content = { files: 0, octets: 0, damaged: [] };
  for await (const sha256 of store.list()) {
    content.files++;
    content.octets += (await store.stat(sha256))?.size ?? 0;
  }
  const inbox = { files: (await dropped(o.folder)).length };
  const { withKey: key, passphrase } = o.wish;
  const sealed = passphrase !== undefined;
  return { file: o.file, site: o.site.code, madeAt: o.madeAt.toISOString(), size: 0, sealed, key, tables, rows, content, inbox };
}

/**
 * fill writes the parts. The order matters while the site works: what lies in the inbox first, because a file leaves it only when its row
 * is in the database; the database at one instant; the files of packages last, because they are stored before a row names them.
 */
async function fill(archive: Archive, o: Work): Promise<Manifest> {
  const { folder, site, database, madeAt, withKey } = o;
  await archive.add('format.json', formatPart('backup'));
  await archive.add('site.json', Buffer.from(`${JSON.stringify(site, undefined, 2)}\n`));
  const vaultKey = await settledKey(folder);
  await archive.add('vault/vault.pub', vaultKey);
  if (withKey) {
    await archive.add('vault/vault.key', await secret(join(folder.vault, 'vault.key')));
    await archive.add('run/console.token', await secret(folder.tokenFile));
  }
  const files = await dropped(folder);
  for (const [i, one] of files.entries()) await archive.add(`inboxes/${String(i + 1).padStart(5, '0')}.json`, one);
  const carried = await exportDatabase(database, (name, bytes) => archive.add(name, bytes));
  // Passwords sealed for one key and the key of another would be no backup.
  if (!(await settledKey(folder)).equals(vaultKey)) throw raise('PP_STORE_BACKUP_WRITE', { file: folder.path, why: KEY_CHANGES });
  const content = await addContent(archive, new ContentStore({ dir: folder.content, random: systemRandom }));
  const manifest: Manifest = {
    kind: 'backup',
    madeAt: madeAt.toISOString(),
    program: version,
    site: { code: site.code, kind: site.kind },
    database: { kind: database.kind, ...carried },
    content,
    inbox: { files: files.length },
    key: withKey,
  };
  await archive.add(MANIFEST_PART, Buffer.from(`${JSON.stringify(manifest, undefined, 1)}\n`));
  await archive.end();
  return manifest;
}

const KEY_CHANGES = 'the key of its vault is just being replaced; do it again afterwards';

/** settledKey is the vault's public key, unless the pair is just being replaced. */
async function settledKey(folder: DataFolder): Promise<Buffer> {
  if (existsSync(join(folder.vault, 'vault.key.next')))
    throw raise('PP_STORE_BACKUP_WRITE', { file: folder.path, why: KEY_CHANGES });
  return await readFile(join(folder.vault, 'vault.pub'));
}

async function secret(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw raise('PP_STORE_VAULT_MISSING', { file }, { cause });
  }
}

async function addContent(archive: Archive, store: ContentStore): Promise<BackedUp['content']> {
  const found: BackedUp['content'] = { files: 0, octets: 0, damaged: [] };
  for await (const sha256 of store.list()) {
    try {
      const { size } = await store.check(sha256);
      await archive.add(`content/${sha256.slice(0, 2)}/${sha256}`, { size, bytes: createReadStream(store.path(sha256)) });
      found.files++;
      found.octets += size;
    } catch (error) {
      // One that is damaged is no reason to have no backup of the rest; one that went meanwhile was removed by somebody.
      if (isCode(error, 'PP_STORE_CONTENT_CORRUPT')) found.damaged.push(sha256);
      else if (!isCode(error, 'PP_STORE_CONTENT_MISSING')) throw error;
    }
  }
  return found;
}

/** dropped gives the request files that lie in the inbox, each as a part of its own; their names need not be text. */
async function dropped(folder: DataFolder): Promise<Buffer[]> {
  const parts: Buffer[] = [];
  for (const place of ['ccr.box', 'ccr.box/inproc']) {
    const dir = join(folder.inboxes, place);
    const entries = await readdir(dir, { withFileTypes: true, encoding: 'buffer' }).catch(() => []);
    for (const entry of entries) {
      const octets = Buffer.from(entry.name);
      if (!entry.isFile() || octets[0] === 0x2e) continue;
      const at = Buffer.concat([Buffer.from(`${dir}/`), octets]);
      const bytes = await stat(at).then(
        async ({ size }) => (size <= LARGEST_DROPPED ? await readFile(at) : undefined),
        () => undefined,
      );
      if (!bytes) continue;
      const text = {
        folder: place,
        name: octets.toString('base64'),
        shown: octets.toString('utf8'),
        bytes: bytes.toString('base64'),
      };
      parts.push(Buffer.from(`${JSON.stringify(text)}\n`));
    }
  }
  return parts;
}
