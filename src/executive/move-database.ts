import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '#base/clock';
import { PushpointError, raise } from '#base/errors';
import { systemRandom } from '#base/random';
import { Archive, collect, readArchive, type Entry, type Source, type Sums } from '#store/archive';
import {
  changeBackend,
  countRows,
  exportDatabase,
  importDatabase,
  openDatabase,
  whatIsThere,
  type Carried,
  type Database,
  type Part,
} from '#store/database';
import { openStore } from './backup.ts';
import { checkDatabaseUrl, DataFolder, makeFolder, type SiteFile } from './data-folder.ts';
import { checkBackup, formatPart, MANIFEST_PART, type Manifest } from './manifest.ts';
import { allMigrations, openRecords } from './records.ts';
import { holdRoles } from './role-lock.ts';
import { siteLog, version } from './site-folder.ts';

/** ExportWish is what `db export` is told. */
export interface ExportWish {
  data: string;
  output: string;
  database?: string | undefined;
  dryRun?: boolean | undefined;
}

/** Exported is the answer. */
export interface Exported {
  folder: string;
  site: string;
  tables: number;
  rows: number;
}

/** exportSite writes all rows of a site's database into a new folder, as plain files that any PostgreSQL can take in again. */
export async function exportSite(wish: ExportWish): Promise<Exported> {
  const folder = new DataFolder(wish.data);
  const site = folder.readSite();
  const { output } = wish;
  if (existsSync(output) && (await readdir(output)).length > 0)
    throw raise('PP_STORE_BACKUP_WRITE', { file: output, why: 'the folder is not empty' });
  const database = await openStore(folder, site, wish.database);
  try {
    if (wish.dryRun) {
      const { tables, rows } = await countRows(database);
      return { folder: output, site: site.code, tables, rows };
    }
    const carried = await exportInto(output, { site, database });
    const { rows } = await checkBackup({ file: output });
    return { folder: output, site: site.code, tables: carried.tables.length, rows };
  } finally {
    await database.close();
  }
}

async function exportInto(output: string, o: { site: SiteFile; database: Database }): Promise<Carried> {
  try {
    makeFolder(output, 0o700);
  } catch (cause) {
    throw raise('PP_STORE_BACKUP_WRITE', { file: output, why: (cause as Error).message }, { cause });
  }
  const archive = Archive.inFolder(output);
  try {
    await archive.add('format.json', formatPart('export'));
    const carried = await exportDatabase(o.database, (name, bytes) => archive.add(name, bytes));
    const manifest: Manifest = {
      kind: 'export',
      madeAt: systemClock.now().toISOString(),
      program: version,
      site: { code: o.site.code, kind: o.site.kind },
      database: { kind: o.database.kind, ...carried },
    };
    await archive.add(MANIFEST_PART, Buffer.from(`${JSON.stringify(manifest, undefined, 1)}\n`));
    await archive.end();
    return carried;
  } catch (error) {
    for (const name of await readdir(output)) await rm(join(output, name), { recursive: true, force: true });
    throw error instanceof PushpointError
      ? error
      : raise('PP_STORE_BACKUP_WRITE', { file: output, why: (error as Error).message }, { cause: error });
  }
}

/** A part of a table holds some MiB before it is compressed. */
const LARGEST_PART = 64 * 1024 * 1024;

/** tablePart gives a part of a table whole, or nothing when the part is none of a table. */
export async function tablePart(entry: Entry, file: string): Promise<Part | undefined> {
  return entry.name.startsWith('tables/') ? { name: entry.name, bytes: await collect(entry, LARGEST_PART, file) } : undefined;
}

async function* tableParts(source: Source, sums: Sums): AsyncGenerator<Part> {
  for await (const entry of readArchive(source, sums)) {
    const part = await tablePart(entry, source.file);
    if (part) yield part;
  }
}

/** ImportWish is what `db import` is told. */
export interface ImportWish {
  data: string;
  source: Source;
  /** The external database that the site moves to. */
  database?: string | undefined;
  /** The site moves to the embedded one. */
  embedded?: boolean | undefined;
  dryRun?: boolean | undefined;
}

/** Imported is the answer; `moved` tells whether the site works with another database from now on. */
export interface Imported {
  site: string;
  tables: number;
  rows: number;
  migrated: string[];
  database: string;
  moved: boolean;
}

/** importSite brings an export into the empty database that a site shall work with, and has the site work with it from then on. */
export async function importSite(wish: ImportWish): Promise<Imported> {
  const folder = new DataFolder(wish.data);
  const site = folder.readSite();
  checkDatabaseUrl(wish.database);
  const { manifest, sums, rows } = await checkBackup(wish.source);
  if (manifest.site.code !== site.code)
    throw raise('PP_SITE_OTHER', { file: wish.source.file, found: manifest.site.code, data: folder.path, code: site.code });
  const url = wish.embedded ? undefined : (wish.database ?? site.database);
  const release = await holdRoles(folder, new Set(['console', 'inbox']));
  try {
    const log = siteLog(folder, systemClock, false);
    const database = await openDatabase({ dataDir: folder.path, url, clock: systemClock, log, connections: 3, unsettled: true });
    try {
      const done = {
        site: site.code,
        tables: manifest.database.tables.length,
        rows,
        database: database.url,
        moved: url !== site.database,
      };
      const what = await whatIsThere(database);
      if (what !== undefined) throw raise('PP_STORE_NOT_EMPTY', { where: database.url, what });
      if (wish.dryRun) return { ...done, migrated: [] };
      const carried = manifest.database;
      const parts = tableParts(wish.source, sums);
      const migrated = await importDatabase(database, { carried, records: allMigrations, clock: systemClock, parts });
      const { audit } = openRecords(database, systemClock, systemRandom);
      await audit.write({ who: 'db import', what: 'site.import', object: site.code, detail: { madeAt: manifest.madeAt, rows } });
      await changeBackend(folder.path, database.kind);
      const { database: _before, ...rest } = site;
      folder.writeSite(url === undefined ? rest : { ...rest, database: url });
      return { ...done, migrated };
    } finally {
      await database.close();
    }
  } finally {
    release();
  }
}
