import { readFileSync } from 'node:fs';
import { systemClock, type Clock } from '#base/clock';
import { flushLogs, JsonLog, LogFile, type Log } from '#base/log';
import { systemRandom, type Random } from '#base/random';
import { ContentStore } from '#store/content';
import { migrate, openDatabase, type Database } from '#store/database';
import { openSealer, readVaultPublicKey, type Sealer } from '#store/vault';
import type { DataFolder, SiteFile } from './data-folder.ts';
import { checkDatabase } from './one-database.ts';
import { allMigrations, openRecords, type Records } from './records.ts';

/** The version of this program, from package.json. */
export const version = (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string })
  .version;

/** OpenSite is a site's data folder, opened: database migrated, records and stores ready. Roles are started over it. */
export interface OpenSite {
  folder: DataFolder;
  file: SiteFile;
  database: Database;
  records: Records;
  content: ContentStore;
  sealer: Sealer;
  clock: Clock;
  random: Random;
  log: Log;
  close(): Promise<void>;
}

/** siteLog writes JSON lines to logs/pushpoint.log, and to standard error where that is wanted. */
export function siteLog(folder: DataFolder, clock: Clock, verbose: boolean): Log {
  const file = new LogFile(folder.logs, 'pushpoint.log', undefined, clock);
  return new JsonLog(
    clock,
    (line) => {
      file.write(line);
      if (verbose) process.stderr.write(line);
    },
    verbose ? 'debug' : 'info',
  );
}

/** openSite opens what is in a data folder; the caller closes it. */
export async function openSite(
  folder: DataFolder,
  o: { file?: SiteFile; create?: boolean; database?: string | undefined; connections?: number; verbose?: boolean } = {},
): Promise<OpenSite> {
  const file = o.file ?? folder.readSite();
  folder.make();
  const clock = systemClock;
  const random = systemRandom;
  const log = siteLog(folder, clock, o.verbose === true);
  const database = await openDatabase({
    dataDir: folder.path,
    url: o.database ?? file.database,
    clock,
    log,
    connections: o.connections,
  });
  try {
    await checkDatabase(database, folder, file, o.create === true);
    const applied = await migrate(database, allMigrations, clock);
    if (applied.length > 0) log.info('database migrated', { applied });
    return {
      folder,
      file,
      database,
      records: openRecords(database, clock, random),
      content: new ContentStore({ dir: folder.content, random }),
      sealer: openSealer(await readVaultPublicKey(folder.vault)),
      clock,
      random,
      log,
      close: () => closed(database),
    };
  } catch (error) {
    await closed(database);
    throw error;
  }
}

/** Once a site is closed its folder may be moved or taken away, so no line may wait any longer. */
async function closed(database: Database): Promise<void> {
  await database.close();
  flushLogs();
}

/** logLines gives the writer of a server log in logs. */
export function logLines(folder: DataFolder, name: string): (line: string) => void {
  const file = new LogFile(folder.logs, name, undefined, systemClock);
  return (line) => file.write(line);
}
