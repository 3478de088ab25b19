import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Random } from '#base/random';
import { openSealer, type Sealer, type Vault } from '#store/vault';
import type { Database, Sql } from '#store/database';
import { makeKey, openKey, resealKey, type SiteKey } from './key.ts';
import { Line } from './line.ts';
import type { Link, LinkState, Outgoing, Role } from './link.ts';
import { Outbox, split } from './outbox.ts';
import { SharedKeys } from './shared.ts';
import { linkOf, lockLink, type LinkRow } from './row.ts';
import { makeToken, tokenState, useToken, type JoinToken, type TokenState } from './tokens.ts';

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
  readonly #random: Random;
  readonly #outbox: Outbox;
  /** line is the exchange with one neighbour: what is taken from it and what it gets. */
  readonly line: Line;
  /** shared is what this site shares with others of its branch, for registration tokens. */
  readonly shared: SharedKeys;

  constructor(db: Database, clock: Clock, random: Random) {
    this.#db = db;
    this.#clock = clock;
    this.#random = random;
    this.#outbox = new Outbox(db, clock);
    this.shared = new SharedKeys(db, clock);
    this.line = new Line(db, clock, this.#outbox, (via, to) => this.#way(via, to));
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
    const row = await lockLink(tx, link.site);
    await this.#outbox.restart(tx, link.site, row, { stream: 0, seq: 0 }, 'the site joined');
    await tx.query('update link set restarts = 0, restarted_why = null where site = $1', [link.site]);
  }

  /** repin takes note of another TLS key of the parent; false where no such parent is reached over HTTPS. */
  async repin(site: string, pin: string, via: Sql = this.#db): Promise<boolean> {
    const done = await via.count(
      `update link set pin = $2, error_code = null, error = null, error_at = null
       where site = $1 and role = 'parent' and state = 'joined' and url like 'https:%'`,
      [site, pin],
    );
    await this.#db.notify('link', site, via);
    return done === 1;
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

  /** publicKey is the key this site is known by; it is made where there is none. */
  async publicKey(sealer: Sealer, via?: Sql): Promise<string> {
    return via ? makeKey(via, sealer, this.#clock) : this.#db.transaction((tx) => makeKey(tx, sealer, this.#clock));
  }

  /** key opens the key that this site signs with, and makes with it what the site shares with others. */
  async key(vault: Vault): Promise<SiteKey> {
    const key = await this.#db.transaction(async (tx) => {
      await makeKey(tx, vault, this.#clock);
      return openKey(tx, vault);
    });
    this.shared.use(key);
    return key;
  }

  /** reseal seals what this record holds anew, for another key of the vault, in the caller's transaction. */
  async reseal(change: (sealed: Uint8Array, purpose: string) => Uint8Array, tx: Sql): Promise<void> {
    await resealKey(tx, change);
  }

  /** makeToken makes a one-time token with which one site can join below this one. */
  async makeToken(tx: Sql, hours: number): Promise<JoinToken> {
    return makeToken(tx, { hours, clock: this.#clock, random: this.#random });
  }

  /** token looks a token up, for a join in the same transaction. */
  async token(tx: Sql, id: string): Promise<TokenState | undefined> {
    return tokenState(tx, id, this.#clock);
  }

  /** useToken takes a token whose proof holds, or says why it does not count any more. */
  async useToken(tx: Sql, id: string, state: TokenState, site: string): Promise<void> {
    await useToken(tx, id, state, site, this.#clock);
  }

  /** rejected lists what a neighbour sent and no handler took, the newest first. */
  async rejected(site: string, limit = 100): Promise<Rejected[]> {
    const rows = await this.#db.query<Omit<Rejected, 'rejectedAt'> & { rejected_at: Date }>(
      'select kind, key, code, reason, rejected_at from link_reject where peer = $1 order by id desc limit $2',
      [site, limit],
    );
    return rows.map(({ rejected_at, ...row }) => ({ ...row, rejectedAt: rejected_at }));
  }
}

/** Rejected is an item that no handler took. */
export interface Rejected {
  kind: string;
  key: string;
  code: string;
  reason: string;
  rejectedAt: Date;
}
