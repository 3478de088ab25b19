import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import { shownName } from '#records/resource';
import type { Database, Sql } from '#store/database';
import type { NetworkReport } from './report.ts';
import { runOf, type Run, type RunKind, type RunRow } from './run.ts';
import {
  countOf,
  methodNamed,
  METHODS,
  networkSettings,
  type MethodName,
  type NetworkPatch,
  type NetworkSettings,
} from './settings.ts';

/** Schedule is how often a method runs by itself, in minutes; 0 is never. */
export interface Schedule {
  fullMinutes: number;
  deltaMinutes: number;
}

/** MethodShown is a method with what it works with, when it is due, and its last runs. */
export interface MethodShown extends Schedule {
  method: MethodName;
  settings: NetworkSettings;
  addresses: number;
  fullDueAt?: Date | undefined;
  deltaDueAt?: Date | undefined;
  /** The newest run, and the newest of each kind that came to its end with the method's own settings. */
  last?: Run | undefined;
  lastFull?: Run | undefined;
  lastDelta?: Run | undefined;
}

/** RunWish is a run that somebody wants: with the settings of the method, or with some of its own for this once. */
export interface RunWish {
  method: string;
  kind: RunKind;
  patch?: NetworkPatch | undefined;
  scheduled?: boolean;
  by: string;
}

interface SettingsRow {
  method: MethodName;
  settings: object;
  full_minutes: number;
  delta_minutes: number;
  full_due_at: Date | null;
  delta_due_at: Date | null;
}

const MINUTE_MS = 60_000;
/** A run whose process said nothing for so long is taken over by another one. */
const LEASE_MS = 60_000;
/** So many runs of each method are kept. */
const KEPT = 200;

/**
 * MethodRecord knows the discovery methods that run, their settings and schedules, and their runs: a run is a recorded wish first, which
 * the role `discovery` of some process takes. It is the only writer of method_settings and method_run. What is new is announced on
 * 'method_run'.
 */
export class MethodRecord {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  #within<T>(via: Sql | undefined, work: (tx: Sql) => Promise<T>): Promise<T> {
    return via ? work(via) : this.#db.transaction(work);
  }

  /** method gives one method. */
  async method(given: string, via: Sql = this.#db): Promise<MethodShown> {
    const method = methodNamed(given);
    const [row] = await via.query<SettingsRow>('select * from method_settings where method = $1', [method]);
    const newest = async (where: string) => {
      const [run] = await via.query<RunRow>(`select * from method_run where method = $1 and ${where} order by id desc limit 1`, [
        method,
      ]);
      return run && runOf(run);
    };
    const settings = networkSettings(row?.settings ?? {});
    return {
      method,
      settings,
      addresses: countOf(settings),
      fullMinutes: row?.full_minutes ?? 0,
      deltaMinutes: row?.delta_minutes ?? 0,
      fullDueAt: row?.full_due_at ?? undefined,
      deltaDueAt: row?.delta_due_at ?? undefined,
      last: await newest('true'),
      lastFull: await newest(`not own and state = 'done' and kind = 'full'`),
      lastDelta: await newest(`not own and state = 'done' and kind = 'delta'`),
    };
  }

  /** methods gives all of them. */
  async methods(): Promise<MethodShown[]> {
    return Promise.all(METHODS.map((method) => this.method(method)));
  }

  /** set changes the settings of a method, or its schedule, or both; a schedule that begins has its first run at once. */
  async set(given: string, patch: NetworkPatch, schedule: Partial<Schedule>, by: string, via?: Sql): Promise<MethodShown> {
    const method = methodNamed(given);
    await this.#within(via, async (tx) => {
      const now = this.#clock.now();
      await tx.query(
        `insert into method_settings (method, settings, changed_at, changed_by) values ($1, '{}', $2, $3) on conflict do nothing`,
        [method, now, shownName(by)],
      );
      const [old] = await tx.query<SettingsRow>('select * from method_settings where method = $1 for update', [method]);
      const settings = networkSettings(old!.settings, patch);
      const full = schedule.fullMinutes ?? old!.full_minutes;
      const delta = schedule.deltaMinutes ?? old!.delta_minutes;
      if (full + delta > 0 && countOf(settings) === 0) throw raise('PP_DISCOVERY_NO_TARGETS');
      const due = (minutes: number, was: number, at: Date | null) =>
        minutes === 0 ? null : minutes === was && at ? at : was === 0 ? now : new Date(now.getTime() + minutes * MINUTE_MS);
      await tx.query(
        `update method_settings set settings = $2, full_minutes = $3, delta_minutes = $4, full_due_at = $5, delta_due_at = $6,
           changed_at = $7, changed_by = $8 where method = $1`,
        [
          method,
          JSON.stringify(settings),
          full,
          delta,
          due(full, old!.full_minutes, old!.full_due_at),
          due(delta, old!.delta_minutes, old!.delta_due_at),
          now,
          shownName(by),
        ],
      );
      await this.#db.notify('method_run', '', tx);
    });
    return this.method(method, via);
  }

  /** request writes down that a run is wanted; one of the same kind with the method's own settings that still waits is the same wish. */
  async request(wish: RunWish, via?: Sql): Promise<Run> {
    const method = methodNamed(wish.method);
    return this.#within(via, async (tx) => {
      const [row] = await tx.query<SettingsRow>('select * from method_settings where method = $1 for update', [method]);
      const settings = networkSettings(row?.settings ?? {}, wish.patch);
      const total = countOf(settings);
      if (total === 0) throw raise('PP_DISCOVERY_NO_TARGETS');
      const own = wish.patch !== undefined;
      const [waiting] = own
        ? []
        : await tx.query<RunRow>(
            `select * from method_run where method = $1 and kind = $2 and state = 'queued' and not own and started_at is null
             order by id limit 1`,
            [method, wish.kind],
          );
      if (waiting) return runOf(waiting);
      const [made] = await tx.query<RunRow>(
        `insert into method_run (method, kind, own, scheduled, state, settings, total, wanted_by, wanted_at)
         values ($1, $2, $3, $4, 'queued', $5, $6, $7, $8) returning *`,
        [method, wish.kind, own, wish.scheduled === true, JSON.stringify(settings), total, shownName(wish.by), this.#clock.now()],
      );
      await tx.query(
        `delete from method_run where method = $1 and finished_at is not null
         and id <= (select id from method_run where method = $1 order by id desc offset ${KEPT} limit 1)`,
        [method],
      );
      await this.#db.notify('method_run', String(made!.id), tx);
      return runOf(made!);
    });
  }

  /** requestDue writes down the runs that are due by the schedules; a full run that is due makes a delta run needless. */
  async requestDue(): Promise<Run[]> {
    return this.#db.transaction(async (tx) => {
      const now = this.#clock.now();
      const rows = await tx.query<SettingsRow>(
        'select * from method_settings where full_due_at <= $1 or delta_due_at <= $1 for update skip locked',
        [now],
      );
      const runs: Run[] = [];
      for (const row of rows) {
        const isFull = row.full_due_at !== null && row.full_due_at <= now;
        const next = (minutes: number) => (minutes === 0 ? null : new Date(now.getTime() + minutes * MINUTE_MS));
        await tx.query('update method_settings set full_due_at = $2, delta_due_at = $3 where method = $1', [
          row.method,
          isFull ? next(row.full_minutes) : row.full_due_at,
          next(row.delta_minutes),
        ]);
        const kind = isFull ? 'full' : 'delta';
        runs.push(await this.request({ method: row.method, kind, scheduled: true, by: 'schedule' }, tx));
      }
      return runs;
    });
  }

  /** nextDueAt is when the next schedule is due. */
  async nextDueAt(): Promise<Date | undefined> {
    const [row] = await this.#db.query<{ at: Date | null }>(
      'select min(least(full_due_at, delta_due_at)) as at from method_settings',
    );
    return row?.at ?? undefined;
  }

  /** claim takes the oldest run that waits, or one whose process is gone, for a worker. */
  async claim(worker: string): Promise<Run | undefined> {
    return this.#db.transaction(async (tx) => {
      const now = this.#clock.now();
      const [row] = await tx.query<RunRow>(
        `update method_run set state = 'running', worker = $1, alive_at = $2, started_at = coalesce(started_at, $2)
         where id = (select id from method_run where finished_at is null and (state = 'queued' or alive_at < $3)
           order by id limit 1 for update skip locked) returning *`,
        [worker, now, new Date(now.getTime() - LEASE_MS)],
      );
      return row && runOf(row);
    });
  }

  /** keep writes down how far a run is and that its worker is alive. It tells whether to go on: false when it was cancelled or lost. */
  async keep(id: number, worker: string, o: { done: number; report: NetworkReport }): Promise<'go on' | 'cancelled' | 'lost'> {
    const [row] = await this.#db.query<{ cancelled_by: string | null }>(
      `update method_run set done = $3, report = $4, alive_at = $5 where id = $1 and worker = $2 and state = 'running'
       returning cancelled_by`,
      [id, worker, o.done, JSON.stringify(o.report), this.#clock.now()],
    );
    if (!row) return 'lost';
    return row.cancelled_by === null ? 'go on' : 'cancelled';
  }

  /** release gives a run back that its worker cannot end, because it stops: another one goes on where it was. */
  async release(id: number, worker: string): Promise<void> {
    await this.#db.query(
      `update method_run set state = 'queued', worker = null, alive_at = null where id = $1 and worker = $2 and state = 'running'`,
      [id, worker],
    );
    await this.#db.notify('method_run', String(id));
  }

  /** finish ends a run. */
  async finish(id: number, worker: string, state: 'done' | 'cancelled' | 'failed', error?: string): Promise<Run | undefined> {
    const [row] = await this.#db.query<RunRow>(
      `update method_run set state = $3, error = $4, finished_at = $5 where id = $1 and worker = $2 and state = 'running' returning *`,
      [id, worker, state, error, this.#clock.now()],
    );
    return row && runOf(row);
  }

  /** cancel ends a run that waits, and tells the worker of one that is under way. */
  async cancel(id: number, by: string, via?: Sql): Promise<Run> {
    return this.#within(via, async (tx) => {
      const [old] = await tx.query<RunRow>('select * from method_run where id = $1 for update', [id]);
      if (!old) throw raise('PP_DISCOVERY_RUN', { run: id });
      if (old.finished_at) throw raise('PP_DISCOVERY_RUN_OVER', { run: id, state: old.state });
      const [row] = await tx.query<RunRow>(
        `update method_run set cancelled_by = $2, state = case when state = 'queued' then 'cancelled' else state end,
           finished_at = case when state = 'queued' then $3::timestamptz end where id = $1 returning *`,
        [id, shownName(by), this.#clock.now()],
      );
      await this.#db.notify('method_run', String(id), tx);
      return runOf(row!);
    });
  }

  /** run gives one run. */
  async run(id: number): Promise<Run> {
    const [row] = await this.#db.query<RunRow>('select * from method_run where id = $1', [id]);
    if (!row) throw raise('PP_DISCOVERY_RUN', { run: id });
    return runOf(row);
  }

  /** runs gives a page of runs, newest first. */
  async runs(o: { method?: string | undefined; before?: number | undefined; limit: number }): Promise<Run[]> {
    const rows = await this.#db.query<RunRow>(
      `select * from method_run where ($1::text is null or method = $1) and ($2::integer is null or id < $2) order by id desc limit $3`,
      [o.method === undefined ? undefined : methodNamed(o.method), o.before, o.limit],
    );
    return rows.map(runOf);
  }

  /** seenSince gives the addresses at which a method found machines since a time; a delta run leaves those out. */
  async seenSince(method: MethodName, site: string, since: Date): Promise<Set<string>> {
    const rows = await this.#db.query<{ address: string }>(
      `select distinct unnest(r.addresses) as address from resource r
       join resource_source s on s.resource_id = r.id and s.method = $1 and s.site = $2 and s.at >= $3 where not r.obsolete`,
      [method, site, since],
    );
    return new Set(rows.map(({ address }) => address));
  }
}
