import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Log } from '#base/log';
import { settleBackend } from './backend.ts';
import { externalServer } from './external.ts';
import { Keeper } from './managed/keeper.ts';
import { PooledDatabase } from './pool.ts';
import type { Database } from './sql.ts';

export interface OpenOptions {
  /** dataDir is the site's folder; it remembers which kind of store the site has. */
  dataDir: string;
  /** url of an external PostgreSQL; without it the managed server is started, or attached to when another process runs it. */
  url?: string | undefined;
  clock: Clock;
  log: Log;
  /** connections is the most that this process opens; 10 where nothing is said. */
  connections?: number | undefined;
  /** answerMs is how long an answer may take before the line to the database counts as dead; 45 s where nothing is said. */
  answerMs?: number | undefined;
  /** pgBin is the folder of PostgreSQL's programs that the administrator wants; PUSHPOINT_PG_BIN where nothing is said. */
  pgBin?: string | undefined;
  /** unsettled opens a database that the folder does not work with (yet), to bring data to it: nothing is written down, nothing refused. */
  unsettled?: boolean | undefined;
}

/** openDatabase gives the store of a site, started and answering; it does not migrate. */
export async function openDatabase(options: OpenOptions): Promise<Database> {
  const { dataDir, url, clock, log, connections, answerMs, pgBin = process.env['PUSHPOINT_PG_BIN'] } = options;
  const settle: typeof settleBackend = options.unsettled ? (_dataDir, _kind, open) => open() : settleBackend;
  if (url !== undefined) {
    const at = await settle(dataDir, 'external', () => externalServer(url));
    return new PooledDatabase({ at, clock, log, connections, answerMs });
  }
  if (process.platform !== 'linux') throw raise('PP_STORE_PLATFORM', { platform: process.platform });
  const keeper = new Keeper({ dataDir, pgBin, clock, log });
  try {
    const at = await settle(dataDir, 'managed', () => keeper.start());
    return new PooledDatabase({
      at,
      clock,
      log,
      connections,
      answerMs,
      revive: () => keeper.revive(),
      leave: () => keeper.leave(),
    });
  } catch (error) {
    await keeper.leave();
    throw error;
  }
}
