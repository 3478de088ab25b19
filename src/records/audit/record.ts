import { createHash } from 'node:crypto';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Database, Sql } from '#store/database';

/** AuditEntry is what is to be written down: who did what to which object. Never put a secret into it. */
export interface AuditEntry {
  who: string;
  /** A fixed word like `ccr.cancel`, so that entries can be counted by it. */
  what: string;
  object: string;
  detail?: unknown;
  /** Where the request came from. */
  address?: string | undefined;
}

/** AuditLine is an entry as it stands in the log. */
export interface AuditLine extends AuditEntry {
  seq: number;
  at: Date;
}

/** AuditPage is a page of the log, newest first. */
export interface AuditPage {
  items: AuditLine[];
  next?: string;
}

/** Verified tells whether the chain holds; if not, where it is broken first. */
export type Verified = { ok: true; entries: number } | { ok: false; entries: number; brokenAt: number; why: string };

interface AuditRow {
  seq: number;
  at: Date;
  who: string;
  what: string;
  object: string;
  detail: string | null;
  address: string | null;
  hash: Buffer;
}

const PAGE = 1000;

/** clean makes text fit for the log: no NUL, no broken surrogates, one line, not endless. */
function clean(text: string, max: number): string {
  return text
    .toWellFormed()
    .replace(/[\u0000-\u001f\u007f]+/g, ' ')
    .slice(0, max)
    .toWellFormed();
}

/** entryText is what the hash goes over. */
function entryText(row: Omit<AuditRow, 'seq' | 'hash'>): string {
  return JSON.stringify([row.at.toISOString(), row.who, row.what, row.object, row.detail, row.address]);
}

/** AuditRecord is the log of what people and programs did here; it is only added to, and it is the only writer of its table. */
export class AuditRecord {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /** write adds an entry, in the transaction of what it tells about where one is given. */
  async write(entry: AuditEntry, via: Sql = this.#db): Promise<void> {
    const detail = entry.detail === undefined ? null : JSON.stringify(entry.detail).toWellFormed();
    if (detail !== null && detail.length > 65_536)
      throw new RangeError(`the detail of ${entry.what} has ${detail.length} characters`);
    const row = {
      at: this.#clock.now(),
      who: clean(entry.who, 256),
      what: clean(entry.what, 64),
      object: clean(entry.object, 1000),
      detail,
      address: entry.address === undefined ? null : clean(entry.address, 64),
    };
    await via.exec({ name: 'audit_write', text: 'select audit_write($1, $2, $3, $4, $5, $6, $7)' }, [
      row.at,
      row.who,
      row.what,
      row.object,
      row.detail,
      row.address,
      entryText(row),
    ]);
  }

  /** verify walks the whole chain and computes each hash anew. */
  async verify(): Promise<Verified> {
    let previous: Uint8Array = new Uint8Array();
    let seq = 0;
    for (;;) {
      const rows = await this.#db.query<AuditRow>('select * from audit where seq > $1 order by seq limit $2', [seq, PAGE]);
      for (const row of rows) {
        if (row.seq !== seq + 1) return { ok: false, entries: seq, brokenAt: seq + 1, why: 'an entry is missing' };
        const hash = createHash('sha256')
          .update(previous)
          .update(`${row.seq}\n${entryText(row)}`, 'utf8')
          .digest();
        if (!hash.equals(row.hash)) return { ok: false, entries: seq, brokenAt: row.seq, why: 'the entry was changed' };
        previous = row.hash;
        seq = row.seq;
      }
      if (rows.length < PAGE) return { ok: true, entries: seq };
    }
  }

  /** list gives a page of the log, newest first. */
  async list(
    query: { what?: string | undefined; cursor?: string | undefined; limit?: number | undefined } = {},
  ): Promise<AuditPage> {
    const limit = Math.min(Math.max(Math.trunc(query.limit ?? 100), 1), PAGE);
    if (query.cursor !== undefined && !/^\d{1,15}$/.test(query.cursor)) throw raise('PP_REQUEST_CURSOR');
    const values: unknown[] = [];
    const where = ['true'];
    if (query.what !== undefined) where.push(`what = $${values.push(query.what)}`);
    if (query.cursor !== undefined) where.push(`seq < $${values.push(Number(query.cursor))}`);
    const rows = await this.#db.query<AuditRow>(
      `select * from audit where ${where.join(' and ')} order by seq desc limit ${limit + 1}`,
      values,
    );
    const items = rows.slice(0, limit).map((row) => ({
      seq: row.seq,
      at: row.at,
      who: row.who,
      what: row.what,
      object: row.object,
      detail: row.detail === null ? undefined : (JSON.parse(row.detail) as unknown),
      address: row.address ?? undefined,
    }));
    return rows.length > limit ? { items, next: String(items.at(-1)!.seq) } : { items };
  }
}
