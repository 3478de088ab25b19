import type { Sql } from '#store/database';

/** Family is where people look for a report; the names are those of the original (facts F8). */
export type Family = 'Client Push' | 'Site - Client Information' | 'Site - Discovery' | 'Boundaries';

export type ReportParameter = 'site' | 'collection' | 'days';

export type Cell = string | number | boolean | Date | null;
export type ReportRow = Record<string, Cell>;

/** Column is one column of a report and what stands in it. */
export interface Column {
  name: string;
  means: string;
}

/** Asked is what a run is narrowed to, as SQL takes it: null is no limit. */
export interface Asked {
  site: string | null;
  collection: number | null;
  /** Now less the days. */
  since: Date;
  now: Date;
}

/** From is where a page begins: behind these keys, so many rows. */
export interface From {
  after: readonly (string | undefined)[];
  limit: number;
}

/** Found is a row with the keys by which the next page begins behind it. */
export interface Found {
  keys: string[];
  row: ReportRow;
}

/** Report is a question about the records that has a name. */
export interface Report {
  name: string;
  title: string;
  family: Family;
  /** What its rows are, in one sentence. */
  says: string;
  parameters: readonly ReportParameter[];
  /** The days that are meant where nobody says how many. */
  days?: number;
  columns: readonly Column[];
  /** Where the first page begins; none where all rows are made at once, because there are few. */
  first?: readonly string[];
  find(sql: Sql, asked: Asked, from: From): Promise<Found[]>;
}

/** columns makes columns of pairs of name and meaning. */
export function columns(pairs: Record<string, string>): Column[] {
  return Object.entries(pairs).map(([name, means]) => ({ name, means }));
}

const CODE = 'the error as administrators search for it (Win32); 0 and empty are none';

/** ERROR are the columns that tell an error. */
export const ERROR = {
  code: CODE,
  error: 'code of the error catalogue (docs/errors.md)',
  errorText: 'the error in words',
};

/** inCollection is the condition that a resource is a member of the collection that was asked for. */
export function inCollection(resourceId: string): string {
  return `(:collection::integer is null or exists (
    select from collection_member m where m.collection_id = :collection::integer and m.resource_id = ${resourceId}))`;
}

/** ofSite is the condition that a column is the site that was asked for. */
export function ofSite(column: string): string {
  return `(:site::text is null or ${column} = :site::text)`;
}

/** percent is a share of a whole with one digit behind the point. */
export function percent(part: string, whole: string): string {
  return `coalesce(round(100.0 * ${part} / nullif(${whole}, 0), 1), 0)::float8`;
}

/**
 * bound gives what a statement's words stand for: `:site`, `:collection`, `:since`, `:now`, `:limit`, and `:after1` to `:after3` for the keys.
 * A value that is not there is a constant to the server when it plans, so a condition that limits nothing costs nothing.
 */
function bound(text: string, asked: Asked, { after, limit }: From): { text: string; values: unknown[] } {
  const known: Record<string, unknown> = { ...asked, limit, after1: after[0], after2: after[1], after3: after[2] };
  const places = new Map<string, string>();
  const values: unknown[] = [];
  const placed = text.replace(/(?<!:):([a-z]+[123]?)\b/g, (_whole, word: string) => {
    const place = places.get(word) ?? `$${values.push(known[word] ?? null)}`;
    places.set(word, place);
    return place;
  });
  return { text: placed, values };
}

/**
 * asks makes the `find` of a report of one statement, whose columns are those of the report and, where it has pages, `key1` and `key2`.
 * What a database cannot know, `more` adds to a row.
 */
export function asks(text: string, more: (row: ReportRow) => ReportRow = (row) => row): Report['find'] {
  return async (sql, asked, from) => {
    const statement = bound(text, asked, from);
    const rows = await sql.query<ReportRow>(statement.text, statement.values);
    return rows.map(({ key1, key2, ...row }) => ({
      keys: [key1, key2].filter((key) => key !== undefined && key !== null).map(String),
      row: more(row),
    }));
  };
}
