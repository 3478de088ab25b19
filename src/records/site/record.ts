import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Random } from '#base/random';
import { shownName } from '#records/resource';
import { Gatherer, isUniqueViolation, type Database, type Sql } from '#store/database';
import { validateCode } from './address.ts';
import { pointsOf, refuseHalfNative, refuseShut, writePoint, type Point, type PointKind, type PointWish } from './point.ts';
import type { Branch } from './points.ts';
import { patched, settingsOf, type SettingsPatch, type SiteSettings, type StoredSettings } from './settings.ts';
import { SiteTokens } from './tokens.ts';

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

interface SiteRow {
  code: string;
  kind: 'primary' | 'secondary';
  parent: string | null;
  own: boolean;
  settings: StoredSettings;
  created_at: Date;
  version: string | null;
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

/** SiteRecord knows the sites, their settings and points, and the API's tokens; it is the only writer of those tables. */
export class SiteRecord {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #branches: Gatherer<undefined, KnownBranch>;
  /** tokens are those of the API. */
  readonly tokens: SiteTokens;

  constructor(db: Database, clock: Clock, random: Random) {
    this.#db = db;
    this.#clock = clock;
    this.tokens = new SiteTokens(db, clock, random);
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
      refuseHalfNative(await pointsOf(tx, row.code), settingsOf(next));
      await tx.query('update site set settings = $1, changed_at = $2 where own', [JSON.stringify(next), this.#clock.now()]);
      await this.#db.notify('site_settings', shownName(by), tx);
      return settingsOf(next);
    });
  }

  /** points gives the points of one site, or of all. */
  points(site?: string, via: Sql = this.#db): Promise<Point[]> {
    return pointsOf(via, site);
  }

  /** setPoint sets where a point is reached, whether it is on and its certificate's pin; on another site only what that site said of itself. */
  setPoint(kind: PointKind, o: PointWish & { site?: string | undefined }, by: string, via?: Sql): Promise<Point> {
    return this.#within(via, async (tx) => {
      const own = o.site === undefined ? await this.here(tx) : undefined;
      const point = await writePoint(tx, own?.code ?? validateCode(o.site!), kind, o, this.#clock.now());
      if (own) refuseShut(point, own.settings);
      await this.#db.notify('site_settings', shownName(by), tx);
      return point;
    });
  }
}
