import { raise } from '#base/errors';
import { compileFilter, shownName } from '#records/resource';
import type { Sql } from '#store/database';
import { checkName, collectionKey, SELECT_COLLECTIONS, type CollectionRow } from './collection.ts';
import { pathTo, pathUp, underneath } from './graph.ts';

/** DAY_MINUTES is how often all machines are judged where nobody says otherwise. */
export const DAY_MINUTES = 1440;
/** MOVING_MINUTES is the same for what changes with time alone. */
export const MOVING_MINUTES = 60;

/** CollectionChange is what is put into a collection, or taken out of it. */
export interface CollectionChange {
  direct?: readonly number[] | undefined;
  include?: readonly string[] | undefined;
  exclude?: readonly string[] | undefined;
}

/** Definitions are what of a collection itself can be changed; null takes away, what is not named stays. */
export interface Definitions {
  name?: string | undefined;
  comment?: string | undefined;
  query?: string | null | undefined;
  under?: string | null | undefined;
  limitTo?: string | null | undefined;
  everyMinutes?: number | undefined;
}

/** rowOf finds a collection by its name. */
export function rowOf(rows: readonly CollectionRow[], name: string): CollectionRow {
  const key = collectionKey(name);
  const found = rows.find((row) => collectionKey(row.name) === key);
  if (!found) throw raise('PP_COLLECTION_UNKNOWN', { name: shownName(name) });
  return found;
}

function loop(path: readonly string[]): Error {
  return raise('PP_COLLECTION_LOOP', { name: shownName(path[0]!), path: path.map(shownName).join(' → ') });
}

/** put writes rules and direct members; a rule that would close a loop is refused with the way that leads back. */
export async function put(tx: Sql, id: number, { direct, include, exclude }: CollectionChange): Promise<void> {
  for (const [kind, names] of [
    ['include', include ?? []],
    ['exclude', exclude ?? []],
  ] as const) {
    for (const name of names) {
      const rows = await tx.query<CollectionRow>(SELECT_COLLECTIONS);
      const other = rowOf(rows, name);
      const back = pathTo(rows, other.id, id);
      if (back) throw loop([rows.find((row) => row.id === id)!.name, ...back]);
      await tx.query(
        `insert into collection_rule (collection_id, kind, other_id) values ($1, $2, $3)
         on conflict (collection_id, other_id) do update set kind = excluded.kind`,
        [id, kind, other.id],
      );
    }
  }
  if (direct && direct.length > 0)
    await tx.query(
      'insert into collection_direct (collection_id, resource_id) select $1, unnest($2::integer[]) on conflict do nothing',
      [id, direct],
    );
}

/** redefine changes what makes a collection and gives its name; what would make it need itself, or stand under itself, is refused. */
export async function redefine(tx: Sql, id: number, given: Definitions, now: Date): Promise<string> {
  const { query, everyMinutes } = given;
  const rows = await tx.query<CollectionRow>(SELECT_COLLECTIONS);
  const own = rows.find((row) => row.id === id)!;
  const name = given.name === undefined ? own.name : checkName(given.name);
  if (rows.some((row) => row.id !== id && collectionKey(row.name) === collectionKey(name)))
    throw raise('PP_COLLECTION_EXISTS', { name: shownName(name) });
  const moving = typeof query === 'string' && compileFilter(query, now, () => '$1').moving;
  const other = (of: string | null | undefined, was: number | null) =>
    of === undefined ? was : of === null ? null : rowOf(rows, of).id;
  const parent = other(given.under, own.parent_id);
  const limit = other(given.limitTo, own.limit_id);
  const back = limit === null ? undefined : pathTo(rows, limit, id);
  if (back) throw loop([own.name, ...back]);
  if (parent !== null && underneath(rows, id).includes(parent)) throw loop([own.name, ...pathUp(rows, parent, id)]);
  // A time that nobody chose follows the query.
  const wasChosen = ![DAY_MINUTES, MOVING_MINUTES].includes(own.every_minutes);
  const every = query === undefined || wasChosen ? own.every_minutes : moving ? MOVING_MINUTES : DAY_MINUTES;
  await tx.query(
    `update collection set name = $2, name_key = $3, comment = $4, query = $5, parent_id = $6, limit_id = $7, every_minutes = $8
     where id = $1`,
    [
      id,
      name,
      collectionKey(name),
      given.comment ?? own.comment,
      query === undefined ? own.query : query,
      parent,
      limit,
      everyMinutes ?? every,
    ],
  );
  return name;
}
