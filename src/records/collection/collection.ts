import { raise } from '#base/errors';
import { shownName } from '#records/resource';

/** Collection is a group of machines: by a query, one by one, or by other collections. */
export interface Collection {
  id: number;
  name: string;
  comment: string;
  builtin: boolean;
  /** A filter; machines that fit are members. */
  query?: string | undefined;
  /** The collection it stands under. */
  under?: string | undefined;
  /** Only members of that one can be members. */
  limitedTo?: string | undefined;
  include: string[];
  exclude: string[];
  /** How many machines were put in one by one. */
  direct: number;
  members: number;
  everyMinutes: number;
  createdAt?: Date | undefined;
  createdBy: string;
  /** When all machines were judged last; single ones are judged whenever they change. */
  evaluatedAt?: Date | undefined;
  evaluationMs?: number | undefined;
  /** Why it could not be evaluated. */
  error?: string | undefined;
}

/** Definition is what an evaluation needs of a collection. */
export interface Definition {
  id: number;
  name: string;
  query: string | null;
  include: number[];
  exclude: number[];
  limit_id: number | null;
  parent_id: number | null;
}

/** CollectionRow is a collection as it is stored, with the rules of others beside it. */
export interface CollectionRow extends Definition {
  comment: string;
  builtin: boolean;
  direct: number;
  members: number;
  every_minutes: number;
  created_at: Date | null;
  created_by: string;
  evaluated_at: Date | null;
  evaluation_ms: number | null;
  stale: boolean;
  error: string | null;
}

/** SELECT_COLLECTIONS reads collections with their rules; there are hundreds of them, not thousands. */
export const SELECT_COLLECTIONS = `select c.*,
  coalesce((select array_agg(other_id order by other_id) from collection_rule where collection_id = c.id and kind = 'include'), '{}') as include,
  coalesce((select array_agg(other_id order by other_id) from collection_rule where collection_id = c.id and kind = 'exclude'), '{}') as exclude,
  (select count(*)::integer from collection_direct where collection_id = c.id) as direct
  from collection c order by c.builtin desc, c.name_key`;

/** collectionOf makes a collection of a row; `names` are those of all collections. */
export function collectionOf(row: CollectionRow, names: ReadonlyMap<number, string>): Collection {
  const named = (ids: readonly number[]) => ids.map((id) => names.get(id)!).sort();
  const other = (id: number | null) => (id === null ? undefined : names.get(id));
  return {
    id: row.id,
    name: row.name,
    comment: row.comment,
    builtin: row.builtin,
    query: row.query ?? undefined,
    under: other(row.parent_id),
    limitedTo: other(row.limit_id),
    include: named(row.include),
    exclude: named(row.exclude),
    direct: row.direct,
    members: row.members,
    everyMinutes: row.every_minutes,
    createdAt: row.created_at ?? undefined,
    createdBy: row.created_by,
    evaluatedAt: row.evaluated_at ?? undefined,
    evaluationMs: row.evaluation_ms ?? undefined,
    error: row.error ?? undefined,
  };
}

const LONGEST = 100;

/** collectionKey is what names of collections are compared by. */
export function collectionKey(name: string): string {
  return name.trim().toUpperCase();
}

/** checkName lets in the name of a new collection. */
export function checkName(given: string): string {
  const name = given.trim();
  const wrong = (why: string) => raise('PP_COLLECTION_NAME', { name: shownName(given), why });
  if (name === '') throw wrong('it is empty');
  if (name.length > LONGEST) throw wrong(`it is longer than ${LONGEST} characters`);
  if (/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069/\\]/.test(name) || !name.isWellFormed())
    throw wrong('it has control characters, or slashes');
  return name;
}
