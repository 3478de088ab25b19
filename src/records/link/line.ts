import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Database, Sql } from '#store/database';
import type { LinkHandlers, LinkItem, Peer } from './link.ts';
import type { Mark, OutBatch, Outbox } from './outbox.ts';
import { handOut, type IncomingItem } from './receipt.ts';
import { lockLink, type LinkRow } from './row.ts';

/** Incoming is a batch as a neighbour sent it. */
export interface Incoming {
  stream: number;
  first: number;
  items: readonly IncomingItem[];
}

/** Taken is what became of a batch: how far the stream has come, how many items were new, and how many of them were put aside. */
export interface Taken {
  mark: Mark;
  fresh: number;
  rejected: number;
}

/** Said is what a neighbour says of itself with each message. */
export interface Said {
  version: string;
  sealKey: string;
  skewMs: number;
  /** Of a parent: itself and its own parents. */
  path?: readonly string[] | undefined;
}

/** So many returns within so long are two servers of one site. */
const COPIES = 2;
const COPIES_MS = 3_600_000;

type Way = (via: Sql, to: string) => Promise<{ peer: string } | undefined>;

/** Rows of a snapshot that are queued in one transaction. */
const SNAPSHOT_ROWS = 1000;
/** What was put aside is kept so long. */
const KEPT_MS = 30 * 24 * 3_600_000;

/** Line is the exchange with one neighbour. Everything that changes the state of a link holds its row, so several processes may serve it. */
export class Line {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #outbox: Outbox;
  readonly #way: Way;

  constructor(db: Database, clock: Clock, outbox: Outbox, way: Way) {
    this.#db = db;
    this.#clock = clock;
    this.#outbox = outbox;
    this.#way = way;
  }

  /** begin opens a session, which ends the one before, and gives how far this site has come in the neighbour's stream. */
  async begin(peer: string, session: string, instance = ''): Promise<Mark & { copies: boolean }> {
    return this.#db.transaction(async (tx) => {
      const row = await lockLink(tx, peer);
      await tx.query('update link set session = $2, turn = 0 where site = $1', [peer, session]);
      const copies = instance !== '' && instance !== row.instance && (await this.#another(tx, row, instance));
      return { stream: row.in_stream, seq: row.in_seq, copies };
    });
  }

  /**
   * another takes note of another run of a neighbour's server. A server that was started anew never comes back as the one before it; one that
   * does speaks beside another one. One return may be a process of the site that took the line over and gave it back.
   */
  async #another(tx: Sql, row: LinkRow, instance: string): Promise<boolean> {
    const now = this.#clock.now();
    const back = instance === row.instance_before;
    const recent = row.copies_at !== null && now.getTime() - row.copies_at.getTime() < COPIES_MS;
    const copies = back ? (recent ? row.copies : 0) + 1 : recent ? row.copies : 0;
    await tx.query(
      `update link set instance = $2, instance_before = instance, copies = $3, copies_at = case when $4 then $5 else copies_at end where site = $1`,
      [row.site, instance, copies, back, now],
    );
    return back && copies === COPIES;
  }

  /** heard keeps what a neighbour said of itself; a line that works has no error. */
  async heard(peer: string, said: Said): Promise<void> {
    await this.#db.query(
      `update link set exchanged_at = $2, version = $3, seal_key = $4, skew_ms = $5, path = coalesce($6, path),
         error_code = null, error = null, error_at = null where site = $1`,
      [peer, this.#clock.now(), said.version, said.sealKey, Math.round(said.skewMs), said.path && [...said.path]],
    );
  }

  /** failed keeps why the line does not work. */
  async failed(peer: string, error: { code: string; message: string }): Promise<void> {
    await this.#db.query('update link set error_code = $2, error = $3, error_at = $4 where site = $1', [
      peer,
      error.code,
      error.message.slice(0, 1000),
      this.#clock.now(),
    ]);
  }

  /** receive takes a batch in, once: items that came before are skipped, and after a gap nothing is taken. */
  async receive(peer: string, batch: Incoming, handlers: LinkHandlers, session?: string): Promise<Taken> {
    return this.#db.transaction(async (tx) => {
      const row = await lockLink(tx, peer);
      if (session !== undefined && session !== row.session) throw raise('PP_LINK_SESSION');
      const known = { stream: row.in_stream, seq: row.in_seq };
      const nothing = { mark: known, fresh: 0, rejected: 0 };
      if (row.state === 'removed' || batch.stream < known.stream) return nothing;
      const from = batch.stream > known.stream ? 0 : known.seq;
      if (batch.first > from + 1) return nothing;
      const fresh = batch.items.slice(from + 1 - batch.first);
      if (fresh.length === 0) return nothing;
      const rejected = await this.#handOut(tx, row, fresh, handlers);
      const mark = { stream: batch.stream, seq: from + fresh.length };
      const now = this.#clock.now();
      await tx.query('update link set in_stream = $2, in_seq = $3, received_at = $4 where site = $1', [
        peer,
        mark.stream,
        mark.seq,
        now,
      ]);
      if (rejected > 0)
        await tx.query('delete from link_reject where peer = $1 and rejected_at < $2', [peer, new Date(now.getTime() - KEPT_MS)]);
      return { mark, fresh: fresh.length, rejected };
    });
  }

  async #handOut(tx: Sql, row: LinkRow, items: readonly IncomingItem[], handlers: LinkHandlers): Promise<number> {
    const [own] = await tx.query<{ code: string }>('select code from site where own');
    const { site: peer, role, skew_ms: skewMs } = row;
    const forward = (via: Sql, some: readonly IncomingItem[]) => this.#forward(via, some);
    return handOut({ tx, peer, role, own: own!.code, skewMs, handlers, clock: this.#clock, forward }, items);
  }

  async #forward(tx: Sql, items: readonly IncomingItem[]): Promise<void> {
    for (const { to, origin, ...item } of items) {
      const way = await this.#way(tx, to);
      if (!way) throw raise('PP_LINK_NO_WAY', { site: to });
      await this.#outbox.put(tx, { peer: way.peer, destination: to, origin }, [{ ...item, ordered: true }]);
    }
  }

  /** next takes note of what the neighbour has taken, where it said so, and gives the batch that follows. */
  async next(
    peer: string,
    o: { acked?: Mark | undefined; items: boolean; session?: { id: string; turn: number } | undefined },
  ): Promise<{ batch?: OutBatch | undefined; restarted?: string | undefined }> {
    return this.#db.transaction(async (tx) => {
      let row = await lockLink(tx, peer);
      if (row.state === 'removed') {
        if (!o.session) return {};
        const [own] = await tx.query<{ code: string }>('select code from site where own');
        throw raise('PP_LINK_REMOVED', { from: peer, site: own!.code });
      }
      if (o.session) {
        // A poll that was overtaken would look as if the neighbour had gone back in time.
        if (o.session.id !== row.session || o.session.turn < row.turn) throw raise('PP_LINK_SESSION');
        await tx.query('update link set turn = $2 where site = $1', [peer, o.session.turn]);
      }
      let restarted: string | undefined;
      if (o.acked) {
        restarted = await this.#outbox.acknowledge(tx, peer, row, o.acked);
        row = await lockLink(tx, peer);
      }
      return { restarted, batch: o.items ? await this.#outbox.take(tx, peer, row) : undefined };
    });
  }

  /** mark is how far this site has come in the neighbour's stream. */
  async mark(peer: string): Promise<Mark> {
    const [row] = await this.#db.query<Mark>('select in_stream stream, in_seq seq from link where site = $1', [peer]);
    return row ?? { stream: 0, seq: 0 };
  }

  /** lease lets one process of the site dial a neighbour for so long; it tells whether it is this one. */
  async lease(peer: string, owner: string, ms: number): Promise<boolean> {
    const now = this.#clock.now();
    const until = new Date(now.getTime() + ms);
    return (
      (await this.#db.count(
        `update link set lease_owner = $2, lease_until = $3
         where site = $1 and state = 'joined' and (lease_owner is null or lease_owner = $2 or lease_until < $4 or lease_until > $5)`,
        // A lease that ends later than any could is left from a clock that was set back.
        [peer, owner, until, now, new Date(now.getTime() + 2 * ms)],
      )) === 1
    );
  }

  /** release gives the lease back, so that another process need not wait for its end. */
  async release(peer: string, owner: string): Promise<void> {
    await this.#db.query('update link set lease_owner = null, lease_until = null where site = $1 and lease_owner = $2', [
      peer,
      owner,
    ]);
  }

  /** dismissed takes note that the parent removed this site: nothing goes there any more, and what waited is dropped. */
  async dismissed(parent: string): Promise<void> {
    await this.#db.transaction(async (tx) => {
      const now = this.#clock.now();
      await tx.query(`update link set state = 'removed', removed_at = $2 where site = $1 and state = 'joined'`, [parent, now]);
      await tx.query('delete from link_out where peer = $1', [parent]);
    });
  }

  /** unfilled lists the neighbours that must get everything anew. */
  async unfilled(): Promise<(Peer & { stream: number })[]> {
    return this.#db.query(`select site, role, out_stream stream from link where out_full and state = 'joined' order by site`);
  }

  /** fill queues everything that a neighbour must have; it gives how many items, or undefined where it is not for us to do (any more). */
  async fill(peer: Peer & { stream: number }, handlers: LinkHandlers, signal: AbortSignal): Promise<number | undefined> {
    let queued = 0;
    const queue = async (items: LinkItem[], last: boolean): Promise<boolean> =>
      this.#db.transaction(async (tx) => {
        const row = await lockLink(tx, peer.site);
        if (!row.out_full || row.out_stream !== peer.stream || row.state === 'removed') return false;
        const [own] = await tx.query<{ code: string }>('select code from site where own');
        await this.#outbox.put(tx, { peer: peer.site, destination: peer.site, origin: own!.code, keep: true }, items);
        if (last) {
          await tx.query('update link set out_full = false where site = $1', [peer.site]);
          await this.#db.notify('link', peer.site, tx);
        }
        return true;
      });
    let part: LinkItem[] = [];
    for (const handler of Object.values(handlers))
      for await (const item of handler.snapshot?.({ site: peer.site, role: peer.role }) ?? []) {
        signal.throwIfAborted();
        part.push(item);
        queued++;
        if (part.length < SNAPSHOT_ROWS) continue;
        if (!(await queue(part, false))) return undefined;
        part = [];
      }
    return (await queue(part, true)) ? queued : undefined;
  }
}
