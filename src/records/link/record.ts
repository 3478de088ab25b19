import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import { openSealer, type Sealer } from '#store/vault';
import type { Database, Sql } from '#store/database';
import type { Link, LinkHandlers, LinkState, Outgoing, Role } from './link.ts';
import { Outbox, split, type Mark, type OutBatch } from './outbox.ts';
import { handOut, type IncomingItem } from './receipt.ts';

interface LinkRow {
  site: string;
  role: Role;
  state: 'joined' | 'removed';
  public_key: string;
  seal_key: string;
  url: string | null;
  pin: string | null;
  joined_at: Date;
  removed_at: Date | null;
  out_stream: number;
  out_seq: number;
  out_acked: number;
  out_full: boolean;
  in_stream: number;
  in_seq: number;
  session: string;
  turn: number;
  version: string;
  path: string[];
  exchanged_at: Date | null;
  received_at: Date | null;
  skew_ms: number;
  error_code: string | null;
  error: string | null;
  error_at: Date | null;
  restarts: number;
  restarted_why: string | null;
}

function linkOf(row: LinkRow): Link {
  return {
    site: row.site,
    role: row.role,
    state: row.state,
    publicKey: row.public_key,
    sealKey: row.seal_key,
    url: row.url ?? undefined,
    pin: row.pin ?? undefined,
    joinedAt: row.joined_at,
    removedAt: row.removed_at ?? undefined,
    path: row.path,
    version: row.version,
    exchangedAt: row.exchanged_at ?? undefined,
    receivedAt: row.received_at ?? undefined,
    skewMs: row.skew_ms,
    error:
      row.error_code === null ? undefined : { code: row.error_code, message: row.error ?? '', at: row.error_at ?? row.joined_at },
    sent: row.out_seq,
    acked: row.out_acked,
    received: row.in_seq,
    restarts: row.restarts,
    restartedWhy: row.restarted_why ?? undefined,
  };
}

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

/** NewLink is a neighbour as it joined, or as this site joined it. */
export interface NewLink {
  site: string;
  role: Role;
  publicKey: string;
  sealKey: string;
  url?: string | undefined;
  pin?: string | undefined;
  path?: string[] | undefined;
  version: string;
}

/** LinkRecord knows the neighbours of this site, what waits for them and what was taken from them; it is the only writer of those tables. */
export class LinkRecord {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #outbox: Outbox;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
    this.#outbox = new Outbox(db, clock);
  }

  /**
   * enqueue queues items in the producer's transaction and gives how many will travel. For a site without a parent what goes `to: 'parent'` is
   * nothing to send, so producers need not ask; for a site that no line leads to it raises PP_LINK_NO_WAY.
   */
  async enqueue(tx: Sql, items: Outgoing | readonly Outgoing[]): Promise<number> {
    let queued = 0;
    for (const [to, part] of split(Array.isArray(items) ? (items as readonly Outgoing[]) : [items as Outgoing])) {
      const way = await this.#way(tx, to);
      if (!way) {
        if (to === 'parent') continue;
        throw raise('PP_LINK_NO_WAY', { site: to });
      }
      await this.#outbox.put(tx, { peer: way.peer, destination: way.destination, origin: way.own }, part);
      queued += part.length;
    }
    return queued;
  }

  /** leadsTo tells whether a line leads to a site, so that what is enqueued for it travels. */
  async leadsTo(site: string, via: Sql = this.#db): Promise<boolean> {
    return (await this.#way(via, site)) !== undefined;
  }

  /** way finds the neighbour through which a site is reached: the parent, a child, or the child above a site further down. */
  async #way(via: Sql, to: string): Promise<{ peer: string; destination: string; own: string } | undefined> {
    if (to === 'parent') {
      const [up] = await via.exec<{ peer: string; own: string }>(
        {
          name: 'link_up',
          text: `select l.site peer, s.code own from link l, site s where l.role = 'parent' and l.state = 'joined' and s.own`,
        },
        [],
      );
      return up && { ...up, destination: up.peer };
    }
    const [down] = await via.exec<{ peer: string; own: string }>(
      {
        name: 'link_down',
        text: `with recursive up (code, parent, depth) as (
                 select code, parent, 0 from site where code = $1 and not own
                 union all
                 select s.code, s.parent, up.depth + 1 from up join site s on s.code = up.parent where not s.own and up.depth < 64
               )
               select l.site peer, own.code own from up join link l on l.site = up.code, site own
               where l.role = 'child' and l.state = 'joined' and own.own order by up.depth limit 1`,
      },
      [to],
    );
    return down && { ...down, destination: to };
  }

  /** sealerFor seals secrets for a neighbour, with the key that it said last. */
  async sealerFor(site: string, via: Sql = this.#db): Promise<Sealer> {
    const link = await this.get(site, via);
    if (!link || link.state === 'removed') throw raise('PP_LINK_NO_WAY', { site });
    return openSealer(link.sealKey);
  }

  async get(site: string, via: Sql = this.#db): Promise<Link | undefined> {
    const [row] = await via.exec<LinkRow>({ name: 'link_get', text: 'select * from link where site = $1' }, [site]);
    return row && linkOf(row);
  }

  /** parent is the link to the parent of this site, also where the parent removed it; undefined where there never was one. */
  async parent(via: Sql = this.#db): Promise<Link | undefined> {
    const [row] = await via.exec<LinkRow>(
      { name: 'link_parent', text: `select * from link where role = 'parent' order by state limit 1` },
      [],
    );
    return row && linkOf(row);
  }

  /** list gives all neighbours with the state of their lines. */
  async list(): Promise<LinkState[]> {
    const rows = await this.#db.query<LinkRow & { backlog: number; oldest_at: Date | null; rejected: number }>(
      `select l.*, o.backlog, o.oldest_at, (select count(*)::int from link_reject r where r.peer = l.site) rejected
       from link l, lateral (select count(*)::int backlog, min(queued_at) oldest_at from link_out where peer = l.site) o order by l.role desc, l.site`,
    );
    return rows.map((row) => ({
      ...linkOf(row),
      backlog: row.backlog,
      oldestAt: row.oldest_at ?? undefined,
      rejected: row.rejected,
    }));
  }

  /** join keeps a new neighbour, or one that joins again; in both cases everything is sent to it anew. */
  async join(tx: Sql, link: NewLink): Promise<void> {
    const now = this.#clock.now();
    await tx.query(
      `insert into link (site, role, state, public_key, seal_key, url, pin, joined_at, version, path, out_stream)
       values ($1, $2, 'joined', $3, $4, $5, $6, $7, $8, $9, $10)
       on conflict (site) do update set role = excluded.role, state = 'joined', public_key = excluded.public_key, seal_key = excluded.seal_key,
         url = excluded.url, pin = excluded.pin, joined_at = excluded.joined_at, removed_at = null, version = excluded.version,
         path = excluded.path, session = '', turn = 0, error_code = null, error = null, error_at = null,
         in_stream = case when link.public_key = excluded.public_key then link.in_stream else 0 end,
         in_seq = case when link.public_key = excluded.public_key then link.in_seq else 0 end`,
      [link.site, link.role, link.publicKey, link.sealKey, link.url, link.pin, now, link.version, link.path ?? [], now.getTime()],
    );
    const row = await this.#locked(tx, link.site);
    await this.#outbox.restart(tx, link.site, row, { stream: 0, seq: 0 }, 'the site joined');
    await tx.query('update link set restarts = 0, restarted_why = null where site = $1', [link.site]);
  }

  /** remove ends a link; what waits for the neighbour is dropped. */
  async remove(tx: Sql, site: string): Promise<void> {
    const touched = await tx.count(
      `update link set state = 'removed', removed_at = $2, session = '' where site = $1 and state = 'joined'`,
      [site, this.#clock.now()],
    );
    if (touched === 0) throw raise('PP_LINK_NO_WAY', { site });
    await tx.query('delete from link_out where peer = $1', [site]);
    await this.#db.notify('link', site, tx);
  }

  async #locked(tx: Sql, site: string): Promise<LinkRow> {
    const [row] = await tx.exec<LinkRow>({ name: 'link_lock', text: 'select * from link where site = $1 for update' }, [site]);
    if (!row) throw raise('PP_LINK_NO_WAY', { site });
    return row;
  }

  /** receive takes a batch in, once: items that came before are skipped, and after a gap nothing is taken. */
  async receive(peer: string, batch: Incoming, handlers: LinkHandlers): Promise<Taken> {
    return this.#db.transaction(async (tx) => {
      const row = await this.#locked(tx, peer);
      const known = { stream: row.in_stream, seq: row.in_seq };
      const nothing = { mark: known, fresh: 0, rejected: 0 };
      if (row.state === 'removed' || batch.items.length === 0 || batch.stream < known.stream) return nothing;
      const from = batch.stream > known.stream ? 0 : known.seq;
      if (batch.first > from + 1) return nothing;
      const fresh = batch.items.slice(from + 1 - batch.first);
      if (fresh.length === 0) return nothing;
      const [own] = await tx.query<{ code: string }>('select code from site where own');
      const rejected = await handOut(
        {
          tx,
          peer,
          role: row.role,
          own: own!.code,
          skewMs: row.skew_ms,
          handlers,
          clock: this.#clock,
          forward: (via, items) => this.#forward(via, items),
        },
        fresh,
      );
      const mark = { stream: batch.stream, seq: from + fresh.length };
      await tx.query('update link set in_stream = $2, in_seq = $3, received_at = $4 where site = $1', [
        peer,
        mark.stream,
        mark.seq,
        this.#clock.now(),
      ]);
      return { mark, fresh: fresh.length, rejected };
    });
  }

  async #forward(tx: Sql, items: readonly IncomingItem[]): Promise<void> {
    for (const { to, origin, ...item } of items) {
      const way = await this.#way(tx, to);
      if (!way) throw raise('PP_LINK_NO_WAY', { site: to });
      await this.#outbox.put(tx, { peer: way.peer, destination: to, origin }, [{ ...item, ordered: true }]);
    }
  }

  /** next acknowledges what the neighbour has taken, where it said so, and gives the batch that follows. */
  async next(
    peer: string,
    o: { acked?: Mark | undefined; items: boolean },
  ): Promise<{ batch?: OutBatch | undefined; restarted?: string | undefined }> {
    return this.#db.transaction(async (tx) => {
      let row = await this.#locked(tx, peer);
      if (row.state === 'removed') return {};
      let restarted: string | undefined;
      if (o.acked) {
        restarted = await this.#outbox.acknowledge(tx, peer, row, o.acked);
        row = await this.#locked(tx, peer);
      }
      return { restarted, batch: o.items ? await this.#outbox.take(tx, peer, row) : undefined };
    });
  }
}
