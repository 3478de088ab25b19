import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { raise } from '#base/errors';
import type { Database, Sql } from '../sql.ts';
import { asWritten, linesOf, tablesOf, Tally, type Table } from './tables.ts';

const compress = promisify(gzip);

/** CarriedTable is what an export says of a table, and what must be found again after its import. */
export interface CarriedTable {
  name: string;
  columns: string[];
  rows: number;
  sha256: string;
}

/** Carried is what an export says of a database beside its rows. */
export interface Carried {
  /** postgres is the version of the server that the rows come from. */
  postgres: string;
  migrations: { id: string; checksum: string }[];
  tables: CarriedTable[];
  sequences: { name: string; last: string }[];
}

/** A part holds about so many characters of rows before it is compressed. */
const PART = 4 * 1024 * 1024;

/** partName is the name of a part of a table; parts sort in the order in which they must be read. */
export function partName(table: number, name: string, part: number): string {
  return `tables/${String(table).padStart(2, '0')}-${name}/${String(part).padStart(5, '0')}.jsonl.gz`;
}

async function exportTable(
  tx: Sql,
  table: Table,
  at: number,
  add: (name: string, bytes: Uint8Array) => Promise<void>,
): Promise<CarriedTable> {
  const tally = new Tally();
  let lines: string[] = [];
  let size = 0;
  let part = 0;
  const flush = async () => {
    if (lines.length === 0) return;
    await add(partName(at, table.name, ++part), await compress(`${lines.join('\n')}\n`, { level: 3 }));
    lines = [];
    size = 0;
  };
  for await (const some of linesOf(tx, table)) {
    tally.add(some);
    for (const line of some) size += line.length;
    lines.push(...some);
    if (size >= PART) await flush();
  }
  await flush();
  return { name: table.name, columns: table.columns, ...tally.end() };
}

/**
 * exportDatabase gives all rows of a site as they are at one instant, while others go on working, in parts of some MiB one after another, so
 * that memory does not grow with the tables. The database is not migrated: an export can be taken before an update of the program.
 */
export async function exportDatabase(db: Database, add: (name: string, bytes: Uint8Array) => Promise<void>): Promise<Carried> {
  let begun = false;
  return await db.transaction(
    async (tx) => {
      // Parts that were given out cannot be taken back, so a lost connection ends it.
      if (begun) throw raise('PP_STORE_UNREACHABLE', { where: db.url });
      begun = true;
      await tx.query('set transaction read only');
      await asWritten(tx);
      const [server] = await tx.query<{ version: string }>("select current_setting('server_version') as version");
      const [made] = await tx.query<{ is: boolean }>("select to_regclass('migration') is not null as is");
      if (!made!.is) throw raise('PP_SITE_NONE');
      const migrations = await tx.query<{ id: string; checksum: string }>(
        `select record || '/' || name as id, checksum from migration order by record collate "C", name collate "C"`,
      );
      const tables: CarriedTable[] = [];
      for (const [i, table] of (await tablesOf(tx)).entries()) tables.push(await exportTable(tx, table, i + 1, add));
      // Sequences belong to no snapshot: read last, they are never behind the rows.
      const sequences = await tx.query<{ name: string; last: string }>(
        `select sequencename as name, last_value::text as last from pg_sequences
         where schemaname = current_schema() and last_value is not null order by sequencename collate "C"`,
      );
      return { postgres: server!.version, migrations, tables, sequences };
    },
    { isolation: 'repeatable read', unlimited: true },
  );
}

/** countRows tells how many rows an export would hold. */
export async function countRows(db: Database): Promise<{ tables: number; rows: number }> {
  return await db.transaction(async (tx) => {
    await asWritten(tx);
    const tables = await tablesOf(tx);
    let rows = 0;
    for (const { name } of tables) rows += (await tx.query<{ n: number }>(`select count(*) as n from "${name}"`))[0]!.n;
    return { tables: tables.length, rows };
  });
}
