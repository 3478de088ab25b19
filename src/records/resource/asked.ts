import { raise } from '#base/errors';
import type { SystemType } from './device.ts';
import { compileSearch, isWord, someTest, type Place } from './filter/compile.ts';
import { FLAGGED, fieldOf } from './filter/fields.ts';
import { readFilter, type Node } from './filter/tree.ts';

/** DeviceQuery narrows a list of devices; `filter` is a part of the name, an address, or a filter (docs/collections.md). */
export interface DeviceQuery {
  filter?: string | undefined;
  site?: string | undefined;
  type?: SystemType | undefined;
  /** Whether a client is known to be installed. */
  client?: boolean | undefined;
  /** The state of the machine's live CCR, or 'none'. */
  ccr?: string | undefined;
  /** Members of any of these collections. */
  collection?: readonly number[] | undefined;
  cursor?: string | undefined;
  limit?: number | undefined;
}

/** Bounds say how far each way of finding machines is followed before another one is taken. */
export interface Bounds {
  /** More systems, or places, than these are not gone through one by one: when so many fit, machines that do are not far apart. */
  kinds: number;
  /** Up to so many are gone through without first looking whether the next machines by name fill the page. */
  few: number;
  /** Up to so many are read side by side where other conditions must be true too; each of them is planned by itself. */
  merged: number;
  /** So many machines, by name, are looked at first. */
  next: number;
}

/** BOUNDS keep what is done in vain within a few milliseconds. */
export const BOUNDS: Bounds = { kinds: 1000, few: 64, merged: 16, next: 2000 };

function readCursor(cursor: string): [string, string] {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    throw raise('PP_REQUEST_CURSOR');
  }
  if (Array.isArray(value) && value.length === 2 && value.every((v) => typeof v === 'string' && !v.includes('\0')))
    return value as [string, string];
  throw raise('PP_REQUEST_CURSOR');
}

/** Asked is a query taken apart: what a filter can say, and what else must be true. */
export interface Asked {
  node: Node | undefined;
  /** other gives the conditions that no filter says. */
  other: (place: Place) => string[];
  isOther: boolean;
  client: boolean;
  after: [string, string] | undefined;
  now: Date;
  /** So many machines are wanted. */
  limit: number;
  bounds: Bounds;
}

const equal = (name: string, text: string): Node => ({
  is: 'test',
  field: fieldOf(name)!,
  operator: '=',
  values: [{ kind: 'quoted', text, column: 1 }],
  column: 1,
});

/** askedOf takes a query apart. */
export function askedOf(query: DeviceQuery, now: Date, limit: number, bounds: Bounds): Asked {
  const parts: Node[] = [];
  const words: string[] = [];
  if (query.filter && isWord(query.filter)) words.push(query.filter);
  else if (query.filter) parts.push(readFilter(query.filter));
  if (query.site !== undefined) parts.push(equal('assignedSite', query.site));
  if (query.type !== undefined) parts.push(equal('type', query.type));
  const { client, ccr, collection } = query;
  const other = (place: Place) => {
    const where = words.map((word) => compileSearch(word, now, place).where);
    if (client !== undefined) where.push(`(${FLAGGED}) = ${place(client, 'boolean')}`);
    if (ccr === 'none') where.push('not exists (select from ccr q where q.resource_id = r.id and q.finished_at is null)');
    else if (ccr !== undefined)
      where.push(
        `exists (select from ccr q where q.resource_id = r.id and q.finished_at is null and q.state = ${place(ccr, 'text')})`,
      );
    if (collection !== undefined)
      where.push(
        `r.id in (select resource_id from collection_member where collection_id = any(${place(collection, 'integer[]')}))`,
      );
    return where;
  };
  const node: Node | undefined = parts.length > 1 ? { is: 'and', parts } : parts[0];
  return {
    node,
    other,
    isOther: words.length > 0 || client !== undefined || ccr !== undefined || collection !== undefined,
    client: client !== undefined || (node !== undefined && someTest(node, (field) => field.client === true)),
    after: query.cursor === undefined ? undefined : readCursor(query.cursor),
    now,
    limit,
    bounds,
  };
}
