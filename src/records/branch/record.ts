import { createHash } from 'node:crypto';
import type { Clock } from '#base/clock';
import type { SentBoundary, SentCcr, SentPackage } from '#messages';
import type { Database, Sql } from '#store/database';
import { asideAfter, dropAside, putAside, type Aside } from './aside.ts';
import { isNews, noticeBoundaries } from './boundaries.ts';
import { branchCcrs, branchCcrsAfter, keepCcr, type BranchCcr } from './ccrs.ts';

/** News is one thing a neighbour may have to be told. */
export interface News {
  key: string;
  body: unknown;
}

/** WantedPackage is a package of the parent that is on its way. */
export interface WantedPackage {
  origin: string;
  package: SentPackage;
  error: string | undefined;
}

const digestOf = (body: unknown): Buffer => createHash('sha256').update(JSON.stringify(body)).digest();

/** BranchRecord knows what the sites of a branch have told each other, and is the only writer of those tables. */
export class BranchRecord {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /** untold gives of all news of one kind those that a neighbour was not told as they are now, and takes note that it is told. */
  async untold(tx: Sql, peer: string, kind: string, news: readonly News[]): Promise<News[]> {
    const known = new Map(
      (
        await tx.query<{ key: string; digest: Buffer }>('select key, digest from branch_told where peer = $1 and kind = $2', [
          peer,
          kind,
        ])
      ).map(({ key, digest }) => [key, digest]),
    );
    const fresh = news.filter(({ key, body }) => !known.get(key)?.equals(digestOf(body)));
    await this.told(tx, peer, kind, fresh);
    return fresh;
  }

  /** told takes note of what a neighbour knows, as when it was the one who said it. */
  async told(tx: Sql, peer: string, kind: string, news: readonly News[]): Promise<void> {
    if (news.length === 0) return;
    const latest = new Map(news.map(({ key, body }) => [key, digestOf(body)]));
    await tx.query(
      `insert into branch_told (peer, kind, key, digest) select $1, $2, * from unnest($3::text[], $4::bytea[])
       on conflict (peer, kind, key) do update set digest = excluded.digest`,
      [peer, kind, [...latest.keys()], [...latest.values()]],
    );
  }

  /** toldKeys are the keys of one kind that a neighbour was ever told. */
  async toldKeys(tx: Sql, peer: string, kind: string): Promise<string[]> {
    const rows = await tx.query<{ key: string }>('select key from branch_told where peer = $1 and kind = $2', [peer, kind]);
    return rows.map(({ key }) => key);
  }

  /** boundaries gives all boundaries as they were last changed, the removed ones too; what was changed here since is noticed by it. */
  boundaries(tx: Sql): Promise<SentBoundary[]> {
    return noticeBoundaries(tx, this.#clock.now());
  }

  /** isNews takes note of a change of a boundary made elsewhere, and tells whether it is later than what is known here. */
  isNews(tx: Sql, sent: SentBoundary): Promise<boolean> {
    return isNews(tx, sent);
  }

  /** cursor is how far something has been told. */
  async cursor(name: string, via: Sql = this.#db): Promise<string | undefined> {
    const [row] = await via.query<{ value: string }>('select value from branch_cursor where name = $1', [name]);
    return row?.value;
  }

  async setCursor(tx: Sql, name: string, value: string): Promise<void> {
    await tx.query(
      'insert into branch_cursor (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value',
      [name, value],
    );
  }

  /** keepCcr keeps what a site below told of one of its CCRs. */
  keepCcr(tx: Sql, site: string, ccr: SentCcr): Promise<void> {
    return keepCcr(tx, site, ccr, this.#clock.now());
  }

  /** ccrs gives the CCRs of sites below, newest first. */
  ccrs(query: { site?: string | undefined; name?: string | undefined; limit?: number | undefined } = {}): Promise<BranchCcr[]> {
    return branchCcrs(this.#db, query);
  }

  /** ccrsAfter gives a page of all of them, by site and id. */
  ccrsAfter(after: Pick<BranchCcr, 'site' | 'id'> | undefined, limit: number): Promise<BranchCcr[]> {
    return branchCcrsAfter(this.#db, after, limit);
  }

  /** putAside keeps DDRs of sites below about machines that are in no boundary of their branch. */
  putAside(tx: Sql, items: readonly Aside[]): Promise<void> {
    return putAside(tx, items, this.#clock.now());
  }

  /** dropAside forgets those that are put aside no more. */
  dropAside(tx: Sql, items: readonly Pick<Aside, 'peer' | 'key'>[]): Promise<void> {
    return dropAside(tx, items);
  }

  /** asideAfter gives the next of them, as they stand in the table. */
  asideAfter(tx: Sql, after: Pick<Aside, 'peer' | 'key'> | undefined, limit: number): Promise<Aside[]> {
    return asideAfter(tx, after, limit);
  }

  /** prune forgets CCRs of sites below that ended long ago, and DDRs that were put aside long ago; it gives how many, `limit` of each at most. */
  async prune(before: { ccrs: Date; aside: Date }, limit = 5000): Promise<number> {
    const ccrs = await this.#db.count(
      `delete from branch_ccr where ctid = any(array(select ctid from branch_ccr
         where finished_at < $1 or (received_at < $1 and site not in (
           with recursive joined (code) as (select site from link where state = 'joined' union select s.code from site s join joined j on s.parent = j.code)
           select code from joined)) limit $2))`,
      [before.ccrs, limit],
    );
    const aside = await this.#db.count(
      'delete from branch_aside where ctid = any(array(select ctid from branch_aside where told_at < $1 limit $2))',
      [before.aside, limit],
    );
    return ccrs + aside;
  }

  /** want keeps a package of the parent until its files are here. Announced on 'branch_package'. */
  async want(tx: Sql, origin: string, wanted: SentPackage): Promise<void> {
    await tx.query(
      `insert into branch_package (name, origin, body, wanted_at) values ($1, $2, $3, $4)
       on conflict (name) do update set origin = excluded.origin, body = excluded.body, wanted_at = excluded.wanted_at, error = null`,
      [wanted.name, origin, JSON.stringify(wanted), this.#clock.now()],
    );
    await this.#db.notify('branch_package', wanted.name, tx);
  }

  /** wanted gives the packages of the parent whose files are not all here yet. */
  async wanted(): Promise<WantedPackage[]> {
    const rows = await this.#db.query<{ origin: string; body: SentPackage; error: string | null }>(
      'select origin, body, error from branch_package order by wanted_at, name',
    );
    return rows.map(({ origin, body, error }) => ({ origin, package: body, error: error ?? undefined }));
  }

  /** got ends the want of a package as it was read. */
  async got(tx: Sql, wanted: SentPackage): Promise<void> {
    await tx.query('delete from branch_package where name = $1 and body = $2', [wanted.name, JSON.stringify(wanted)]);
  }

  /** notGot tells why a package is not here yet. */
  async notGot(wanted: SentPackage, error: string): Promise<void> {
    await this.#db.query('update branch_package set error = $2 where name = $1', [wanted.name, error.slice(0, 500)]);
  }
}
