import { createHash } from 'node:crypto';
import type { Clock } from '#base/clock';
import type { Random } from '#base/random';
import { shownName } from '#records/resource';
import type { Database, Sql } from '#store/database';

/** SiteToken is what a token of the API may do. */
export interface SiteToken {
  id: number;
  label: string;
  scopes: string[];
  createdAt: Date;
}

const hashOf = (plain: string): Uint8Array => new Uint8Array(createHash('sha256').update(plain, 'utf8').digest());

/** SiteTokens are the tokens of the API. */
export class SiteTokens {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(db: Database, clock: Clock, random: Random) {
    this.#db = db;
    this.#clock = clock;
    this.#random = random;
  }

  /** add makes a token for the API and gives it out once; only its hash is kept. */
  async add(o: { label: string; scopes: readonly string[] }, via: Sql = this.#db): Promise<string> {
    const plain = `pp_${Buffer.from(this.#random.bytes(32)).toString('base64url')}`;
    await via.query('insert into site_token (hash, label, scopes, created_at) values ($1, $2, $3, $4)', [
      hashOf(plain),
      shownName(o.label),
      [...o.scopes],
      this.#clock.now(),
    ]);
    return plain;
  }

  /** check tells what a token may do; undefined when it is none of ours. */
  async check(plain: string): Promise<{ label: string; scopes: string[] } | undefined> {
    // The look-up goes by the hash, so its time tells nothing about how close a guess was.
    const [row] = await this.#db.exec<{ label: string; scopes: string[] }>(
      { name: 'site_token', text: 'select label, scopes from site_token where hash = $1' },
      [hashOf(plain)],
    );
    return row;
  }

  /** list lists the tokens, without what they are. */
  async list(): Promise<SiteToken[]> {
    const rows = await this.#db.query<{ id: number; label: string; scopes: string[]; created_at: Date }>(
      'select id, label, scopes, created_at from site_token order by id',
    );
    return rows.map(({ created_at, ...row }) => ({ ...row, createdAt: created_at }));
  }

  /** remove ends a token. */
  async remove(id: number, via: Sql = this.#db): Promise<boolean> {
    return (await via.count('delete from site_token where id = $1', [id])) === 1;
  }
}
