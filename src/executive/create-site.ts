import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { raise } from '#base/errors';
import { validateCode } from '#records/site';
import { createVaultKeys } from '#store/vault';
import { DataFolder, parseListen, replaceFile, type Listen } from './data-folder.ts';
import { openSite } from './site-folder.ts';

/** NewSite is what `site create` is told. */
export interface NewSite {
  code: string;
  data: string;
  listen?: string | undefined;
  console?: string | undefined;
  database?: string | undefined;
}

/** CreatedSite is the answer. */
export interface CreatedSite {
  code: string;
  data: string;
  points: Listen;
  console: Listen;
}

/** createSite makes a primary site in a new data folder: keys, database, API token. What it had begun is taken away when it fails. */
export async function createSite(wish: NewSite): Promise<CreatedSite> {
  const code = validateCode(wish.code);
  const folder = new DataFolder(wish.data);
  if (folder.holdsSite()) throw raise('PP_SITE_EXISTS', { data: folder.path, code: folder.readSite().code });
  if (wish.database !== undefined && URL.canParse(wish.database) && new URL(wish.database).password !== '') {
    throw raise('PP_CLI_USAGE', { why: 'the database URL must not hold a password; put it into PGPASSWORD or ~/.pgpass' });
  }
  const points = parseListen(wish.listen ?? '0.0.0.0:8480', '--listen');
  const console = parseListen(wish.console ?? '127.0.0.1:8481', '--console');
  const fresh = !existsSync(folder.path);
  folder.make();
  folder.writeSite({ code, kind: 'primary', points, console, database: wish.database });
  try {
    await createVaultKeys(folder.vault);
    const site = await openSite(folder);
    try {
      const token = await site.database.transaction(async (tx) => {
        await site.records.site.create({ code, kind: 'primary' }, tx);
        await site.records.audit.write({ who: 'site create', what: 'site.create', object: code }, tx);
        return site.records.site.addToken({ label: 'console.token', scopes: ['admin'] }, tx);
      });
      replaceFile(folder.tokenFile, `${token}\n`, 0o600);
    } finally {
      await site.close();
    }
  } catch (error) {
    await rm(fresh ? folder.path : folder.siteFile, { recursive: true, force: true });
    throw error;
  }
  return { code, data: folder.path, points, console };
}
