import type { Clock } from '#base/clock';
import { PushpointError, raise } from '#base/errors';
import type { Log } from '#base/log';
import type { Database, Sql } from '#store/database';
import type { DataFolder, SiteFile } from './data-folder.ts';

/** The advisory lock of the process that has a site's inbox ('PPIN' in ASCII). */
const LOCK = 0x5050494e;
/** So long the server may need to notice that a killed process is gone. */
const PATIENCE_MS = 5000;
const LOOK_MS = 250;
/** How often a process that lost its lock with the connection asks whether it can have it back. */
const AGAIN_MS = 5000;

/**
 * checkDatabase holds a data folder and a database to one and the same site, before anything is changed there: a folder that is served over the database
 * of another site would push with that site's machines and this site's key. To `create` one the database must have none.
 */
export async function checkDatabase(database: Database, folder: DataFolder, file: SiteFile, create: boolean): Promise<void> {
  const [made] = await database.query<{ is: boolean }>("select to_regclass('site') is not null as is");
  if (!made!.is) return;
  const [own] = await database.query<{ code: string }>('select code from site where own');
  if (!own) return;
  if (create) throw raise('PP_SITE_DATABASE_TAKEN', { code: file.code, where: database.url, found: own.code });
  if (own.code !== file.code)
    throw raise('PP_SITE_DATABASE_OTHER', { where: database.url, found: own.code, data: folder.path, code: file.code });
}

/** whoHolds says from where the process that has the inbox is connected. */
async function whoHolds(sql: Sql): Promise<string> {
  const [other] = await sql.query<{ address: string | null; pid: number }>(
    `select host(a.client_addr) as address, a.pid from pg_locks l join pg_stat_activity a using (pid)
     where l.locktype = 'advisory' and l.granted and l.database = (select oid from pg_database where datname = current_database())
       and l.classid = 0 and l.objid = $1`,
    [LOCK],
  );
  if (!other) return 'another process';
  return `a process connected from ${other.address ?? 'this machine'} (PostgreSQL backend ${other.pid})`;
}

/**
 * holdInbox takes the role inbox for one process of all that share the database, whatever their data folders and machines are: two copies of a data
 * folder would both take dropped files in and both walk through all known machines. The lock falls when the process or its
 * machine dies. The returned function lets go of it.
 */
export async function holdInbox(o: {
  database: Database;
  folder: DataFolder;
  clock: Clock;
  log: Log;
}): Promise<() => Promise<void>> {
  const { database, folder, clock, log } = o;
  const over = new AbortController();
  const until = clock.monotonic() + PATIENCE_MS;
  let first: { resolve: () => void; reject: (error: unknown) => void } | undefined;
  const taken = new Promise<void>((resolve, reject) => (first = { resolve, reject }));
  const hold = async (tx: Sql): Promise<string | undefined> => {
    // A machine that lost its power says no farewell: the server asks whether it is still there.
    await tx.query(`select set_config('idle_in_transaction_session_timeout', '0', true), set_config('tcp_keepalives_idle', '15', true),
      set_config('tcp_keepalives_interval', '5', true), set_config('tcp_keepalives_count', '3', true)`);
    const [row] = await tx.query<{ got: boolean }>('select pg_try_advisory_xact_lock($1) as got', [LOCK]);
    if (!row!.got) return whoHolds(tx);
    first?.resolve();
    first = undefined;
    while (!over.signal.aborted) {
      await clock.sleep(AGAIN_MS, over.signal).catch(() => {});
      // Tells whether the connection, and with it the lock, is still there.
      await tx.query('select 1');
    }
    return undefined;
  };
  const work = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const other = await database.transaction(hold).catch((error: unknown) => {
        if (error instanceof PushpointError && first) first.reject(error);
        return undefined;
      });
      if (other !== undefined && first === undefined) {
        log.error('the role inbox of this site went to another process', { other });
      } else if (other !== undefined && clock.monotonic() >= until) {
        first!.reject(raise('PP_SITE_INBOX_TAKEN', { data: folder.path, where: database.url, who: other }));
        return;
      }
      await clock.sleep(first ? LOOK_MS : AGAIN_MS, over.signal).catch(() => {});
    }
  };
  const working = work();
  await taken;
  return async () => {
    over.abort();
    await working;
  };
}
