import type { Clock } from '#base/clock';
import type { Ddr } from '#messages';
import {
  BATCH,
  shortKey,
  shownName,
  systemType,
  type Imported,
  type ImportOptions,
  type RawDevice,
  type RowOutcome,
} from '#records/resource';
import type { Database, Sql } from '#store/database';
import { assignNew, pushNew, withdraw, type Settled, type SettleParts } from './settle.ts';
import { ASSIGNED, type DdrOrigin, type OnStored } from './stored.ts';

/** How a secondary site knows what its parent has decided: it decides nothing by its own discoveries (design section 4). */
const PDR = 'pdr';
/** Of the rows that repeat others so many are named. */
const NAMED = 1000;

/** Repeated is a row that told of the same machine as one before it in the same lot: both were merged into one. */
export interface Repeated {
  line: number;
  name: string;
  /** The line of the first row of that machine. */
  first: number;
}

/** Taken is what became of discovered machines. */
export type Taken = Imported & Settled & { repeated: Repeated[] };

/** Tried carries what a trial found out of its transaction, which it undoes. */
class Tried extends Error {
  readonly taken: Taken;
  constructor(taken: Taken) {
    super('tried');
    this.taken = taken;
  }
}

function told(error: unknown): Taken {
  if (error instanceof Tried) return error.taken;
  throw error;
}

type Judged = { addresses: readonly string[]; adSite: string | undefined };

function nothing(): Taken {
  return { added: 0, changed: 0, unchanged: 0, assigned: 0, rejected: [], ids: [], outcomes: [], requested: 0, repeated: [] };
}

/** repeatedIn finds the rows of one lot that told of the same machine as an earlier one; `first` is kept from part to part. */
function repeatedIn(rows: readonly RawDevice[], outcomes: readonly RowOutcome[], first: Map<number, number>): Repeated[] {
  return outcomes.flatMap((one, i) => {
    if (one.outcome === 'rejected') return [];
    const line = rows[i]!.line!;
    const before = first.get(one.id);
    if (before === undefined) first.set(one.id, line);
    return before === undefined ? [] : [{ line, name: shownName(rows[i]!.name), first: before }];
  });
}

function add(total: Taken, done: Taken): void {
  for (const key of ['added', 'changed', 'unchanged', 'assigned', 'requested'] as const) total[key] += done[key];
  total.rejected.push(...done.rejected);
  total.repeated.push(...done.repeated.slice(0, NAMED - total.repeated.length));
}

/** Intake takes discovered machines in: they are stored, assigned, pushed to where site-wide push wants it, and handed on, in one transaction. */
export class Intake {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #parts: SettleParts;
  readonly #onStored: OnStored | undefined;

  constructor(db: Database, clock: Clock, parts: SettleParts, onStored: OnStored | undefined) {
    this.#db = db;
    this.#clock = clock;
    this.#parts = parts;
    this.#onStored = onStored;
  }

  #within<T>(via: Sql | undefined, work: (tx: Sql) => Promise<T>): Promise<T> {
    return via ? work(via) : this.#db.transaction(work);
  }

  /**
   * take stores machines as a file has them, in lines; it is ingest for those whose rows were not checked yet. It works in transactions of
   * 1000, or in the one it is given.
   */
  async take(rows: readonly RawDevice[], o: ImportOptions, via?: Sql): Promise<Taken> {
    const total = nothing();
    const first = new Map<number, number>();
    for (let at = 0; at < rows.length; at += BATCH) {
      const part = rows.slice(at, at + BATCH).map((row, i) => (row.line === undefined ? { ...row, line: at + i + 1 } : row));
      const done = await this.#within(via, (tx) => this.#takeBatch(part, o, tx));
      add(total, { ...done, repeated: repeatedIn(part, done.outcomes, first) });
      total.ids.push(...done.ids);
      total.outcomes.push(...done.outcomes);
    }
    return total;
  }

  /**
   * trial tells what take would do, and does nothing: each part is undone as soon as it is told, so that nobody waits for a trial longer
   * than for an import. What names one machine is looked at in one part, because no part knows of another.
   */
  async trial(rows: readonly RawDevice[], o: ImportOptions): Promise<Taken> {
    const numbered = rows.map((row, i) => ({ key: shortKey(row.name), row: { ...row, line: row.line ?? i + 1 } }));
    numbered.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.row.line - b.row.line));
    const total = nothing();
    for (let at = 0; at < numbered.length;) {
      let end = Math.min(at + BATCH, numbered.length);
      while (end < numbered.length && numbered[end]!.key === numbered[end - 1]!.key) end++;
      const part = numbered.slice(at, end).map(({ row }) => row);
      const done = await this.#db
        .transaction((tx) => this.take(part, o, tx).then((taken) => Promise.reject(new Tried(taken))))
        .catch(told);
      add(total, done);
      at = end;
    }
    total.repeated.sort((a, b) => a.line - b.line);
    return total;
  }

  async #takeBatch(rows: readonly RawDevice[], o: ImportOptions, tx: Sql): Promise<Omit<Taken, 'repeated'>> {
    const parts = this.#parts;
    const trusted = o.trusted ?? o.source === 'import';
    const site = await parts.site.here(tx);
    const decides = trusted && (site.kind === 'primary' || o.source === PDR);
    const index = decides ? await parts.boundary.index(tx) : undefined;
    const assign = index?.assigns ? (machine: Judged) => index.judge(machine)?.site : undefined;
    const stored = await parts.resource.importDevices(rows, { ...o, trusted, assign }, tx);
    const ids = [...new Set(stored.ids)];
    // What was said before was not looked at again, and may have had no site then.
    const same = index?.assigns ? stored.outcomes.flatMap((one) => (one.outcome === 'unchanged' ? [one.id] : [])) : [];
    const late = await assignNew(parts, same, tx);
    if (late > 0) await this.#onStored?.(tx, same, { ...ASSIGNED, site: site.code });
    // Who says of itself that it is there has its client already.
    const pushes = decides && o.source !== 'heartbeat' && ids.length > 0;
    const requested = pushes ? await pushNew(parts, site, ids, this.#clock.now(), tx) : 0;
    // What a source has told anew may be why a machine is not wanted any more.
    const merged = stored.outcomes.flatMap((one) => (one.outcome === 'merged' ? [one.id] : []));
    if (decides) await withdraw(parts, site, merged, tx);
    await this.#handOn(rows, stored.outcomes, { method: o.source, site: o.site, trusted }, tx);
    return { ...stored, assigned: stored.assigned + late, requested };
  }

  async #handOn(rows: readonly RawDevice[], outcomes: readonly RowOutcome[], o: Omit<DdrOrigin, 'via'>, tx: Sql): Promise<void> {
    if (!this.#onStored) return;
    const ddrs = outcomes.flatMap((one, i) =>
      one.outcome === 'rejected' || (one.outcome === 'unchanged' && one.silent)
        ? []
        : [{ id: one.id, ddr: ddrOf(rows[i]!), outcome: one.outcome }],
    );
    if (ddrs.length > 0) await this.#onStored(tx, [...new Set(ddrs.map(({ id }) => id))], { ...o, ddrs });
  }
}

/** ddrOf is a row of a file as a DDR, in the form in which it travels to other sites. */
function ddrOf(row: RawDevice): Ddr {
  const { line: _line, resourceId: _resourceId, addresses, macs, keys, type, smbPort, sshPort, osBuild, ...said } = row;
  const number = (given: string | number | undefined) => (given === undefined || given === '' ? undefined : Number(given));
  const ddr = {
    ...said,
    type: type === undefined || type === '' ? undefined : systemType(type, undefined),
    smbPort: number(smbPort),
    sshPort: number(sshPort),
    osBuild: number(osBuild),
    addresses: addresses && [...addresses],
    macs: macs && [...macs],
    keys: keys && { ...keys },
  };
  return Object.fromEntries(Object.entries(ddr).filter(([, value]) => value !== undefined && value !== '')) as Ddr;
}
