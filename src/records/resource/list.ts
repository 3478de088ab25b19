import { raise } from '#base/errors';
import type { Sql } from '#store/database';
import { devicesPicked, WITH_CLIENT, type Device, type SystemType } from './device.ts';
import { branchesOf, type Branch } from './filter/branches.ts';
import { compileAlike, compileNode, compileSearch, isWord, someTest, type Place } from './filter/compile.ts';
import { FLAGGED, fieldOf, type Alike } from './filter/fields.ts';
import { readFilter, type Node } from './filter/tree.ts';
import { nameKey } from './names.ts';

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

/** DevicePage is a page of devices in the order of their names. */
export interface DevicePage {
  items: Device[];
  next?: string;
}

const PAGE = 1000;

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

const ALIKE = ['system', 'place'] as const;
const ORDER = 'order by r.name_key, r.domain_key';

function cursorOf(device: Device): string {
  return Buffer.from(JSON.stringify([nameKey(device.name), device.domainKey])).toString('base64url');
}

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
interface Asked {
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

function askedOf(query: DeviceQuery, now: Date, limit: number, bounds: Bounds): Asked {
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

/** Kinds are the keys of the systems, or of the places, that machines can have that fit. */
interface Kinds {
  keys: number[];
  /** Two that have the same key by chance are not told apart by it, and one of them does not fit. */
  mixed: boolean;
}

/** Fitting has the kinds that fit; what is not there leaves all of them possible, or very many. */
type Fitting = Partial<Record<Alike, Kinds>>;

/** fittingOf looks which systems and places fit each of some filters. */
async function fittingOf(sql: Sql, branches: readonly Branch[], { now, bounds }: Asked): Promise<Fitting[]> {
  const values: unknown[] = [];
  const place: Place = (value, type) => `$${values.push(value)}::${type}`;
  const asked = branches.flatMap(({ node }, at) =>
    ALIKE.flatMap((alike) => {
      const where = compileAlike(node, alike, now, place);
      return where === undefined ? [] : [{ at, alike, where }];
    }),
  );
  const found: Fitting[] = branches.map(() => ({}));
  if (asked.length === 0) return found;
  const columns = asked.map(({ alike, where }, i) => {
    const some = `select k.key from resource_${alike} k group by k.key having bool_or(${where})`;
    return `array(${some} limit ${bounds.kinds + 1}) as k${i}, exists (${some} and not bool_and((${where}) is true)) as m${i}`;
  });
  const [row] = await sql.query<Record<string, number[] | boolean>>(`select ${columns.join(', ')}`, values);
  asked.forEach(({ at, alike }, i) => {
    const keys = row![`k${i}`] as number[];
    if (keys.length <= bounds.kinds) found[at]![alike] = { keys, mixed: row![`m${i}`] as boolean };
  });
  return found;
}

/** Way is one way to find the first machines that fit. */
interface Way {
  node: Node;
  fitting: Fitting;
  /** An index finds those that can fit, and the server knows it. */
  found: boolean;
  /** Nothing but these decides which machines fit. */
  pure: readonly Alike[] | undefined;
}

function wayOf({ node, narrow, known, joint }: Branch, fitting: Fitting, { isOther, bounds }: Asked): Way {
  const decide = ALIKE.filter((alike) => someTest(node, (field) => field.alike === alike));
  const isPure =
    !isOther &&
    !narrow &&
    !someTest(node, (field) => field.alike === undefined) &&
    decide.every((alike) => fitting[alike]?.mixed === false) &&
    (decide.length === 1 || (joint && lookups(fitting, decide) <= bounds.kinds));
  return { node, fitting, found: narrow || known, pure: isPure ? decide : undefined };
}

/** lookups is how many kinds, or pairs of them, there are. */
function lookups(fitting: Fitting, alike: readonly Alike[]): number {
  return alike.reduce((n, one) => n * (fitting[one]?.keys.length ?? Infinity), 1);
}

/** isSure tells whether a way finds a page without going through many machines in vain. */
function isSure({ found, fitting, pure }: Way, bounds: Bounds): boolean {
  return found || (pure !== undefined && lookups(fitting, pure) <= bounds.few);
}

/**
 * Picks makes the text that finds the first machines, by name, of one way: their id and the columns of the order. The places in it are those of
 * one statement.
 */
class Picks {
  readonly #asked: Asked;
  readonly #place: Place;
  readonly #after: string;

  constructor(asked: Asked, place: Place) {
    this.#asked = asked;
    this.#place = place;
    const { after } = asked;
    this.#after = after ? `and (r.name_key, r.domain_key) > (${place(after[0], 'text')}, ${place(after[1], 'text')})` : '';
  }

  #where(node: Node | undefined): string {
    const { other, now } = this.#asked;
    const filter = node ? [compileNode(node, now, this.#place).where] : [];
    return ['true', ...filter, ...other(this.#place)].join(' and ');
  }

  #from(rows: string, where: string): string {
    const { client, limit } = this.#asked;
    return `select r.id, r.name_key, r.domain_key from ${rows} r ${client ? WITH_CLIENT : ''} where ${where} ${ORDER} limit ${limit}`;
  }

  /** next looks only at the next machines by name; of one way only at those of the systems, or the places, that fit it. */
  next(ways: readonly Way[], node: Node): string {
    return this.#from(`(${this.#near(ways, this.#asked.bounds.next)})`, this.#where(node));
  }

  /** beyond tells whether there are more machines than next looks at. */
  beyond(ways: readonly Way[]): string {
    const { next } = this.#asked.bounds;
    return `select exists (${this.#near(ways, next + 1)} offset ${next}) as more`;
  }

  #near(ways: readonly Way[], most: number): string {
    const few = ways.length === 1 ? fewest(ways[0]!, this.#asked.bounds) : undefined;
    const of = (kind: string) => `select r.* from resource r where not r.obsolete${kind} ${this.#after} ${ORDER} limit ${most}`;
    if (!few) return of('');
    // Each kind's machines lie in the order of their names in an index; the server goes through them side by side, as far as it must.
    const parts = ways[0]!.fitting[few]!.keys.map((key) => `(${of(` and r.${few}_key = ${key}`)})`);
    return `select r.* from (${parts.join(' union all ')}) r ${ORDER} limit ${most}`;
  }

  /** all looks at all machines, as the server finds best. */
  all(): string {
    return this.#from('resource', `not r.obsolete ${this.#after} and ${this.#where(undefined)}`);
  }

  /** any finds the machines that fit in one way at least. */
  any(ways: readonly Way[]): string {
    if (ways.length === 1) return this.#of(ways[0]!);
    const parts = ways.map((way) => `(${this.#of(way)})`);
    return `select r.id, r.name_key, r.domain_key from (${parts.join(' union ')}) r ${ORDER} limit ${this.#asked.limit}`;
  }

  #of({ node, fitting, pure }: Way): string {
    if (pure) return this.#heads(pure, fitting);
    const kept = ALIKE.filter((alike) => fitting[alike]).map(
      (alike) => `and r.${alike}_key = any(${this.#place(fitting[alike]!.keys, 'integer[]')})`,
    );
    return this.#from('resource', `not r.obsolete ${this.#after} ${kept.join(' ')} and ${this.#where(node)}`);
  }

  /**
   * A page of n machines has none of a kind whose first machine comes behind the first ones of n other kinds; of the last of these n it has
   * one at most, and so on. However many machines there are, so many entries of an index are looked at: one of each kind, and n²/2.
   */
  #heads(pure: readonly Alike[], fitting: Fitting): string {
    const { limit } = this.#asked;
    const kinds = pure.map((alike) => `unnest(${this.#place(fitting[alike]!.keys, 'integer[]')}) as ${alike}`);
    const rows = (of: string, most: string) => `select r.id, r.name_key, r.domain_key from resource r
      where ${pure.map((alike) => `r.${alike}_key = ${of}${alike}`).join(' and ')} and not r.obsolete ${this.#after} ${ORDER} limit ${most}`;
    return `select r.id, r.name_key, r.domain_key from (
        select ${pure.join(', ')}, row_number() over (${ORDER}) as n from ${kinds.join(', ')}, lateral (${rows('', '1')}) r ${ORDER} limit ${limit}
      ) head, lateral (${rows('head.', `${limit + 1} - head.n`)}) r ${ORDER} limit ${limit}`;
  }
}

/** fewest gives what few enough kinds of it fit, so that their machines can be read side by side. */
function fewest({ fitting }: Way, { merged }: Bounds): Alike | undefined {
  const count = (alike: Alike) => fitting[alike]?.keys.length ?? Infinity;
  return ALIKE.filter((alike) => count(alike) <= merged).toSorted((a, b) => count(a) - count(b))[0];
}

/** first gives the first machines that are asked for, by name. */
async function first(sql: Sql, asked: Asked): Promise<Device[]> {
  const text = (make: (picks: Picks) => string) => {
    const values: unknown[] = [];
    return { text: make(new Picks(asked, (value, type) => `$${values.push(value)}::${type}`)), values };
  };
  const read = (make: (picks: Picks) => string) => {
    const picked = text(make);
    return devicesPicked(sql, picked.text, picked.values);
  };
  const { node } = asked;
  if (!node) return read((picks) => picks.all());
  const branches = branchesOf(node);
  const wide = branches.filter(({ narrow }) => !narrow);
  const fitting = new Map((await fittingOf(sql, wide, asked)).map((found, i) => [wide[i], found]));
  const ways = branches
    .map((branch) => wayOf(branch, fitting.get(branch) ?? {}, asked))
    // Where no system or no place fits, no machine does.
    .filter((way) => Object.values(way.fitting).every(({ keys }) => keys.length > 0));
  if (ways.length === 0) return [];
  if (!ways.every((way) => isSure(way, asked.bounds))) {
    const near = await read((picks) => picks.next(ways, node));
    if (near.length >= asked.limit) return near;
    const beyond = text((picks) => picks.beyond(ways));
    const [there] = await sql.query<{ more: boolean }>(beyond.text, beyond.values);
    if (!there!.more) return near;
  }
  return read((picks) => picks.any(ways));
}

/**
 * listDevices gives one page of devices, by name. A machine that just then gets a system or a place that no other has may be left out, as if the
 * page had been read before.
 */
export async function listDevices(sql: Sql, query: DeviceQuery, now: Date, bounds: Bounds): Promise<DevicePage> {
  const limit = Math.min(Math.max(Math.trunc(query.limit ?? 100), 1), PAGE);
  const page = await first(sql, askedOf(query, now, limit + 1, bounds));
  const items = page.slice(0, limit);
  return page.length > limit ? { items, next: cursorOf(items.at(-1)!) } : { items };
}
