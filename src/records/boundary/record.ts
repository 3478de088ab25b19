import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import { shownName } from '#records/resource';
import { validateCode } from '#records/site';
import type { Database, Sql } from '#store/database';
import { BoundaryIndex, boundaryText, type Boundary, type Which } from './lookup.ts';
import { parseBoundary, type BoundaryKind, type Parsed } from './parse.ts';
import { overlapsOf, type Overlap } from './overlaps.ts';
import { report, type Report } from './report.ts';

interface BoundaryRow {
  id: number;
  kind: BoundaryKind;
  value: string;
  value_key: string;
  site: string;
  roaming: boolean;
  created_at: Date;
}

function boundaryOf(row: BoundaryRow, removed: ReadonlySet<string> = new Set()): Boundary {
  const { id, kind, value, site, roaming } = row;
  // What is stored was written by parseBoundary, so it can be read by it.
  return {
    id,
    kind,
    value,
    site,
    roaming,
    createdAt: row.created_at,
    span: parseBoundary(boundaryText(row)).span,
    idle: removed.has(site),
  };
}

const roleOf = (roaming: boolean) => (roaming ? 'roaming' : 'site');

/** Added is what an add did; `overlaps` are those of the new boundaries with others, at most a hundred. */
export interface Added {
  items: Boundary[];
  overlaps: Overlap[];
}

const TOLD = 100;
/** The children that were removed, and the sites below them. */
const REMOVED = `coalesce((with recursive gone (code) as (
    select l.site from link l where l.role = 'child' and l.state = 'removed'
    union select s.code from site s join gone g on s.parent = g.code where not s.own
  ) select string_agg(code, ' ' order by code) from gone), '')`;

/** BoundaryRecord knows the boundaries of all sites, and is the only writer of boundary. Changes are announced on 'boundary'. */
export class BoundaryRecord {
  readonly #db: Database;
  readonly #clock: Clock;
  #known: { version: number; removed: string; index: BoundaryIndex } | undefined;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /**
   * index gives the boundaries as they are now, ready for look-up. One small question to the database tells whether the index in memory is
   * still right, so ask once for many addresses.
   */
  async index(via: Sql = this.#db): Promise<BoundaryIndex> {
    const [now] = await via.exec<{ version: number; removed: string }>(
      { name: 'boundary_version', text: `select version, ${REMOVED} as removed from boundary_version` },
      [],
    );
    const { version, removed } = now!;
    if (this.#known?.version === version && this.#known.removed === removed) return this.#known.index;
    // Version and rows in one statement, so that they belong together.
    const rows = await via.query<BoundaryRow & { version: number; removed: string }>(
      `select b.*, v.version, ${REMOVED} as removed from boundary_version v left join boundary b on true`,
    );
    const gone = new Set(rows[0]!.removed.split(' '));
    const index = new BoundaryIndex(
      rows.filter((row) => row.id !== null).map((row) => boundaryOf(row, gone)),
      gone,
    );
    this.#known = { version: rows[0]!.version, removed: rows[0]!.removed, index };
    return index;
  }

  #within<T>(via: Sql | undefined, work: (tx: Sql) => Promise<T>): Promise<T> {
    return via ? work(via) : this.#db.transaction(work);
  }

  /** Whoever changes boundaries holds the version's row till the end of the transaction, so that changes come one after the other. */
  async #changed(tx: Sql): Promise<void> {
    await tx.query("update boundary_version set version = nextval('boundary_change')");
    await this.#db.notify('boundary', '', tx);
  }

  /** add makes boundaries of one site, all of them or none; the own site's where none is named. */
  async add(
    texts: readonly string[],
    o: { site?: string | undefined; roaming?: boolean | undefined; by: string },
    via?: Sql,
  ): Promise<Added> {
    const wanted = texts.map(parseBoundary);
    const roaming = o.roaming === true;
    return this.#within(via, async (tx) => {
      await this.#changed(tx);
      const site = await siteOf(tx, o.site);
      await refuseTwice(tx, wanted, site);
      const rows = await tx.query<BoundaryRow>(
        `insert into boundary (kind, value, value_key, site, roaming, created_at, created_by)
         select kind, value, key, $2, $3, $4, $5 from jsonb_to_recordset($1) as b(kind text, value text, key text) returning *`,
        [
          JSON.stringify(wanted.map(({ kind, value, key }) => ({ kind, value, key }))),
          site,
          roaming,
          this.#clock.now(),
          shownName(o.by),
        ],
      );
      const made = new Set(rows.map(({ id }) => id));
      const { all, idle } = await this.index(tx);
      const overlaps = overlapsOf(all, { only: (a, b) => made.has(a.id) || made.has(b.id), limit: TOLD }).items;
      const gone = new Set(idle.map((one) => one.site));
      return { items: rows.map((row) => boundaryOf(row, gone)), overlaps };
    });
  }

  /** remove takes a boundary away; the machines that it assigned stay where they are. */
  async remove(text: string, o: { site?: string | undefined } = {}, via?: Sql): Promise<Boundary> {
    const { kind, key } = parseBoundary(text);
    const site = o.site === undefined ? undefined : validateCode(o.site);
    return this.#within(via, async (tx) => {
      await this.#changed(tx);
      const found = await tx.query<BoundaryRow>(
        'select * from boundary where kind = $1 and value_key = $2 and ($3::text is null or site = $3) order by site',
        [kind, key, site],
      );
      const [one, ...more] = found;
      if (!one) throw raise('PP_BOUNDARY_UNKNOWN', { boundary: shownName(text), where: site ? ` of site ${site}` : '' });
      if (more.length > 0)
        throw raise('PP_BOUNDARY_AMBIGUOUS', { boundary: shownName(text), sites: found.map((row) => row.site).join(', ') });
      await tx.query('delete from boundary where id = $1', [one.id]);
      return boundaryOf(one);
    });
  }

  /** list gives the boundaries, of one site or of all, in the order in which they count; those of sites that were removed come last. */
  async list(query: { site?: string | undefined } = {}, via: Sql = this.#db): Promise<readonly Boundary[]> {
    const index = await this.index(via);
    const all = [...index.all, ...index.idle];
    const site = query.site === undefined ? undefined : validateCode(query.site);
    return site === undefined ? all : all.filter((b) => b.site === site);
  }

  /** which explains to whom an address belongs. */
  async which(address: string): Promise<Which> {
    const which = (await this.index()).which(address);
    if (!which) throw raise('PP_BOUNDARY_ADDRESS', { address: shownName(address) });
    return which;
  }

  /** report gives boundaries that overlap, and addresses of known machines that no boundary holds. */
  async report(): Promise<Report> {
    return report(this.#db, await this.index());
  }
}

/** siteOf lets in the code of a site that is known here; the own one where none is given. */
async function siteOf(tx: Sql, given: string | undefined): Promise<string> {
  const sites = await tx.query<{ code: string; own: boolean }>('select code, own from site order by own desc, code');
  if (given === undefined) {
    const own = sites.find((site) => site.own);
    if (!own) throw raise('PP_SITE_NONE');
    return own.code;
  }
  const code = validateCode(given);
  if (!sites.some((site) => site.code === code))
    throw raise('PP_BOUNDARY_SITE', { site: code, known: sites.map((site) => site.code).join(', ') || 'none' });
  return code;
}

async function refuseTwice(tx: Sql, wanted: readonly Parsed[], site: string): Promise<void> {
  const once = new Set<string>();
  for (const parsed of wanted) {
    const id = `${parsed.kind}:${parsed.key}`;
    if (once.has(id)) throw raise('PP_BOUNDARY_VALUE', { boundary: boundaryText(parsed), why: 'it is given twice' });
    once.add(id);
  }
  const [there] = await tx.query<BoundaryRow>(
    `select b.* from boundary b join jsonb_to_recordset($1) as w(kind text, key text) on b.kind = w.kind and b.value_key = w.key
     where b.site = $2 limit 1`,
    [JSON.stringify(wanted.map(({ kind, key }) => ({ kind, key }))), site],
  );
  if (there) throw raise('PP_BOUNDARY_EXISTS', { boundary: boundaryText(there), role: roleOf(there.roaming), site });
}
