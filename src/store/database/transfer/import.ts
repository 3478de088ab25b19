import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { escapeIdentifier } from 'pg';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import { migrate, migrateTo, type Migrations } from '../migrate.ts';
import type { Database, Sql } from '../sql.ts';
import type { Carried } from './export.ts';
import { asWritten, linesOf, tablesOf, Tally, type Table } from './tables.ts';

const expand = promisify(gunzip);

/** A part holds some MiB of rows; what expands to more than this was not written by us. */
const LARGEST_PART = 512 * 1024 * 1024;
/** So many characters of rows go to the server in one statement. */
const BATCH = 1024 * 1024;

/** Part is a piece of a table: its name in the archive and its bytes. */
export interface Part {
  name: string;
  bytes: Buffer;
}

export interface ImportOptions {
  carried: Carried;
  records: Migrations[];
  clock: Clock;
  parts: AsyncIterable<Part>;
}

/** whatIsThere says in words what a database holds, or nothing when it is empty. */
export async function whatIsThere(sql: Sql): Promise<string | undefined> {
  const tables = await sql.query<{ name: string }>(
    `select relname as name from pg_class where relkind in ('r', 'p', 'v', 'm') and not relispartition
       and relnamespace = current_schema()::regnamespace order by relname`,
  );
  // A table of migrations alone is what a first start that failed has left.
  if (tables.every(({ name }) => name === 'migration')) return undefined;
  if (tables.some(({ name }) => name === 'site')) {
    const [site] = await sql.query<{ code: string }>('select code from site where own').catch(() => []);
    if (site) return `it holds the site ${site.code}`;
  }
  const names = tables.slice(0, 3).map(({ name }) => name);
  return `it has ${tables.length} tables, such as ${names.join(', ')}`;
}

async function insert(tx: Sql, table: Table, columns: readonly string[], lines: string[]): Promise<void> {
  const name = escapeIdentifier(table.name);
  const list = columns.map(escapeIdentifier).join(', ');
  await tx.query(
    `insert into ${name} (${list}) overriding system value select ${list} from json_populate_recordset(null::${name}, $1::json)`,
    [`[${lines.join(',')}]`],
  );
}

async function fill(tx: Sql, table: Table, columns: readonly string[], { bytes }: Part): Promise<void> {
  const text = (await expand(bytes, { maxOutputLength: LARGEST_PART })).toString('utf8');
  let batch: string[] = [];
  let size = 0;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    batch.push(line);
    if ((size += line.length) < BATCH) continue;
    await insert(tx, table, columns, batch);
    batch = [];
    size = 0;
  }
  if (batch.length > 0) await insert(tx, table, columns, batch);
}

/** compare reads a table back and holds it against what the export said of it. */
async function compare(tx: Sql, table: Table, wanted: Carried['tables'][number]): Promise<void> {
  const tally = new Tally();
  for await (const lines of linesOf(tx, { ...table, columns: wanted.columns })) tally.add(lines);
  const { rows, sha256 } = tally.end();
  if (rows !== wanted.rows)
    throw raise('PP_STORE_IMPORT_DIFFERS', { table: table.name, why: `it has ${rows} rows, and ${wanted.rows} were exported` });
  if (sha256 !== wanted.sha256)
    throw raise('PP_STORE_IMPORT_DIFFERS', { table: table.name, why: 'the SHA-256 of its rows is another one' });
}

async function importInto(tx: Sql, { carried, records, clock, parts }: ImportOptions, where: string): Promise<void> {
  await asWritten(tx);
  const what = await whatIsThere(tx);
  if (what !== undefined) throw raise('PP_STORE_NOT_EMPTY', { where, what });
  await migrateTo(tx, records, carried.migrations, clock);
  const tables = new Map((await tablesOf(tx)).map((table) => [table.name, table]));
  for (const { name, columns } of carried.tables) {
    const table = tables.get(name);
    const odd = table ? columns.find((column) => !table.columns.includes(column)) : name;
    if (!table || odd !== undefined) throw raise('PP_STORE_IMPORT_DIFFERS', { table: name, why: `${odd} is not known here` });
    // What a trigger would write, the export holds already.
    await tx.query(`alter table ${escapeIdentifier(name)} disable trigger user`);
    // A migration may have put rows there, which the export has as well.
    await tx.query(`delete from ${escapeIdentifier(name)}`);
  }
  for await (const part of parts) {
    const name = /^tables\/\d+-([^/]+)\/\d+\.jsonl\.gz$/.exec(part.name)?.[1] ?? '';
    const wanted = carried.tables.find((one) => one.name === name);
    if (!wanted) throw raise('PP_STORE_IMPORT_DIFFERS', { table: name, why: 'the export does not describe it' });
    await fill(tx, tables.get(name)!, wanted.columns, part);
  }
  for (const wanted of carried.tables) {
    const name = escapeIdentifier(wanted.name);
    await tx.query(`alter table ${name} enable trigger user`);
    await tx.query(`analyze ${name}`);
    await compare(tx, tables.get(wanted.name)!, wanted);
  }
  for (const { name, last } of carried.sequences)
    await tx.query('select setval($1::regclass, $2::bigint)', [escapeIdentifier(name), last]);
}

/**
 * importDatabase brings an export into an empty database, in one transaction: tables as they were when it was taken, rows, sequences; then
 * each table is read back and compared. After that the tables are brought to what this program needs.
 */
export async function importDatabase(db: Database, options: ImportOptions): Promise<string[]> {
  let begun = false;
  await db.transaction(
    async (tx) => {
      if (begun) throw raise('PP_STORE_UNREACHABLE', { where: db.url });
      begun = true;
      await importInto(tx, options, db.url);
    },
    { unlimited: true },
  );
  return await migrate(db, options.records, options.clock);
}
