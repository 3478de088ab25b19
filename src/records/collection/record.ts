import type { Clock } from '#base/clock';
import { PushpointError, raise } from '#base/errors';
import { compileFilter, shownName } from '#records/resource';
import type { Database, Sql } from '#store/database';
import { checkName, collectionKey, collectionOf, SELECT_COLLECTIONS, type Collection, type CollectionRow } from './collection.ts';
import { DAY_MINUTES, MOVING_MINUTES, put, redefine, rowOf, type CollectionChange, type Definitions } from './define.ts';
import { evaluate, type Moved } from './evaluate.ts';
import { dependents, inOrder, underneath } from './graph.ts';

/** NewCollection is what a person says of a collection that is to be made; other collections are named. */
export interface NewCollection {
  name: string;
  comment?: string | undefined;
  query?: string | undefined;
  under?: string | undefined;
  limitTo?: string | undefined;
  include?: readonly string[] | undefined;
  exclude?: readonly string[] | undefined;
  /** Machines, by id. */
  direct?: readonly number[] | undefined;
  everyMinutes?: number | undefined;
}

/** Evaluated is what an evaluation of all machines did to one collection. */
export interface Evaluated extends Moved {
  name: string;
  members: number;
  ms: number;
  error?: string | undefined;
}

/** Caught is what judging changed machines again did. */
export interface Caught extends Moved {
  /** So many machines had changed. */
  machines: number;
  more: boolean;
}

/** Members are written by one at a time: each evaluation builds on what the one before has left. */
const LOCK = 1129270348;
/** So many changed machines are judged in one transaction. */
const BATCH = 2000;
const MINUTE_MS = 60_000;

/** CollectionRecord knows the collections, and is the only writer of the tables collection*. Definitions that change are announced on 'collection'. */
export class CollectionRecord {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  #within<T>(via: Sql | undefined, work: (tx: Sql) => Promise<T>): Promise<T> {
    const locked = async (tx: Sql) => {
      await tx.query('select pg_advisory_xact_lock($1)', [LOCK]);
      // Members of a million machines are sorted in memory, not in files.
      await tx.query("select set_config('work_mem', '64MB', true), set_config('statement_timeout', '0', true)");
      return work(tx);
    };
    return via ? locked(via) : this.#db.transaction(locked, { unlimited: true });
  }

  /** list gives all collections, built-in ones first, then by name. */
  async list(via: Sql = this.#db): Promise<Collection[]> {
    const rows = await via.query<CollectionRow>(SELECT_COLLECTIONS);
    const names = new Map(rows.map(({ id, name }) => [id, name]));
    return rows.map((row) => collectionOf(row, names));
  }

  /** get gives one collection by its name. */
  async get(name: string, via: Sql = this.#db): Promise<Collection> {
    const rows = await via.query<CollectionRow>(SELECT_COLLECTIONS);
    const names = new Map(rows.map((row) => [row.id, row.name]));
    return collectionOf(rowOf(rows, name), names);
  }

  /** subtree gives the ids of a collection and, unless they are not wanted, of its subcollections and theirs. */
  async subtree(name: string, subcollections: boolean, via: Sql = this.#db): Promise<number[]> {
    const rows = await via.query<CollectionRow>(SELECT_COLLECTIONS);
    const { id } = rowOf(rows, name);
    return subcollections ? underneath(rows, id) : [id];
  }

  /** having gives the names of the collections that a machine is a member of. */
  async having(resourceId: number): Promise<string[]> {
    const rows = await this.#db.query<{ name: string }>(
      `select c.name from collection c where exists (
         select from collection_member m where m.collection_id = c.id and m.resource_id = $1) order by c.name_key`,
      [resourceId],
    );
    return rows.map(({ name }) => name);
  }

  /** create makes a collection and evaluates it. */
  async create(given: NewCollection, by: string, via?: Sql): Promise<Collection> {
    const name = checkName(given.name);
    const now = this.#clock.now();
    let moving = false;
    if (given.query !== undefined) ({ moving } = compileFilter(given.query, now, () => '$1'));
    return this.#within(via, async (tx) => {
      const rows = await tx.query<CollectionRow>(SELECT_COLLECTIONS);
      const other = (of: string | undefined) => (of === undefined ? null : rowOf(rows, of).id);
      if (rows.some((row) => collectionKey(row.name) === collectionKey(name)))
        throw raise('PP_COLLECTION_EXISTS', { name: shownName(name) });
      const [made] = await tx.query<{ id: number }>(
        `insert into collection (name, name_key, comment, query, parent_id, limit_id, every_minutes, created_at, created_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id`,
        [
          name,
          collectionKey(name),
          given.comment ?? '',
          given.query,
          other(given.under),
          other(given.limitTo),
          given.everyMinutes ?? (moving ? MOVING_MINUTES : DAY_MINUTES),
          now,
          by,
        ],
      );
      await put(tx, made!.id, given);
      await this.#evaluateFrom(tx, made!.id);
      return this.get(name, tx);
    });
  }

  /** set changes what makes a collection: its query, what it is limited to, where it stands, its name and how often it is judged. */
  async set(name: string, given: Definitions, via?: Sql): Promise<Collection> {
    return this.#change(name, via, (tx, id) => redefine(tx, id, given, this.#clock.now()));
  }

  /** add puts machines, or the members of other collections, into a collection. */
  add(name: string, change: CollectionChange, via?: Sql): Promise<Collection> {
    return this.#change(name, via, (tx, id) => put(tx, id, change));
  }

  /** remove takes machines that were put in one by one, or rules, out of a collection. */
  remove(name: string, { direct, include, exclude }: CollectionChange, via?: Sql): Promise<Collection> {
    return this.#change(name, via, async (tx, id) => {
      const rows = await tx.query<CollectionRow>(SELECT_COLLECTIONS);
      const others = [...(include ?? []), ...(exclude ?? [])].map((other) => rowOf(rows, other).id);
      await tx.query('delete from collection_rule where collection_id = $1 and other_id = any($2)', [id, others]);
      await tx.query('delete from collection_direct where collection_id = $1 and resource_id = any($2)', [id, direct ?? []]);
    });
  }

  #change(name: string, via: Sql | undefined, work: (tx: Sql, id: number) => Promise<string | void>): Promise<Collection> {
    return this.#within(via, async (tx) => {
      const row = rowOf(await tx.query<CollectionRow>(SELECT_COLLECTIONS), name);
      if (row.builtin) throw raise('PP_COLLECTION_BUILTIN', { name: row.name });
      const called = await work(tx, row.id);
      await this.#evaluateFrom(tx, row.id);
      return this.get(called ?? row.name, tx);
    });
  }

  /** delete forgets a collection; the machines stay. One that others need, or that has subcollections, is refused. */
  delete(name: string, via?: Sql): Promise<Collection> {
    return this.#within(via, async (tx) => {
      const rows = await tx.query<CollectionRow>(SELECT_COLLECTIONS);
      const row = rowOf(rows, name);
      if (row.builtin) throw raise('PP_COLLECTION_BUILTIN', { name: row.name });
      const users = rows.filter(
        (other) =>
          [...other.include, ...other.exclude].includes(row.id) || other.limit_id === row.id || other.parent_id === row.id,
      );
      if (users.length > 0)
        throw raise('PP_COLLECTION_USED', {
          name: shownName(row.name),
          users: users.map((one) => shownName(one.name)).join(', '),
        });
      await tx.query('delete from collection_member where collection_id = $1', [row.id]);
      await tx.query('delete from collection where id = $1', [row.id]);
      return collectionOf(row, new Map(rows.map((one) => [one.id, one.name])));
    });
  }

  /** evaluate judges all machines anew for one collection and for those that need it, or for all collections. */
  evaluate(name: string | undefined, via?: Sql): Promise<Evaluated[]> {
    return this.#within(via, async (tx) => {
      const rows = await tx.query<CollectionRow>(SELECT_COLLECTIONS);
      if (name !== undefined) return this.#evaluateFrom(tx, rowOf(rows, name).id);
      return this.#evaluateRows(tx, inOrder(rows));
    });
  }

  async #evaluateFrom(tx: Sql, id: number): Promise<Evaluated[]> {
    const rows = await tx.query<CollectionRow>(SELECT_COLLECTIONS);
    const wanted = dependents(rows, id);
    // What was never evaluated comes first: others may be made of it.
    const done = await this.#evaluateRows(
      tx,
      inOrder(rows).filter((row) => row.stale || wanted.has(row.id)),
    );
    await this.#db.notify('collection', '', tx);
    return done;
  }

  async #evaluateRows(tx: Sql, rows: readonly CollectionRow[]): Promise<Evaluated[]> {
    const done: Evaluated[] = [];
    for (const row of rows) {
      const begun = this.#clock.monotonic();
      const wrong = whyNot(row, this.#clock.now());
      const moved = wrong === undefined ? await evaluate(tx, row, 'all', this.#clock.now()) : { come: 0, gone: 0 };
      const ms = Math.round(this.#clock.monotonic() - begun);
      const [now] = await tx.query<{ members: number }>(
        `update collection set members = members + $2, evaluated_at = $3, evaluation_ms = $4, stale = false, error = $5
         where id = $1 returning members`,
        [row.id, moved.come - moved.gone, this.#clock.now(), ms, wrong],
      );
      done.push({ name: row.name, ...moved, members: now!.members, ms, error: wrong });
    }
    return done;
  }

  /** evaluateDue evaluates the collections that nobody has evaluated for their time, one transaction each, and those that need them. */
  async evaluateDue(): Promise<Evaluated[]> {
    const done: Evaluated[] = [];
    for (const { id } of inOrder(await this.#db.query<CollectionRow>(SELECT_COLLECTIONS))) {
      const part = await this.#within(undefined, async (tx) => {
        // Asked again under the lock: another process may have done it, or a collection before it.
        const [row] = await tx.query<CollectionRow>('select * from collection where id = $1', [id]);
        if (!row || !isDue(row, this.#clock.now())) return [];
        return this.#evaluateFrom(tx, id);
      });
      done.push(...part);
    }
    return done;
  }

  /** catchUp judges some of the machines again that have changed, for every collection; it is for the caller to go on while there are more. */
  async catchUp(): Promise<Caught> {
    const [any] = await this.#db.exec<{ id: number }>(
      { name: 'collection_any', text: 'select id from collection_change limit 1' },
      [],
    );
    if (!any) return { machines: 0, come: 0, gone: 0, more: false };
    return this.#within(undefined, async (tx) => {
      const taken = await tx.query<{ id: number; resource_id: number }>(
        // One bound instead of a list: a server whose figures of this table are of when it was empty would compare each with each.
        `delete from collection_change
         where id <= (select max(id) from (select id from collection_change order by id limit $1) as first) returning resource_id`,
        [BATCH],
      );
      const ids = [...new Set(taken.map((row) => row.resource_id))];
      const total: Caught = { machines: ids.length, come: 0, gone: 0, more: taken.length === BATCH };
      if (ids.length === 0) return total;
      await tx.query(
        `delete from collection_direct d where resource_id = any($1) and not exists (select from resource r where r.id = d.resource_id)`,
        [ids],
      );
      const now = this.#clock.now();
      for (const row of inOrder(await tx.query<CollectionRow>(SELECT_COLLECTIONS))) {
        // A stale one is evaluated as a whole before it is used.
        if (row.stale || whyNot(row, now) !== undefined) continue;
        const { come, gone } = await evaluate(tx, row, ids, now);
        if (come !== gone) await tx.query('update collection set members = members + $2 where id = $1', [row.id, come - gone]);
        total.come += come;
        total.gone += gone;
      }
      return total;
    });
  }

  /** freshen brings all collections up to date: what is due is evaluated, and what changed is judged again. */
  async freshen(): Promise<void> {
    while ((await this.catchUp()).more) {
      // the next part
    }
    await this.evaluateDue();
  }
}

function isDue(row: CollectionRow, now: Date): boolean {
  if (row.stale || row.evaluated_at === null) return true;
  return now.getTime() - row.evaluated_at.getTime() >= row.every_minutes * MINUTE_MS;
}

/** whyNot says why a query cannot be evaluated: one of another release may know other fields. */
function whyNot(row: CollectionRow, now: Date): string | undefined {
  try {
    if (row.query !== null) compileFilter(row.query, now, () => '$1');
    return undefined;
  } catch (error) {
    if (error instanceof PushpointError) return error.message;
    throw error;
  }
}
