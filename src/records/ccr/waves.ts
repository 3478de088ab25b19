import type { Clock } from '#base/clock';
import type { Database, Sql } from '#store/database';
import { ABSENT } from './absent.ts';
import { CCR_STATES, ccrOf, type Ccr, type CcrRow, type CcrState } from './ccr.ts';
import { pause } from './people.ts';

/** StopAfter is how many machines of a wave may fail, as a number or in per cent, before the rest of it is paused. */
export interface StopAfter {
  failures?: number | undefined;
  percent?: number | undefined;
}

/** Wave is what one push asked for: its machines are counted, held and ended together. */
export interface Wave {
  id: number;
  madeAt: Date;
  madeBy: string;
  machines: number;
  stopAfter: StopAfter | undefined;
  stoppedAt: Date | undefined;
  stopReason: string | undefined;
}

/** WaveShown is a wave with how its CCRs stand now; those that joined a later wave count there. */
export interface WaveShown extends Wave {
  counts: Partial<Record<CcrState, number>>;
}

interface WaveRow {
  id: number;
  made_at: Date;
  made_by: string;
  machines: number;
  stop_after: number | null;
  stop_percent: number | null;
  stopped_at: Date | null;
  stop_reason: string | null;
}

function waveOf(row: WaveRow): Wave {
  const stopAfter = { failures: row.stop_after ?? undefined, percent: row.stop_percent ?? undefined };
  return {
    id: row.id,
    madeAt: row.made_at,
    madeBy: row.made_by,
    machines: row.machines,
    stopAfter: row.stop_after === null && row.stop_percent === null ? undefined : stopAfter,
    stoppedAt: row.stopped_at ?? undefined,
    stopReason: row.stop_reason ?? undefined,
  };
}

async function counted(sql: Sql, rows: WaveRow[]): Promise<WaveShown[]> {
  const counts = await sql.query<{ wave: number; state: CcrState; n: number }>(
    'select wave, state, count(*) as n from ccr where wave = any($1) and wave <> 0 group by wave, state',
    [rows.map((row) => row.id)],
  );
  return rows.map((row) => {
    const own = counts.filter((c) => c.wave === row.id);
    own.sort((a, b) => CCR_STATES.indexOf(a.state) - CCR_STATES.indexOf(b.state));
    return { ...waveOf(row), counts: Object.fromEntries(own.map(({ state, n }) => [state, n])) };
  });
}

/** FAILED are CCRs that an attempt of this wave has failed for; who did not answer says nothing about the push. */
const FAILED = `wave = $1 and wave <> 0 and (state = 'failed' or (state in ('retry', 'waiting') and last_error <> all ($2)))`;

/** stopIfFailed stops a wave of which too many machines have failed; the reason, for the one who stopped it. */
async function stopIfFailed(sql: Sql, id: number, now: Date): Promise<string | undefined> {
  const [row] = await sql.query<{ stop_reason: string }>(
    `with failed as (select count(*) as n from ccr where ${FAILED})
     update ccr_wave w set stopped_at = $3, stop_reason = f.n || ' of ' || w.machines || ' machines have failed, '
         || coalesce(w.stop_after || ' were', w.stop_percent || ' % were') || ' allowed'
     from failed f where w.id = $1 and w.stopped_at is null
       and f.n > least(coalesce(w.stop_after, w.machines), coalesce(ceil(w.machines * w.stop_percent / 100.0), w.machines))
     returning w.stop_reason`,
    [id, [...ABSENT], now],
  );
  return row?.stop_reason;
}

/** restOfStopped gives the CCRs of a stopped wave that nobody works and that would be worked again. */
async function restOfStopped(sql: Sql, id: number): Promise<number[]> {
  const rows = await sql.query<{ id: number }>(
    `select c.id from ccr c join ccr_wave w on w.id = c.wave where c.wave = $1 and c.wave <> 0 and w.stopped_at is not null
       and c.finished_at is null and c.worker_id is null and c.state in ('queued', 'retry', 'waiting')`,
    [id],
  );
  return rows.map((row) => row.id);
}

/** Waves is what is known of pushes: what each asked for together, how far it is, and when too many of its machines have failed. */
export class Waves {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /** make makes the wave of a push, or lets a part of a large push join the one its first part made; undefined where there is no such wave. */
  async make(
    o: { by: string; machines: number; stopAfter?: StopAfter | undefined; join?: number | undefined },
    sql: Sql = this.#db,
  ): Promise<Wave | undefined> {
    const [row] = await (o.join === undefined
      ? sql.query<WaveRow>(
          'insert into ccr_wave (made_at, made_by, machines, stop_after, stop_percent) values ($1, $2, $3, $4, $5) returning *',
          [this.#clock.now(), o.by, o.machines, o.stopAfter?.failures, o.stopAfter?.percent],
        )
      : sql.query<WaveRow>('update ccr_wave set machines = machines + $2 where id = $1 and made_by = $3 returning *', [
          o.join,
          o.machines,
          o.by,
        ]));
    return row && waveOf(row);
  }

  /** list gives a page of waves, newest first, each with its counts. */
  async list(o: { before?: number | undefined; limit: number }): Promise<WaveShown[]> {
    const rows = await this.#db.query<WaveRow>(
      'select * from ccr_wave where $1::integer is null or id < $1 order by id desc limit $2',
      [o.before, o.limit],
    );
    return counted(this.#db, rows);
  }

  /** get gives one wave. */
  async get(id: number): Promise<WaveShown | undefined> {
    return (await counted(this.#db, await this.#db.query<WaveRow>('select * from ccr_wave where id = $1', [id])))[0];
  }

  /** stopReasons tells which of these waves were stopped, and why. */
  async stopReasons(ids: readonly number[]): Promise<Map<number, string>> {
    const rows = await this.#db.query<{ id: number; stop_reason: string }>(
      'select id, stop_reason from ccr_wave where id = any($1) and stop_reason is not null',
      [ids],
    );
    return new Map(rows.map((row) => [row.id, row.stop_reason]));
  }

  /** ccrs gives the live CCRs of a wave. */
  async ccrs(id: number): Promise<Ccr[]> {
    const rows = await this.#db.query<CcrRow>(
      'select * from ccr where wave = $1 and wave <> 0 and finished_at is null order by id',
      [id],
    );
    return rows.map(ccrOf);
  }

  /**
   * resume takes the stop of a wave away, and with it its limit: who goes on has seen the failures, and would otherwise be stopped again
   * by the next one. Its CCRs are resumed by themselves.
   */
  async resume(id: number, sql: Sql = this.#db): Promise<void> {
    await sql.query(
      'update ccr_wave set stopped_at = null, stop_reason = null, stop_after = null, stop_percent = null where id = $1 and stopped_at is not null',
      [id],
    );
  }

  /** isLimited tells whether a wave has a limit of failures. */
  async isLimited(id: number): Promise<boolean> {
    const [row] = await this.#db.query(
      'select from ccr_wave where id = $1 and (stop_after is not null or stop_percent is not null)',
      [id],
    );
    return row !== undefined;
  }

  /** halt pauses what is left of a wave of which too many have failed; the reason, for the one call that stopped it. */
  halt(id: number): Promise<string | undefined> {
    return this.#db.transaction(async (tx) => {
      const now = this.#clock.now();
      const reason = await stopIfFailed(tx, id, now);
      const rest = await restOfStopped(tx, id);
      if (rest.length > 0) await pause(tx, rest, now);
      return reason;
    });
  }
}
