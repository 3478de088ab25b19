import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { BoundaryRecord } from '#records/boundary';
import { shownName } from '#records/resource';
import type { Database } from '#store/database';
import { clientReports } from './clients.ts';
import { coverageReport } from './coverage.ts';
import { csvHead, csvLine } from './csv.ts';
import { deploymentReports } from './deployment.ts';
import { discoveryReports } from './discovery.ts';
import { fallbackStatusReports } from './fallback-status.ts';
import { pushReports } from './push.ts';
import type { Asked, Found, Report, ReportParameter, ReportRow } from './report.ts';

/** ReportWish is what a run of a report is narrowed to. */
export interface ReportWish {
  site?: string | undefined;
  /** Id of a collection. */
  collection?: number | undefined;
  days?: number | undefined;
}

/** ReportPage is a page of rows. */
export interface ReportPage {
  items: ReportRow[];
  next?: string;
}

const DAY_MS = 86_400_000;
/** A report without pages has few rows; so many are given at most. */
const MOST = 10_000;
/** Rows that are read at once for a file. */
const PART = 2000;

/** ReportRecord answers questions about what the other records know. It reads only, and has no tables. */
export class ReportRecord {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #reports: ReadonlyMap<string, Report>;

  constructor(db: Database, clock: Clock, boundary: BoundaryRecord) {
    this.#db = db;
    this.#clock = clock;
    const all = [
      ...pushReports,
      ...deploymentReports,
      ...clientReports,
      ...fallbackStatusReports,
      ...discoveryReports,
      coverageReport(boundary),
    ];
    this.#reports = new Map(all.map((report) => [report.name, report]));
  }

  /** list gives all reports, in the order in which people look for them. */
  list(): Report[] {
    return [...this.#reports.values()];
  }

  /** get gives one report by its name. */
  get(name: string): Report {
    const report = this.#reports.get(name.toLowerCase());
    if (!report) throw raise('PP_API_NOT_FOUND', { kind: 'report', name: shownName(name) });
    return report;
  }

  #asked(report: Report, wish: ReportWish): Asked {
    for (const name of Object.keys(wish) as ReportParameter[])
      if (wish[name] !== undefined && !report.parameters.includes(name))
        throw raise('PP_API_INVALID', {
          why: `the report ${report.name} takes no ${name}, but ${report.parameters.join(', ')}`,
        });
    const now = this.#clock.now();
    const since = new Date(now.getTime() - (wish.days ?? report.days ?? 0) * DAY_MS);
    return { site: wish.site ?? null, collection: wish.collection ?? null, since, now };
  }

  async #find(report: Report, asked: Asked, after: readonly string[], limit: number): Promise<Found[]> {
    return report.find(this.#db, asked, { after, limit: report.first ? limit : MOST });
  }

  /** page gives rows of a report, `limit` of them from a cursor on. One without pages gives all that it has. */
  async page(name: string, wish: ReportWish, from: { cursor?: string | undefined; limit: number }): Promise<ReportPage> {
    const report = this.get(name);
    const after = from.cursor === undefined ? (report.first ?? []) : readCursor(report, from.cursor);
    const found = await this.#find(report, this.#asked(report, wish), after, from.limit + 1);
    const items = found.map(({ row }) => row);
    if (!report.first || found.length <= from.limit) return { items };
    return { items: items.slice(0, from.limit), next: writeCursor(found[from.limit - 1]!.keys) };
  }

  /** csv gives the whole report as a file, part by part; nobody holds all of it. */
  async *csv(name: string, wish: ReportWish): AsyncGenerator<string> {
    const report = this.get(name);
    const asked = this.#asked(report, wish);
    yield csvHead(report.columns);
    for (let after = report.first ?? []; ;) {
      const found = await this.#find(report, asked, after, PART);
      if (found.length > 0) yield found.map(({ row }) => csvLine(report.columns, row)).join('');
      if (!report.first || found.length < PART) return;
      after = found.at(-1)!.keys;
    }
  }
}

function writeCursor(keys: readonly string[]): string {
  return Buffer.from(JSON.stringify(keys)).toString('base64url');
}

function readCursor({ first = [] }: Report, cursor: string): string[] {
  let keys: unknown;
  try {
    keys = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    throw raise('PP_REQUEST_CURSOR');
  }
  const isRight =
    Array.isArray(keys) &&
    keys.length === first.length &&
    first.length > 0 &&
    // PostgreSQL keeps no NUL in a text, and has no numbers beyond these.
    keys.every((key, i) => typeof key === 'string' && (first[i] === '0' ? /^\d{1,9}$/ : /^[^\0]{0,300}$/).test(key));
  if (!isRight) throw raise('PP_REQUEST_CURSOR');
  return keys as string[];
}
