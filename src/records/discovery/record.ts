import type { Clock } from '#base/clock';
import type { Ddr } from '#messages';
import type { Device, ImportOptions, RawDevice, RowOutcome } from '#records/resource';
import { Gatherer, type Database, type Sql } from '#store/database';
import type { Automatic } from './automatic.ts';
import { Intake, type Taken } from './intake.ts';
import { dueTasks, resourceTasks, runTask, type Maintained, type Task } from './maintenance.ts';
import type { WhomToReassign } from './pages.ts';
import { claim, leave, type QueuedDdr } from './queue.ts';
import { Reassignment, type Reassigned } from './reassign.ts';
import { assignNew, decideAll, type Settled, type SettleParts } from './settle.ts';
import type { DdrOrigin, OnStored } from './stored.ts';
import { Sweep, type Swept } from './sweep.ts';

/** DdrOutcome is what became of one DDR: a new resource, one that it was merged into, one that it told nothing new of, or nothing, and why. */
export type DdrOutcome = RowOutcome;

/** Ingested is what became of DDRs; `outcomes` are in the order of the DDRs. */
export interface Ingested extends Settled {
  outcomes: DdrOutcome[];
  stored: number;
  merged: number;
  rejected: number;
}

/**
 * DiscoveryRecord is where everything that discovers machines hands them in: they are stored, assigned to their site, and get a CCR where
 * site-wide push takes them, all in one transaction. It is the only writer of ddr, discovery_sweep and
 * discovery_maintenance.
 */
export class DiscoveryRecord {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #parts: SettleParts;
  readonly #intake: Intake;
  readonly #sweep: Sweep;
  readonly #reassignment: Reassignment;
  readonly #leaving: Gatherer<QueuedDdr, undefined>;

  constructor(db: Database, clock: Clock, parts: SettleParts, onStored?: OnStored) {
    this.#db = db;
    this.#clock = clock;
    this.#parts = parts;
    this.#intake = new Intake(db, clock, parts, onStored);
    this.#sweep = new Sweep(db, clock, parts, onStored);
    this.#reassignment = new Reassignment(db, clock, parts, this.#sweep, onStored);
    this.#leaving = new Gatherer(async (ddrs) => {
      await leave(db, ddrs);
      return ddrs.map(() => undefined);
    });
  }

  /**
   * take stores machines as a file has them, in lines; it is ingest for those whose rows were not checked yet. It works in transactions of
   * 1000, or in the one it is given.
   */
  take(rows: readonly RawDevice[], o: ImportOptions, via?: Sql): Promise<Taken> {
    return this.#intake.take(rows, o, via);
  }

  /** trial tells what take would do, and does nothing. */
  trial(rows: readonly RawDevice[], o: ImportOptions): Promise<Taken> {
    return this.#intake.trial(rows, o);
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
    return this.#reassignment.byBoundaries(whom, by, via);
  }

  /** move assigns machines as the parent says, and takes back the CCRs that site-wide push of this site made for those that have left it. */
  move(sites: readonly { id: number; site: string | undefined }[], tx: Sql): Promise<void> {
    return this.#reassignment.asTold(sites, tx);
  }

  /** wantSweep asks for a walk through all known machines: after site-wide push was switched on or off, or boundaries were added. Announced on 'discovery_sweep'. */
  wantSweep(by: string, via?: Sql): Promise<void> {
    return this.#sweep.want(by, via);
  }

  /** sweep does the next part of a wanted walk, in a transaction of its own; undefined when none is wanted, or another process does it just now. */
  sweep(): Promise<Swept | undefined> {
    return this.#sweep.next();
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
