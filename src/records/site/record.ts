import { createHash } from 'node:crypto';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Random } from '#base/random';
import { shownName } from '#records/resource';
import { Gatherer, isUniqueViolation, type Database, type Sql } from '#store/database';
import type { Branch } from './points.ts';
import { patched, settingsOf, type SettingsPatch, type SiteSettings, type StoredSettings } from './settings.ts';

/** Site is one site of the hierarchy; `own` is the one whose database this is. */
export interface Site {
  code: string;
  kind: 'primary' | 'secondary';
  parent: string | undefined;
  own: boolean;
  createdAt: Date;
  settings: SiteSettings;
  /** The version it runs, as far as it was told here. */
  version: string | undefined;
}

/** KnownBranch is a branch with all that this database has of its sites. */
type KnownBranch = Omit<Branch, 'here' | 'sites'> & { here: Site; sites: readonly Site[] };

export type PointKind = 'mp' | 'slp' | 'fsp';

/** Point is where clients reach a site. */
export interface Point {
  site: string;
  kind: PointKind;
  address: string;
  on: boolean;
  pin: string | undefined;
}

/** SiteToken is what a token of the API may do. */
export interface SiteToken {
  id: number;
  label: string;
  scopes: string[];
  createdAt: Date;
}

interface SiteRow {
  code: string;
  kind: 'primary' | 'secondary';
  parent: string | null;
  own: boolean;
  settings: StoredSettings;
  created_at: Date;
  version: string | null;
}

interface PointRow {
  site: string;
  kind: PointKind;
  address: string;
  is_on: boolean;
  pin: string | null;
}

function pointOf({ site, kind, address, is_on, pin }: PointRow): Point {
  return { site, kind, address, on: is_on, pin: pin ?? undefined };
}

function siteOf(row: SiteRow): Site {
  return {
    code: row.code,
    kind: row.kind,
    parent: row.parent ?? undefined,
    own: row.own,
    createdAt: row.created_at,
    settings: settingsOf(row.settings),
    version: row.version ?? undefined,
  };
}

/** validateCode lets in a site code: three letters or digits, made upper case. */
export function validateCode(given: string): string {
  const code = given.trim().toUpperCase();
  if (!/^[A-Z0-9]{3}$/.test(code)) throw raise('PP_SITE_CODE', { code: shownName(given) });
  return code;
}

/** pointAddress lets in a URL that a client elsewhere could reach: no wildcard address, no credentials, no query. */
export function pointAddress(given: string): string {
  const refuse = (why: string) => raise('PP_SITE_POINT_ADDRESS', { address: shownName(given), why });
  if (!URL.canParse(given)) throw refuse('it is not a URL');
  const url = new URL(given);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw refuse('it is neither http nor https');
  if (url.username !== '' || url.password !== '') throw refuse('it holds a user or a password');
  if (url.search !== '' || url.hash !== '') throw refuse('it has a query or a fragment');
  // Clients get it in command lines and configuration files: a host is a name or an address, and no letters that mean something there.
  if (!/^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\.?|\[[0-9a-f:.]+\])$/.test(url.hostname))
    throw refuse('its host is neither a name of letters, digits, hyphens and dots nor an IP address');
  if (/["'`$\s<>|^&%;]/.test(url.pathname)) throw refuse('its path has characters that no path of a point has');
  if (/^(0\.0\.0\.0|\[::\])$/.test(url.hostname)) throw refuse('it means all addresses of a machine, and none for a client');
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}

/** In native mode clients come over https only, so an address that says http would lead them to a door that stays shut. */
async function refuseHalfNative(tx: Sql, { points }: SiteSettings): Promise<void> {
  if (points.mode !== 'native') return;
  const [plain] = await tx.query<{ address: string }>(
    "select address from site_point p join site s on s.code = p.site and s.own where p.kind = 'mp' and p.is_on and p.address not like 'https:%'",
  );
  if (!plain) return;
  const why = `native needs a management point with an https address, and clients are told ${plain.address}; use pushpoint point set mp --address https://…`;
  throw raise('PP_SITE_SETTING', { setting: 'points.mode', why });
}

const hashOf = (plain: string): Uint8Array => new Uint8Array(createHash('sha256').update(plain, 'utf8').digest());

/** SiteRecord knows the sites, their settings and points, and the API's tokens; it is the only writer of those tables. */
export class SiteRecord {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #branches: Gatherer<undefined, KnownBranch>;

  constructor(db: Database, clock: Clock, random: Random) {
    this.#db = db;
    this.#clock = clock;
    this.#random = random;
    this.#branches = new Gatherer(async (asking) => {
      const branch = await this.#branch(db);
      return asking.map(() => branch);
    });
  }

  /** create makes the site that this database belongs to. */
  async create(
    o: { code: string; kind: 'primary' | 'secondary'; parent?: string | undefined },
    via: Sql = this.#db,
  ): Promise<Site> {
    const code = validateCode(o.code);
    const parent = o.parent === undefined ? undefined : validateCode(o.parent);
    if (o.kind === 'secondary' && parent === undefined) throw raise('PP_SITE_PARENT', { code });
    try {
      const rows = await via.query<SiteRow>(
        'insert into site (code, kind, parent, own, created_at, changed_at) values ($1, $2, $3, true, $4, $4) returning *',
        [code, o.kind, parent, this.#clock.now()],
      );
      return siteOf(rows[0]!);
    } catch (error) {
      if (isUniqueViolation(error))
        throw raise(
          'PP_SITE_DATABASE_TAKEN',
          { code, where: this.#db.url, found: (await this.own())?.code ?? code },
          { cause: error },
        );
      throw error;
    }
  }

  /** learn keeps what is known of another site. */
  async learn(
    o: { code: string; kind: 'primary' | 'secondary'; parent?: string | undefined; version?: string | undefined },
    via: Sql = this.#db,
  ): Promise<void> {
    await via.query(
      `insert into site (code, kind, parent, own, created_at, changed_at, version) values ($1, $2, $3, false, $4, $4, $5)
       on conflict (code) do update set kind = excluded.kind, parent = excluded.parent, changed_at = excluded.changed_at,
         version = coalesce(excluded.version, site.version) where not site.own`,
      [validateCode(o.code), o.kind, o.parent, this.#clock.now(), o.version],
    );
  }

  /** runs takes note of the version that the own site runs. */
  async runs(version: string): Promise<void> {
    const changed = await this.#db.count(
      'update site set version = $1, changed_at = $2 where own and version is distinct from $1',
      [version, this.#clock.now()],
    );
    if (changed > 0) await this.#db.notify('site_settings', 'version');
  }

  /** belongTo puts the own site below a parent. */
  async belongTo(parent: string, via: Sql): Promise<void> {
    await via.query('update site set parent = $1, changed_at = $2 where own', [validateCode(parent), this.#clock.now()]);
    await this.#db.notify('site_settings', 'hierarchy', via);
  }

  /** detach takes another site out of the branch: it has no parent here any more, and its points are not told to clients. */
  async detach(code: string, via: Sql): Promise<void> {
    await via.query('update site set parent = null, changed_at = $2 where code = $1 and not own', [code, this.#clock.now()]);
    await via.query('delete from site_point where site = $1 and site in (select code from site where not own)', [code]);
    await this.#db.notify('site_settings', 'hierarchy', via);
  }

  /** own gives the site of this database, or undefined before it was created. */
  async own(via: Sql = this.#db): Promise<Site | undefined> {
    const [row] = await via.exec<SiteRow>({ name: 'site_own', text: 'select * from site where own' }, []);
    return row && siteOf(row);
  }

  /** here gives the site of this database, or raises PP_SITE_NONE. */
  async here(via: Sql = this.#db): Promise<Site> {
    const site = await this.own(via);
    if (!site) throw raise('PP_SITE_NONE');
    return site;
  }

  /** list gives all known sites, the own one first. */
  async list(): Promise<Site[]> {
    return (await this.#db.query<SiteRow>('select * from site order by own desc, code')).map(siteOf);
  }

  /** branch gives this site, the others it knows, and the points of all of them: what pointsFor chooses from. */
  branch(via?: Sql): Promise<KnownBranch> {
    return via ? this.#branch(via) : this.#branches.ask(undefined);
  }

  async #branch(via: Sql): Promise<KnownBranch> {
    const rows = await via.exec<SiteRow>({ name: 'site_branch', text: 'select * from site order by own desc, code' }, []);
    const sites = rows.map(siteOf);
    const here = sites.find((site) => site.own);
    if (!here) throw raise('PP_SITE_NONE');
    return { here, sites, points: await this.points(undefined, via) };
  }

  #within<T>(via: Sql | undefined, work: (tx: Sql) => Promise<T>): Promise<T> {
    return via ? work(via) : this.#db.transaction(work);
  }

  /** updateSettings changes settings of the own site and announces it on 'site_settings'. */
  async updateSettings(patch: SettingsPatch, by: string, via?: Sql): Promise<SiteSettings> {
    return this.#within(via, async (tx) => {
      const [row] = await tx.query<SiteRow>('select * from site where own for update');
      if (!row) throw raise('PP_SITE_NONE');
      const next = patched(row.settings, patch);
      await refuseHalfNative(tx, settingsOf(next));
      await tx.query('update site set settings = $1, changed_at = $2 where own', [JSON.stringify(next), this.#clock.now()]);
      await this.#db.notify('site_settings', shownName(by), tx);
      return settingsOf(next);
    });
  }

  /** points gives the points of one site, or of all. */
  async points(site?: string, via: Sql = this.#db): Promise<Point[]> {
    const rows = await via.exec<PointRow>(
      { name: 'site_points', text: 'select * from site_point where $1::text is null or site = $1 order by site, kind' },
      [site],
    );
    return rows.map(pointOf);
  }

  /** setPoint sets where a point is reached, whether it is on and its certificate's pin (empty: none any more); on another site only what that site said of itself. */
  async setPoint(
    kind: PointKind,
    o: { address?: string | undefined; on?: boolean | undefined; pin?: string | undefined; site?: string | undefined },
    by: string,
    via?: Sql,
  ): Promise<Point> {
    const address = o.address === undefined ? undefined : pointAddress(o.address);
    return this.#within(via, async (tx) => {
      const site = o.site === undefined ? (await this.own(tx))?.code : validateCode(o.site);
      if (site === undefined) throw raise('PP_SITE_NONE');
      const [old] = await tx.query<{ address: string }>('select address from site_point where site = $1 and kind = $2', [
        site,
        kind,
      ]);
      const reached = address ?? old?.address;
      if (reached === undefined) throw raise('PP_SITE_POINT_ADDRESS', { address: '', why: 'none was given' });
      const [row] = await tx.query<PointRow>(
        `insert into site_point (site, kind, address, is_on, pin, changed_at) values ($1, $2, $3, coalesce($4, true), nullif($5, ''), $6)
         on conflict (site, kind) do update set address = excluded.address, is_on = coalesce($4, site_point.is_on),
           pin = nullif(coalesce($5, site_point.pin), ''), changed_at = excluded.changed_at returning *`,
        [site, kind, reached, o.on, o.pin, this.#clock.now()],
      );
      // In native mode clients come over https only, so an address that says http would lead them to a door that stays shut.
      if (
        o.site === undefined &&
        kind === 'mp' &&
        row!.is_on &&
        !reached.startsWith('https:') &&
        (await this.here(tx)).settings.points.mode === 'native'
      )
        throw raise('PP_SITE_POINT_ADDRESS', {
          address: reached,
          why: 'this site is in native mode, in which clients come over https only',
        });
      await this.#db.notify('site_settings', shownName(by), tx);
      return pointOf(row!);
    });
  }

  /** addToken makes a token for the API and gives it out once; only its hash is kept. */
  async addToken(o: { label: string; scopes: readonly string[] }, via: Sql = this.#db): Promise<string> {
    const plain = `pp_${Buffer.from(this.#random.bytes(32)).toString('base64url')}`;
    await via.query('insert into site_token (hash, label, scopes, created_at) values ($1, $2, $3, $4)', [
      hashOf(plain),
      shownName(o.label),
      [...o.scopes],
      this.#clock.now(),
    ]);
    return plain;
  }

  /** checkToken tells what a token may do; undefined when it is none of ours. */
  async checkToken(plain: string): Promise<{ label: string; scopes: string[] } | undefined> {
    // The look-up goes by the hash, so its time tells nothing about how close a guess was.
    const [row] = await this.#db.exec<{ label: string; scopes: string[] }>(
      { name: 'site_token', text: 'select label, scopes from site_token where hash = $1' },
      [hashOf(plain)],
    );
    return row;
  }

  /** tokens lists the tokens, without what they are. */
  async tokens(): Promise<SiteToken[]> {
    const rows = await this.#db.query<{ id: number; label: string; scopes: string[]; created_at: Date }>(
      'select id, label, scopes, created_at from site_token order by id',
    );
    return rows.map(({ created_at, ...row }) => ({ ...row, createdAt: created_at }));
  }

  /** removeToken ends a token. */
  async removeToken(id: number, via: Sql = this.#db): Promise<boolean> {
    return (await via.count('delete from site_token where id = $1', [id])) === 1;
  }
}
