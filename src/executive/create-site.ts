import { existsSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { raise } from '#base/errors';
import { flushLogs } from '#base/log';
import { shownName } from '#records/resource';
import { validateCode } from '#records/site';
import type { Sql } from '#store/database';
import { createVaultKeys } from '#store/vault';
import { checkDatabaseUrl, DataFolder, parseListen, replaceFile, type Listen, type SiteFile } from './data-folder.ts';
import { takeOwnPackages } from './own-packages.ts';
import { holdRoles } from './role-lock.ts';
import { openSite, type OpenSite } from './site-folder.ts';

/** NewSite is what `site create` is told. */
export interface NewSite {
  code: string;
  data: string;
  listen?: string | undefined;
  console?: string | undefined;
  database?: string | undefined;
  /** Only see whether it could be made. */
  dryRun?: boolean | undefined;
}

/** CreatedSite is the answer. */
export interface CreatedSite {
  code: string;
  data: string;
  points: Listen;
  console: Listen;
}

/** createSite makes a primary site in a new data folder: keys, database, API token. What it had begun is taken away when it fails. */
export function createSite(wish: NewSite): Promise<CreatedSite> {
  return makeSite(wish, 'primary', async (folder, file) => furnish(folder, file));
}

/** makeSite makes a data folder and has it furnished; what was begun is taken away when that fails. */
export async function makeSite(
  wish: NewSite,
  kind: SiteFile['kind'],
  furnished: (folder: DataFolder, file: SiteFile) => Promise<void>,
): Promise<CreatedSite> {
  const code = validateCode(wish.code);
  const folder = new DataFolder(wish.data);
  if (folder.holdsSite()) throw raise('PP_SITE_EXISTS', { data: folder.path, code: folder.readSite().code });
  const foreign = folder.foreign();
  if (foreign.length > 0)
    throw raise('PP_SITE_CREATE_FOLDER', {
      data: folder.path,
      why: `it holds ${shownName(foreign[0]!)}${foreign.length > 1 ? ` and ${foreign.length - 1} more` : ''}`,
    });
  checkDatabaseUrl(wish.database);
  const points = parseListen(wish.listen ?? '0.0.0.0:8480', '--listen');
  const console = parseListen(wish.console ?? '127.0.0.1:8481', '--console');
  if (wish.dryRun) {
    folder.checkWritable();
    return { code, data: folder.path, points, console };
  }
  const before = existsSync(folder.path) ? new Set(entries(folder.path)) : undefined;
  folder.make();
  const release = await holdRoles(folder, new Set(['console']));
  try {
    // site.json comes last: a folder that was left half-way, by a power cut say, holds no site and can be used again.
    const file = { code, kind, points, console, ...(wish.database !== undefined && { database: wish.database }) };
    await furnished(folder, file);
    folder.writeSite(file);
  } catch (error) {
    flushLogs();
    const made = before ? entries(folder.path).filter((name) => !before.has(name)) : ['.'];
    for (const name of made) await rm(join(folder.path, name), { recursive: true, force: true });
    throw error;
  } finally {
    release();
  }
  return { code, data: folder.path, points, console };
}

function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return []; // not a folder, or not ours to look into: making it says so
  }
}

/** furnish puts keys, database and API token into a new data folder; what `prepare` gives is done in the same transaction as the site. */
export async function furnish(
  folder: DataFolder,
  file: SiteFile,
  o: { parent?: string | undefined; prepare?: (site: OpenSite) => Promise<(tx: Sql) => Promise<void>> } = {},
): Promise<void> {
  await createVaultKeys(folder.vault);
  const site = await openSite(folder, { file, create: true });
  try {
    const also = await o.prepare?.(site);
    const token = await site.database.transaction(async (tx) => {
      await site.records.site.create({ code: file.code, kind: file.kind, parent: o.parent }, tx);
      await site.records.audit.write({ who: 'site create', what: 'site.create', object: file.code }, tx);
      await also?.(tx);
      return site.records.site.tokens.add({ label: 'console.token', scopes: ['admin'] }, tx);
    });
    replaceFile(folder.tokenFile, `${token}\n`, 0o600);
    await takeOwnPackages(site);
  } finally {
    await site.close();
  }
}
