import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import { type Database, type Sql } from '#store/database';
import type { LinkItem, Outgoing } from './link.ts';

/** One item has at most so many octets of JSON. */
const LARGEST_ITEM = 512 * 1024;
/** A batch ends after so many items, or with the item that reaches so many octets. */
const BATCH_ITEMS = 2000;
const BATCH_OCTETS = 2 * 1024 * 1024;
/** Rows that go to the server in one statement. */
const CHUNK = 5000;

/** Mark is a place in a stream: everything up to `seq` of it has been taken. */
export interface Mark {
  stream: number;
  seq: number;
}

/** OutBatch is what is to be sent next; `items` is the JSON text of the array, because bodies are kept as text. */
export interface OutBatch {
  stream: number;
  first: number;
  count: number;
  items: string;
}

interface Row {
  id: number;
  peer: string;
  destination: string;
  kind: string;
  key: string;
  ordered: boolean;
  body: string;
}

/** Stream is what the sender of a link knows of its own stream. */
interface Stream {
  out_stream: number;
  out_seq: number;
  out_acked: number;
  out_full: boolean;
}

/** Outbox holds what waits for each neighbour, and what was sent and is not yet acknowledged. */
export class Outbox {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /** put queues items for one neighbour; `keep` leaves those that wait already as they are, because they are newer than a snapshot. */
  async put(
    tx: Sql,
    at: { peer: string; destination: string; origin: string; keep?: boolean },
    items: readonly LinkItem[],
  ): Promise<void> {
    const rows = latest(items);
    for (let from = 0; from < rows.length; from += CHUNK) {
      const part = rows.slice(from, from + CHUNK);
      const column = <T>(of: (item: (typeof part)[number]) => T): T[] => part.map(of);
      await tx.query(
        `insert into link_out (peer, destination, origin, queued_at, kind, key, ordered, body)
         select (select site from link where site = $1 for key share), $2, $3, $4, * from unnest($5::text[], $6::text[], $7::boolean[], $8::text[])
         on conflict (peer, destination, kind, key) where seq is null and not ordered
         ${at.keep ? 'do nothing' : 'do update set id = excluded.id, origin = excluded.origin, body = excluded.body'}`,
        [
          at.peer,
          at.destination,
          at.origin,
          this.#clock.now(),
          column((i) => i.kind),
          column((i) => i.key),
          column((i) => i.ordered),
          column((i) => i.body),
        ],
      );
    }
    if (rows.length > 0) await this.#db.notify('link', at.peer, tx);
  }

  /** take gives the batch that follows what was acknowledged, in the caller's transaction, which holds the row of the link. */
  async take(tx: Sql, peer: string, stream: Stream): Promise<OutBatch | undefined> {
    const sent = await tx.query<Sized>(
      `select id, destination, origin, kind, key, body, seq from link_out where peer = $1 and seq > $2 order by seq limit $3`,
      [peer, stream.out_acked, BATCH_ITEMS],
    );
    if (sent.length > 0) return batchOf(stream.out_stream, fitting(sent));
    if (stream.out_full) return undefined; // the snapshot comes first
    const waiting = fitting(
      await tx.query<Sized>(
        `select id, destination, origin, kind, key, body, 0::bigint as seq from link_out
         where peer = $1 and seq is null order by id limit $2 for update`,
        [peer, BATCH_ITEMS],
      ),
    );
    if (waiting.length === 0) return undefined;
    waiting.forEach((row, i) => (row.seq = stream.out_seq + 1 + i));
    // The bounds keep the server from reading the whole backlog for each batch.
    await tx.query(
      `update link_out set seq = given.seq from unnest($1::bigint[], $2::bigint[]) given (id, seq)
       where link_out.id = given.id and link_out.id between $3 and $4`,
      [waiting.map((row) => row.id), waiting.map((row) => row.seq), waiting[0]!.id, waiting.at(-1)!.id],
    );
    await tx.query('update link set out_seq = $2 where site = $1', [peer, stream.out_seq + waiting.length]);
    return batchOf(stream.out_stream, waiting);
  }

  /**
   * acknowledge takes note of how far the other side has come, in the caller's transaction, which holds the row of the link. Where that does
   * not fit what was sent, one of the two sites was restored from a backup: everything is sent again, in a new stream. It gives why.
   */
  async acknowledge(tx: Sql, peer: string, own: Stream, mark: Mark): Promise<string | undefined> {
    const why = restored(own, mark);
    if (why !== undefined) {
      await this.restart(tx, peer, own, mark, why);
      return why;
    }
    if (mark.stream !== own.out_stream || mark.seq === own.out_acked) return undefined;
    await tx.query('delete from link_out where peer = $1 and seq <= $2', [peer, mark.seq]);
    await tx.query('update link set out_acked = $2 where site = $1', [peer, mark.seq]);
    return undefined;
  }

  /** restart begins a new stream: what was sent and not acknowledged waits again, and a snapshot is asked for. */
  async restart(tx: Sql, peer: string, own: Pick<Stream, 'out_stream'>, mark: Mark, why: string): Promise<void> {
    const stream = Math.max(this.#clock.now().getTime(), own.out_stream + 1, mark.stream + 1);
    await tx.query(
      `update link set out_stream = $2, out_seq = 0, out_acked = 0, out_full = true, restarts = restarts + 1, restarted_why = $3
       where site = $1`,
      [peer, stream, why],
    );
    // Of two items with one key the later one counts; it waits, or it was sent last.
    await tx.query(
      `delete from link_out o using link_out later
       where o.peer = $1 and o.seq is not null and not o.ordered and later.peer = o.peer and later.destination = o.destination
         and later.kind = o.kind and later.key = o.key and not later.ordered and later.id > o.id`,
      [peer],
    );
    await tx.query('update link_out set seq = null where peer = $1 and seq is not null', [peer]);
    await this.#db.notify('link', peer, tx);
  }
}

/** restored tells what is wrong with an acknowledgement, if it shows that one of the two sites went back in time. */
function restored(own: Stream, mark: Mark): string | undefined {
  if (mark.stream > own.out_stream) return 'this site was restored from a backup: the other one knows a later stream';
  if (mark.stream < own.out_stream)
    return own.out_acked > 0
      ? 'the other site was restored from a backup: it does not know the stream that it had acknowledged'
      : undefined;
  if (mark.seq > own.out_seq) return 'this site was restored from a backup: the other one has more than was ever sent';
  if (mark.seq < own.out_acked) return 'the other site was restored from a backup: it has less than it had acknowledged';
  return undefined;
}

type Sized = Omit<Row, 'peer' | 'ordered'> & { origin: string; seq: number };

function fitting(rows: Sized[]): Sized[] {
  let octets = 0;
  const end = rows.findIndex((row) => (octets += row.body.length) >= BATCH_OCTETS);
  return end < 0 ? rows : rows.slice(0, end + 1);
}

function batchOf(stream: number, rows: Sized[]): OutBatch {
  const items = rows.map(
    ({ destination, origin, kind, key, body }) =>
      `{"kind":${JSON.stringify(kind)},"key":${JSON.stringify(key)},"to":"${destination}","origin":"${origin}","body":${body}}`,
  );
  return { stream, first: rows[0]!.seq, count: rows.length, items: `[${items.join(',')}]` };
}

/** latest makes rows of items; of those that replace each other the last one, because a statement may touch a row once only. */
function latest(items: readonly LinkItem[]): { kind: string; key: string; ordered: boolean; body: string }[] {
  const rows = new Map<string, { kind: string; key: string; ordered: boolean; body: string }>();
  items.forEach(({ kind, key, body, ordered = false }, i) => {
    const text = JSON.stringify(body) ?? 'null';
    const bytes = Buffer.byteLength(text);
    if (bytes > LARGEST_ITEM) throw raise('PP_LINK_ITEM_TOO_LARGE', { kind, bytes });
    const name = ordered ? `#${i}` : `${kind}\n${key}`;
    rows.delete(name);
    rows.set(name, { kind, key, ordered, body: text });
  });
  return [...rows.values()];
}

/** split sorts outgoing items by where they go. */
export function split(items: readonly Outgoing[]): Map<string, LinkItem[]> {
  const by = new Map<string, LinkItem[]>();
  for (const { to, ...item } of items) {
    const list = by.get(to);
    if (list) list.push(item);
    else by.set(to, [item]);
  }
  return by;
}
