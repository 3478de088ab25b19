import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import { shownName } from '#records/resource';
import type { Database, Sql } from '#store/database';
import { filesOf, packageDefinition, type PackageDefinition } from './definition.ts';
import { usersOf } from './used.ts';

/** PackageFile is a file of a package; its bytes lie in the content folder. */
export interface PackageFile {
  name: string;
  sha256: string;
  size: number;
}

/** Package is what is pushed to one platform. */
export interface Package {
  name: string;
  version: string;
  platform: 'windows' | 'linux';
  definition: PackageDefinition;
  isDefault: boolean;
  files: PackageFile[];
  addedBy: string;
  addedAt: Date;
}

interface PackageRow {
  name: string;
  version: string;
  platform: 'windows' | 'linux';
  definition: PackageDefinition;
  is_default: boolean;
  added_by: string;
  added_at: Date;
  files: PackageFile[];
}

const SELECT = `select p.*, (select coalesce(jsonb_agg(jsonb_build_object('name', f.name, 'sha256', f.sha256, 'size', f.size) order by f.name), '[]')
  from package_file f where f.package = p.name) as files from package p`;

function packageOf(row: PackageRow): Package {
  return {
    name: row.name,
    version: row.version,
    platform: row.platform,
    definition: row.definition,
    isDefault: row.is_default,
    files: row.files,
    addedBy: row.added_by,
    addedAt: row.added_at,
  };
}

/** PackageRecord knows the packages, and is the only writer of package and package_file. */
export class PackageRecord {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /** add puts a package in, or a newer version in its place; the first of a platform is its default, and one that says so. */
  async add(definition: unknown, files: readonly PackageFile[], by: string, via?: Sql): Promise<Package> {
    const checked = packageDefinition(definition);
    const byName = new Map(files.map((f) => [f.name, f]));
    for (const name of filesOf(checked))
      if (!byName.has(name)) throw raise('PP_PACKAGE_FILE', { package: checked.name, file: name });
    const hollow = filesOf(checked).find((name) => byName.get(name)!.size === 0);
    if (hollow !== undefined) throw raise('PP_PACKAGE_EMPTY', { package: checked.name, file: hollow });
    const { payload } = checked;
    if (payload?.sha256 && byName.get(payload.file)!.sha256 !== payload.sha256)
      throw raise('PP_PACKAGE_HASH', { package: checked.name, file: payload.file });
    const within = <T>(work: (tx: Sql) => Promise<T>) => (via ? work(via) : this.#db.transaction(work));
    return within(async (tx) => {
      // Two that become the default at once wait for each other here.
      await tx.query('select pg_advisory_xact_lock(1128481360)');
      const [other] = await tx.query('select from package where platform = $1 and is_default and name <> $2', [
        checked.platform,
        checked.name,
      ]);
      const isDefault = checked.default ?? other === undefined;
      if (isDefault) await tx.query('update package set is_default = false where platform = $1', [checked.platform]);
      await tx.query(
        `insert into package (name, version, platform, definition, is_default, added_by, added_at) values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (name) do update set version = excluded.version, platform = excluded.platform, definition = excluded.definition,
           is_default = excluded.is_default, added_by = excluded.added_by, added_at = excluded.added_at`,
        [checked.name, checked.version, checked.platform, JSON.stringify(checked), isDefault, shownName(by), this.#clock.now()],
      );
      await tx.query('delete from package_file where package = $1', [checked.name]);
      await tx.query(
        'insert into package_file (package, name, sha256, size) select $1, * from unnest($2::text[], $3::text[], $4::bigint[])',
        [checked.name, [...byName.keys()], [...byName.values()].map((f) => f.sha256), [...byName.values()].map((f) => f.size)],
      );
      await this.#db.notify('package', checked.name, tx);
      return (await this.get(checked.name, tx))!;
    });
  }

  /** list gives all packages. */
  async list(): Promise<Package[]> {
    return (await this.#db.query<PackageRow>(`${SELECT} order by p.name`)).map(packageOf);
  }

  /** get gives one package. */
  async get(name: string, via: Sql = this.#db): Promise<Package | undefined> {
    const [row] = await via.exec<PackageRow>({ name: 'package_get', text: `${SELECT} where p.name = $1` }, [name]);
    return row && packageOf(row);
  }

  /** defaultFor gives the package that is pushed to a platform where nothing else is said. */
  async defaultFor(platform: 'windows' | 'linux'): Promise<Package | undefined> {
    const [row] = await this.#db.exec<PackageRow>(
      { name: 'package_default', text: `${SELECT} where p.platform = $1 and p.is_default` },
      [platform],
    );
    return row && packageOf(row);
  }

  /**
   * fileNamed gives the file that clients ask for by name: of the default packages, or, with a hash, of any package that has exactly that
   * content under that name.
   */
  async fileNamed(name: string, sha256?: string): Promise<PackageFile | undefined> {
    const [row] = await this.#db.exec<PackageFile>(
      {
        name: 'package_file_named',
        text: `select f.name, f.sha256, f.size from package_file f join package p on p.name = f.package
          where lower(f.name) = lower($1) and case when $2::text is null then p.is_default else f.sha256 = $2 end
          order by p.platform desc, p.name limit 1`,
      },
      [name, sha256],
    );
    return row;
  }

  /** holding gives the packages that have a file with this content, so that content nobody has can be removed. */
  async holding(sha256: string): Promise<string[]> {
    const rows = await this.#db.query<{ package: string }>(
      'select package from package_file where sha256 = $1 order by package',
      [sha256],
    );
    return rows.map((r) => r.package);
  }

  /** removeUnused deletes a package that nobody needs any more, and gives what it was. */
  async removeUnused(name: string, tx: Sql): Promise<Package> {
    const pack = await this.get(name, tx);
    if (!pack) throw raise('PP_API_NOT_FOUND', { kind: 'package', name: shownName(name) });
    const users = await usersOf(tx, pack);
    if (users.length > 0) throw raise('PP_PACKAGE_USED', { package: pack.name, users: users.join('; ') });
    await this.remove(name, tx);
    return pack;
  }

  /** remove deletes a package, whoever uses it; its content stays until it is removed from the folder. */
  async remove(name: string, via: Sql = this.#db): Promise<boolean> {
    const removed = (await via.count('delete from package where name = $1', [name])) === 1;
    if (removed) await this.#db.notify('package', name, via);
    return removed;
  }
}
