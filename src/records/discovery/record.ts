import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Ddr } from '#messages';
import {
  BATCH,
  shortKey,
  shownName,
  systemType,
  type Device,
  type Imported,
  type ImportOptions,
  type RawDevice,
  type RowOutcome,
} from '#records/resource';
import { boundaryText } from '#records/boundary';
import { Gatherer, type Database, type Sql } from '#store/database';
import type { Automatic } from './automatic.ts';
import { dueTasks, resourceTasks, runTask, type Maintained, type Task } from './maintenance.ts';
import { pages, type WhomToReassign } from './pages.ts';
import { claim, leave, type QueuedDdr } from './queue.ts';
import { assignNew, decideAll, pushNew, withdraw, type NoLonger, type Settled, type SettleParts } from './settle.ts';

/** One walk through known machines looks at so many in one transaction. */
const SWEPT = 500;
/** An answer names so many machines at most. */
const NAMED = 10_000;
/** How a secondary site knows what its parent has decided: it decides nothing by its own discoveries (design section 4). */
const PDR = 'pdr';
/** No source told anything, but a site was found. */
const ASSIGNED = { method: 'assignment', trusted: true, ddrs: [] };

/** Taken is what became of discovered machines. */
export type Taken = Imported & Settled;

/** DdrOrigin says who hands DDRs in, and how far they can be trusted. */
export interface DdrOrigin {
  /** The discovery method: 'import', 'network', 'heartbeat', 'ad', … */
  method: string;
  /** The site at which the machines were discovered. */
  site: string;
  /** trusted: more than a machine's own claim. Only then machines are assigned, and may get the client by site-wide push. */
  trusted: boolean;
  /** May the source say anything of a machine of this site, or of none? Without it, of every machine. */
  speaksFor?: ((assignedSite: string | undefined) => boolean) | undefined;
  /** A transaction of the caller; without it each part is one of its own. */
  via?: Sql | undefined;
}

/** DdrOutcome is what became of one DDR: a new resource, one that it was merged into, one that it told nothing new of, or nothing, and why. */
export type DdrOutcome = RowOutcome;

/** Ingested is what became of DDRs; `outcomes` are in the order of the DDRs. */
export interface Ingested extends Settled {
  outcomes: DdrOutcome[];
  stored: number;
  merged: number;
  rejected: number;
}

/** StoredDdrs are the resources that a part of an ingest stored or merged into, each beside its DDR. */
export interface StoredDdrs extends Omit<DdrOrigin, 'via'> {
  /** Machines that were moved from one site to another; there are no DDRs then. */
  moved?: readonly { id: number; from: string }[] | undefined;
  ddrs: readonly { id: number; ddr: Ddr; outcome: 'stored' | 'merged' | 'unchanged' }[];
}

/** OnStored is told of stored DDRs in their transaction, after assignment and automatic CCRs; the hierarchy passes them on from there. */
export type OnStored = (tx: Sql, ids: readonly number[], stored: StoredDdrs) => Promise<void>;

/** Reassigned is what a new assignment changes: machines that move, and how many stay. */
export interface Reassigned {
  items: { name: string; from: string | null; to: string | null; boundary: string | null; address: string | null }[];
  changed: number;
  unchanged: number;
}

/** Swept is one part of a walk through all known machines. */
export interface Swept extends Settled, NoLonger {
  looked: number;
  /** Set at the end of the walk: what all of it did. */
  total: (Settled & NoLonger & { by: string }) | undefined;
}

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

/**
 * DiscoveryRecord is where everything that discovers machines hands them in: they are stored, assigned to their site, and get a CCR where
 * site-wide push takes them, all in one transaction. It is the only writer of ddr, discovery_sweep and
 * discovery_maintenance.
 */
export class DiscoveryRecord {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #parts: SettleParts;
  readonly #onStored: OnStored | undefined;
  readonly #leaving: Gatherer<QueuedDdr, undefined>;

  constructor(db: Database, clock: Clock, parts: SettleParts, onStored?: OnStored) {
    this.#db = db;
    this.#clock = clock;
    this.#parts = parts;
    this.#onStored = onStored;
    this.#leaving = new Gatherer(async (ddrs) => {
      await leave(db, ddrs);
      return ddrs.map(() => undefined);
    });
  }

  #within<T>(via: Sql | undefined, work: (tx: Sql) => Promise<T>): Promise<T> {
    return via ? work(via) : this.#db.transaction(work);
  }

  /**
   * take stores machines as a file has them, in lines; it is ingest for those whose rows were not checked yet. It works in transactions of
   * 1000, or in the one it is given.
   */
  async take(rows: readonly RawDevice[], o: ImportOptions, via?: Sql): Promise<Taken> {
    const total: Taken = { added: 0, changed: 0, unchanged: 0, assigned: 0, rejected: [], ids: [], outcomes: [], requested: 0 };
    for (let at = 0; at < rows.length; at += BATCH) {
      const part = rows.slice(at, at + BATCH).map((row, i) => (row.line === undefined ? { ...row, line: at + i + 1 } : row));
      const done = await this.#within(via, (tx) => this.#takeBatch(part, o, tx));
      for (const key of ['added', 'changed', 'unchanged', 'assigned', 'requested'] as const) total[key] += done[key];
      total.rejected.push(...done.rejected);
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
    const total: Taken = { added: 0, changed: 0, unchanged: 0, assigned: 0, rejected: [], ids: [], outcomes: [], requested: 0 };
    for (let at = 0; at < numbered.length;) {
      let end = Math.min(at + BATCH, numbered.length);
      while (end < numbered.length && numbered[end]!.key === numbered[end - 1]!.key) end++;
      const part = numbered.slice(at, end).map(({ row }) => row);
      const done = await this.#db
        .transaction((tx) => this.take(part, o, tx).then((taken) => Promise.reject(new Tried(taken))))
        .catch(told);
      for (const key of ['added', 'changed', 'unchanged', 'assigned', 'requested'] as const) total[key] += done[key];
      total.rejected.push(...done.rejected);
      at = end;
    }
    return total;
  }

  /**
   * ingest is the one door for discovery data, whatever the source: identity, merge, assignment, automatic CCR, and on to other sites. A DDR
   * that is wrong is rejected by itself with a reason; the others are taken.
   */
  async ingest(ddrs: readonly Ddr[], { method, site, trusted, speaksFor, via }: DdrOrigin): Promise<Ingested> {
    const o: ImportOptions = { source: method, site, trusted, speaksFor };
    const { outcomes, rejected, added, assigned, requested } = await this.take(ddrs, o, via);
    const merged = outcomes.length - rejected.length - added;
    return { outcomes, stored: added, merged, rejected: rejected.length, assigned, requested };
  }

  /** leave queues a DDR for DDM, as the points do; of one sender only the newest waits. Announced on 'ddr'. */
  async leave(queued: Omit<QueuedDdr, 'receivedAt'>, via?: Sql): Promise<void> {
    const one = { ...queued, receivedAt: this.#clock.now() };
    if (via) await leave(via, [one]);
    else await this.#leaving.ask(one);
  }

  /** claim takes queued DDRs out of the queue, within the transaction that takes them in. */
  claim(method: string, o: { limit: number; but: readonly string[] }, tx: Sql): Promise<QueuedDdr[]> {
    return claim(tx, method, o.limit, o.but);
  }

  async #takeBatch(rows: readonly RawDevice[], o: ImportOptions, tx: Sql): Promise<Taken> {
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

  async #settle(ids: readonly number[], tx: Sql): Promise<Settled & NoLonger> {
    const site = await this.#parts.site.here(tx);
    const without = this.#onStored ? await withoutSite(tx, ids) : [];
    const assigned = await assignNew(this.#parts, ids, tx);
    // Other sites are to hear of machines that were just found to be theirs.
    if (assigned > 0 && without.length > 0) await this.#onStored?.(tx, without, { ...ASSIGNED, site: site.code });
    const withdrawn = await withdraw(this.#parts, site, ids, tx);
    return { assigned, requested: await pushNew(this.#parts, site, ids, this.#clock.now(), tx), withdrawn };
  }

  /** assignNew gives a site to those of the machines that have none. */
  assignNew(ids: readonly number[], via: Sql = this.#db): Promise<number> {
    return assignNew(this.#parts, ids, via);
  }

  /** explain tells of a machine whether site-wide push takes it as things are, and why. */
  async explain(device: Device): Promise<Automatic> {
    const site = await this.#parts.site.here();
    const [decided] = await decideAll(this.#parts, site, [device], this.#clock.now(), this.#db);
    return decided!;
  }

  /** reassign judges machines by the boundaries as they are now, those that have a site too; those in no boundary lose theirs. */
  reassign(whom: WhomToReassign, by: string, via?: Sql): Promise<Reassigned> {
    return this.#within(via, async (tx) => {
      const index = await this.#parts.boundary.index(tx);
      if (!index.assigns) throw raise('PP_BOUNDARY_NONE');
      const done: Reassigned = { items: [], changed: 0, unchanged: 0 };
      const moved: number[] = [];
      for await (const machines of pages(tx, whom, this.#clock.now())) {
        const sites: { id: number; site: string | undefined }[] = [];
        for (const { id, name, addresses, ad_site, assigned_site } of machines) {
          const judged = index.judge({ addresses, adSite: ad_site ?? undefined });
          if ((judged?.site ?? null) === assigned_site) {
            done.unchanged++;
            continue;
          }
          sites.push({ id, site: judged?.site });
          if (done.items.length >= NAMED) continue;
          const boundary = judged ? boundaryText(judged.boundary) : null;
          done.items.push({ name, from: assigned_site, to: judged?.site ?? null, boundary, address: judged?.address ?? null });
        }
        if (sites.length > 0) done.changed += await this.#parts.resource.assign(sites, tx);
        moved.push(...sites.map(({ id }) => id));
        const left = machines.flatMap(({ id, assigned_site: from }) => (from === null ? [] : [{ id, from }]));
        await this.#tellMoved(
          tx,
          sites.map(({ id }) => id),
          left,
        );
      }
      if (moved.length > SWEPT) await this.wantSweep(by, tx);
      else {
        const site = await this.#parts.site.here(tx);
        await withdraw(this.#parts, site, moved, tx);
        await pushNew(this.#parts, site, moved, this.#clock.now(), tx);
      }
      return done;
    });
  }

  /** move assigns machines as the parent says, and takes back the CCRs that site-wide push of this site made for those that have left it. */
  async move(sites: readonly { id: number; site: string | undefined }[], tx: Sql): Promise<void> {
    await this.#parts.resource.assign(sites, tx);
    const ids = sites.map(({ id }) => id);
    await withdraw(this.#parts, await this.#parts.site.here(tx), ids, tx);
  }

  async #tellMoved(tx: Sql, ids: readonly number[], left: readonly { id: number; from: string }[]): Promise<void> {
    if (!this.#onStored || ids.length === 0) return;
    const moved = left.filter(({ id }) => ids.includes(id));
    await this.#onStored(tx, ids, { ...ASSIGNED, site: (await this.#parts.site.here(tx)).code, moved });
  }

  /** wantSweep asks for a walk through all known machines: after site-wide push was switched on or off, or boundaries were added. Announced on 'discovery_sweep'. */
  async wantSweep(by: string, via: Sql = this.#db): Promise<void> {
    await via.query(
      `insert into discovery_sweep (wanted_at, wanted_by) values ($1, $2)
       on conflict (one) do update set after = 0, wanted_at = excluded.wanted_at, wanted_by = excluded.wanted_by`,
      [this.#clock.now(), shownName(by)],
    );
    await this.#db.notify('discovery_sweep', '', via);
  }

  /** sweep does the next part of a wanted walk, in a transaction of its own; undefined when none is wanted, or another process does it just now. */
  sweep(): Promise<Swept | undefined> {
    return this.#db.transaction(async (tx) => {
      const [row] = await tx.query<{ after: number; wanted_by: string; assigned: number; requested: number; withdrawn: number }>(
        'select after, wanted_by, assigned, requested, withdrawn from discovery_sweep for update skip locked',
      );
      if (!row) return undefined;
      const ids = (
        await tx.query<{ id: number }>('select id from resource where id > $1 and not obsolete order by id limit $2', [
          row.after,
          SWEPT,
        ])
      ).map(({ id }) => id);
      const { assigned, requested, withdrawn } = await this.#settle(ids, tx);
      const total = {
        assigned: row.assigned + assigned,
        requested: row.requested + requested,
        withdrawn: row.withdrawn + withdrawn,
        by: row.wanted_by,
      };
      const more = ids.length === SWEPT;
      if (more)
        await tx.query('update discovery_sweep set after = $1, assigned = $2, requested = $3, withdrawn = $4', [
          ids.at(-1),
          total.assigned,
          total.requested,
          total.withdrawn,
        ]);
      else await tx.query('delete from discovery_sweep');
      return { looked: ids.length, assigned, requested, withdrawn, total: more ? undefined : total };
    });
  }

  /**
   * maintain runs the tasks that are due, those about machines and the others that are given, each at most once a day over all processes of the
   * site, and tells what they touched.
   */
  async maintain(others: readonly Task[] = []): Promise<Maintained[]> {
    const { settings } = await this.#parts.site.here();
    const done: Maintained[] = [];
    const tasks = [...resourceTasks(this.#parts.resource, settings), ...others];
    for (const task of await dueTasks(this.#db, tasks, this.#clock.now())) {
      const result = await runTask(this.#db, task, this.#clock.now());
      if (!result) continue;
      // Without its flag a silent machine may be pushed to again.
      if (task.name === 'clear-install-flag' && result.touched > 0) await this.wantSweep('maintenance');
      done.push(result);
    }
    return done;
  }
}

async function withoutSite(tx: Sql, ids: readonly number[]): Promise<number[]> {
  const rows = await tx.query<{ id: number }>(
    'select id from resource where id = any($1) and assigned_site is null and trusted',
    [ids],
  );
  return rows.map(({ id }) => id);
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
