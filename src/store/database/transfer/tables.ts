import { createHash } from 'node:crypto';
import { escapeIdentifier } from 'pg';
import type { Sql } from '../sql.ts';

/** Table is one table of a site: its columns that are carried, and those of its primary key, by which its rows are ordered. */
export interface Table {
  name: string;
  columns: string[];
  key: { name: string; isText: boolean }[];
}

/** The table of the migrations is made by migrating and not carried. */
const MIGRATION = 'migration';
/** So many rows are asked for at once: a row may hold the tail of a log, and all of them are in memory together. */
const ROWS = 500;

/**
 * tablesOf lists the tables of the site, each behind those it points to. A generated column is not carried, and neither is a transaction
 * number (xid8): it says something in the cluster that gave it, and nothing in another one.
 */
export async function tablesOf(sql: Sql): Promise<Table[]> {
  const rows = await sql.query<{
    name: string;
    columns: string[];
    key: string[] | null;
    texts: boolean[] | null;
    needs: string[] | null;
  }>(
    `select c.relname as name,
       (select coalesce(json_agg(a.attname order by a.attnum), '[]') from pg_attribute a where a.attrelid = c.oid and a.attnum > 0
         and not a.attisdropped and a.attgenerated = '' and a.atttypid <> 'xid8'::regtype) as columns,
       (select json_agg(a.attname order by k.n) from pg_index i, unnest(i.indkey::int2[]) with ordinality k(at, n), pg_attribute a
         where i.indrelid = c.oid and i.indisprimary and a.attrelid = c.oid and a.attnum = k.at) as key,
       (select json_agg(a.attcollation <> 0 order by k.n) from pg_index i, unnest(i.indkey::int2[]) with ordinality k(at, n), pg_attribute a
         where i.indrelid = c.oid and i.indisprimary and a.attrelid = c.oid and a.attnum = k.at) as texts,
       (select json_agg(distinct r.relname) from pg_constraint f join pg_class r on r.oid = f.confrelid
         where f.conrelid = c.oid and f.contype = 'f' and f.confrelid <> c.oid) as needs
     from pg_class c where c.relkind in ('r', 'p') and not c.relispartition and c.relname <> $1
       and c.relnamespace = current_schema()::regnamespace order by c.relname collate "C"`,
    [MIGRATION],
  );
  const placed = new Map<string, Table>();
  const place = (row: (typeof rows)[number]): void => {
    if (placed.has(row.name)) return;
    for (const need of row.needs ?? []) {
      const other = rows.find(({ name }) => name === need);
      if (other && other !== row) place(other);
    }
    if (!row.key) throw new Error(`the table ${row.name} has no primary key, so its rows have no order`);
    const key = row.key.map((name, i) => ({ name, isText: row.texts![i]! }));
    placed.set(row.name, { name: row.name, columns: row.columns, key });
  };
  for (const row of rows) place(row);
  return [...placed.values()];
}

/** asWritten makes values look the same on every server, whatever its settings are, and lifts the limits for ordinary work. */
export async function asWritten(tx: Sql): Promise<void> {
  const settings: Record<string, string> = {
    timezone: 'UTC',
    datestyle: 'ISO, YMD',
    intervalstyle: 'iso_8601',
    bytea_output: 'hex',
    extra_float_digits: '1',
    statement_timeout: '0',
    idle_in_transaction_session_timeout: '0',
  };
  for (const [name, value] of Object.entries(settings)) await tx.query(`set local ${name} = '${value}'`);
}

/** linesOf walks through a table in the order of its key; a row is one line of JSON. The order does not depend on the server's locale. */
export async function* linesOf(tx: Sql, { name, columns, key }: Table): AsyncGenerator<string[]> {
  const order = key.map((column) => `${escapeIdentifier(column.name)}${column.isText ? ' collate "C"' : ''}`);
  await tx.query(
    `declare carried no scroll cursor for select row_to_json(r)::text as line from
       (select ${columns.map(escapeIdentifier).join(', ')} from ${escapeIdentifier(name)} order by ${order.join(', ')}) r`,
  );
  for (;;) {
    const rows = await tx.query<{ line: string }>(`fetch forward ${ROWS} from carried`);
    if (rows.length > 0) yield rows.map(({ line }) => line);
    if (rows.length < ROWS) break;
  }
  await tx.query('close carried');
}

/** Tally counts rows and takes their sum, so that two tables can be compared. */
export class Tally {
  readonly #hash = createHash('sha256');
  rows = 0;

  add(lines: readonly string[]): void {
    for (const line of lines) this.#hash.update(line).update('\n');
    this.rows += lines.length;
  }

  end(): { rows: number; sha256: string } {
    return { rows: this.rows, sha256: this.#hash.digest('hex') };
  }
}
