import type { Clock } from '#base/clock';
import { branchKey, branchTokenSecret, readBranchToken, readPublicKey, tokenKeyOf } from '#messages';
import type { Database, Sql } from '#store/database';
import type { SiteKey } from './key.ts';

/** Shared is what this site, `own`, and another one of its branch share: registration tokens that both take are made with it. */
export interface Shared {
  own: string;
  key: Uint8Array;
}

/** A process that cannot make it asks the one that can, and waits so long, looking so often. */
const PATIENCE_MS = 2000;
const LOOK_MS = 50;
/** Anybody can show a token, so only so many wait. */
const MOST = 200;
const KEPT_MS = 60_000;

/**
 * SharedKeys makes what two sites share, of the key of this one and the public key of the other (messages/branch-token). It is kept nowhere, so
 * that no tokens can be made from a copy of the database. A primary shares with the secondaries right below it, and they with it.
 */
export class SharedKeys {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #made = new Map<string, Uint8Array>();
  #own: SiteKey | undefined;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /** use has it made with the key of this site, in the processes that open it. */
  use(own: SiteKey): void {
    this.#own = own;
  }

  /** with gives what is shared with a site; undefined where nothing is, or where this process has not the key. */
  async with(site: string, via: Sql = this.#db): Promise<Shared | undefined> {
    if (!this.#own) return undefined;
    const [row] = await via.exec<{ own: string; public_key: string }>(
      {
        name: 'link_shared',
        text: `select own.code as own, l.public_key from link l join site s on s.code = l.site, site own
          where l.site = $1 and l.state = 'joined' and own.own and (own.kind = 'secondary' or s.kind = 'secondary')`,
      },
      [site],
    );
    if (!row) return undefined;
    const { publicKey, privateKey } = this.#own;
    const name = [row.own, site, publicKey, row.public_key].join(' ');
    const known = this.#made.get(name);
    const key = known ?? branchKey({ code: row.own, privateKey }, { code: site, publicKey: readPublicKey(row.public_key) });
    if (!known) this.#made.set(name, key);
    return { own: row.own, key };
  }

  /** tokenKey gives what the proofs of a token are made with that another site made for both. */
  async tokenKey(id: string, via: Sql = this.#db): Promise<Uint8Array | undefined> {
    const told = readBranchToken(id);
    if (!told) return undefined;
    if (!this.#own) return this.#asked(id);
    const shared = await this.with(told.issuer, via);
    // Made for this very pair of sites; a token of our own that is not in the table was pruned, and is over.
    return shared && told.peer === shared.own ? tokenKeyOf(branchTokenSecret(shared.key, id)) : undefined;
  }

  async #asked(id: string): Promise<Uint8Array | undefined> {
    const asked = await this.#db.count(
      `insert into link_token_ask (id, asked_at) select $1, $2 where (select count(*) from link_token_ask where key is null) < $3
       on conflict (id) do update set asked_at = excluded.asked_at`,
      [id, this.#clock.now(), MOST],
    );
    if (asked === 0) return undefined;
    await this.#db.notify('link_ask', '');
    for (let waited = 0; waited < PATIENCE_MS; waited += LOOK_MS) {
      await this.#clock.sleep(LOOK_MS);
      const [row] = await this.#db.query<{ key: Buffer | null }>('select key from link_token_ask where id = $1', [id]);
      if (!row) return undefined;
      if (row.key) return new Uint8Array(row.key);
    }
    return undefined;
  }

  /** answer tells processes without the key what they asked for; those of tokens that are none are taken away. */
  async answer(): Promise<void> {
    if (!this.#own) return;
    await this.#db.query('delete from link_token_ask where asked_at < $1', [new Date(this.#clock.now().getTime() - KEPT_MS)]);
    const rows = await this.#db.query<{ id: string }>('select id from link_token_ask where key is null');
    for (const { id } of rows) {
      const key = await this.tokenKey(id);
      if (key) await this.#db.query('update link_token_ask set key = $2 where id = $1', [id, key]);
      else await this.#db.query('delete from link_token_ask where id = $1', [id]);
    }
  }
}
