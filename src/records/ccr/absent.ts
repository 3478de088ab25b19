import type { Clock } from '#base/clock';
import type { Code } from '#base/errors';
import type { Database } from '#store/database';
import type { Worker } from './worker.ts';

/**
 * ABSENT are the errors that say that nobody answered, which a machine that shows up ends by itself. The index ccr_absent has the same list.
 */
export const ABSENT: ReadonlySet<string> = new Set<Code>([
  'PP_NET_REFUSED',
  'PP_NET_SILENT',
  'PP_NET_UNROUTABLE',
  'PP_NET_NAME_UNKNOWN',
]);

/** A machine that comes and goes is not tried more often than this, or its week would be over in an hour. */
export const REST_MS = 10 * 60_000;

/** AbsentCcr is a machine that did not answer, with every address that is known of it. */
export interface AbsentCcr {
  id: number;
  name: string;
  domain: string;
  addresses: string[];
  port: number;
}

/** Absences is what is known of machines that nobody answered for: who looks for them now, which are next, and which were heard. */
export class Absences {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #wake: (ids: readonly number[]) => Promise<number>;

  constructor(db: Database, clock: Clock, wake: (ids: readonly number[]) => Promise<number>) {
    this.#db = db;
    this.#clock = clock;
    this.#wake = wake;
  }

  /** turn gives a worker the sweep until then, with the CCR it has come to; undefined while another one has it. */
  async turn(worker: Worker, until: Date): Promise<number | undefined> {
    const [row] = await this.#db.query<{ at: number }>(
      `update ccr_sweep set worker_id = $1, lease_until = $3 where worker_id = $1 or lease_until is null or lease_until <= $2
         or not exists (select from ccr_worker w where w.id = ccr_sweep.worker_id and w.ended_at is null) returning at`,
      [worker.id, this.#clock.now(), until],
    );
    return row?.at;
  }

  /** done notes how far the sweep has come, so that who has it next goes on there. */
  async done(worker: Worker, at: number): Promise<void> {
    await this.#db.query('update ccr_sweep set at = $2 where worker_id = $1', [worker.id, at]);
  }

  /** leave lets another process have the sweep. */
  async leave(worker: Worker): Promise<void> {
    await this.#db.query('update ccr_sweep set worker_id = null, lease_until = null where worker_id = $1', [worker.id]);
  }

  /**
   * next gives the machines that nobody answered for, from one CCR on and round again: each is asked once in a round, so the one that was
   * not asked for the longest time is always the next. Those tried a moment ago have their rest.
   */
  next(after: number, limit: number): Promise<AbsentCcr[]> {
    const now = this.#clock.now();
    const page = (lap: number, which: string) => `(
      select ${lap} as lap, c.id, c.name, c.domain, c.addresses, c.smb_port, c.resource_id from ccr c
      where c.state = 'retry' and c.finished_at is null and c.worker_id is null
        and c.last_error in (${[...ABSENT].map((code) => `'${code}'`).join(', ')})
        and ${which} and (c.last_attempt_at is null or c.last_attempt_at <= $2) and c.due_at > $4
      order by c.id limit $3)`;
    return this.#db.exec<AbsentCcr>(
      {
        name: 'ccr_absent',
        text: `select p.id, p.name, coalesce(nullif(r.domain, ''), p.domain) as domain,
            array(select distinct a from unnest(coalesce(r.addresses, '{}') || p.addresses) a) as addresses,
            coalesce(r.smb_port, p.smb_port, 445) as port
          from (select * from (${page(0, 'c.id > $1')} union all ${page(1, 'c.id <= $1')}) round order by lap, id limit $3) p
          left join resource r on r.id = p.resource_id and not r.obsolete order by p.lap, p.id`,
      },
      [after, new Date(now.getTime() - REST_MS), limit, now],
    );
  }

  /**
   * seen makes the CCRs of machines that have been heard due at once: those being verified, and those in retry that have had their rest, so
   * that a machine cannot call attempts to itself by talking much.
   */
  async seen(who: { resourceIds: readonly number[] } | { ids: readonly number[] }): Promise<number> {
    const [column, ids] = 'ids' in who ? ['id', who.ids] : ['resource_id', who.resourceIds];
    const rows = await this.#db.query<{ id: number }>(
      `select id from ccr where ${column} = any($1) and finished_at is null
         and (state in ('verifying', 'processing') or (state = 'retry' and last_attempt_at <= $2))`,
      [ids, new Date(this.#clock.now().getTime() - REST_MS)],
    );
    return rows.length > 0 ? this.#wake(rows.map((row) => row.id)) : 0;
  }
}
