import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import { shownName } from '#records/resource';
import type { Database, Sql } from '#store/database';
import { headline, type Check } from './check.ts';

/** ExaminationWish is what somebody wants examined: a machine, or the site server itself. */
export interface ExaminationWish {
  host?: string | undefined;
  /** Whether a push account may be used on the machine. */
  logon: boolean;
  by: string;
}

/** Examination is one request with what was found so far. */
export interface Examination {
  id: number;
  host: string | undefined;
  logon: boolean;
  state: 'queued' | 'running' | 'done' | 'failed';
  checks: Check[];
  /** The first thing to say of it; undefined until it is done. */
  headline: string | undefined;
  error: string | undefined;
  wantedBy: string;
  wantedAt: Date;
  startedAt: Date | undefined;
  finishedAt: Date | undefined;
}

interface Row {
  id: number;
  host: string | null;
  logon: boolean;
  state: Examination['state'];
  checks: Check[];
  error: string | null;
  wanted_by: string;
  wanted_at: Date;
  started_at: Date | null;
  finished_at: Date | null;
}

/** A request whose process said nothing for so long is taken over by another one. */
const LEASE_MS = 60_000;
/** So often one is begun whose process went away in the middle; then it failed. */
const MOST_TRIES = 2;
/** Examinations are for the day they were made on; they tell of machines, so they are not kept for ever. */
const KEPT_MS = 7 * 86_400_000;
const MOST_KEPT = 1000;
/** So many may wait at a time; more is a script that went wrong. */
const MOST_WAITING = 200;

function examinationOf(row: Row): Examination {
  const host = row.host ?? undefined;
  return {
    id: row.id,
    host,
    logon: row.logon,
    state: row.state,
    checks: row.checks,
    headline: row.state === 'done' ? headline(host, row.checks) : undefined,
    error: row.error ?? undefined,
    wantedBy: row.wanted_by,
    wantedAt: row.wanted_at,
    startedAt: row.started_at ?? undefined,
    finishedAt: row.finished_at ?? undefined,
  };
}

/**
 * DoctorRecord knows what people want examined and what was found. It is the only writer of doctor_request: a point writes the wish, CCM takes it
 * and writes the answer. What is new is announced on 'doctor'.
 */
export class DoctorRecord {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /** request writes down a wish, in the transaction of its audit entry; aged ones are removed with it. */
  async request(wish: ExaminationWish, via: Sql = this.#db): Promise<Examination> {
    const now = this.#clock.now();
    const [waiting] = await via.query<{ n: number }>('select count(*) as n from doctor_request where finished_at is null');
    if (waiting!.n >= MOST_WAITING) throw raise('PP_DOCTOR_BUSY', { waiting: waiting!.n });
    const [row] = await via.query<Row>(
      `insert into doctor_request (host, logon, state, wanted_by, wanted_at) values ($1, $2, 'queued', $3, $4) returning *`,
      [wish.host, wish.logon, shownName(wish.by), now],
    );
    await via.query('delete from doctor_request where wanted_at < $1 or id <= $2', [
      new Date(now.getTime() - KEPT_MS),
      row!.id - MOST_KEPT,
    ]);
    await this.#db.notify('doctor', String(row!.id), via);
    return examinationOf(row!);
  }

  /** byId gives one examination; undefined when there is none, or no longer. */
  async byId(id: number): Promise<Examination | undefined> {
    const [row] = await this.#db.query<Row>('select * from doctor_request where id = $1', [id]);
    return row && examinationOf(row);
  }

  /** claim takes the oldest request that waits, or one whose process is gone, for a worker; what lost two processes is given up. */
  async claim(worker: string): Promise<Examination | undefined> {
    const now = this.#clock.now();
    const [row] = await this.#db.query<Row>(
      `with given_up as (
         update doctor_request set state = 'failed', finished_at = $2, error = $6
         where finished_at is null and state = 'running' and tries >= $5 and (alive_at < $3 or alive_at > $4)
       )
       update doctor_request set state = 'running', worker = $1, alive_at = $2, started_at = $2, checks = '[]', tries = tries + 1
       where id = (select id from doctor_request
         where finished_at is null and (state = 'queued' or tries < $5 and (alive_at < $3 or alive_at > $4))
         order by id limit 1 for update skip locked) returning *`,
      [
        worker,
        now,
        new Date(now.getTime() - LEASE_MS),
        new Date(now.getTime() + LEASE_MS),
        MOST_TRIES,
        `the process that made it went away in the middle, ${MOST_TRIES} times; logs/pushpoint.log may have why`,
      ],
    );
    return row && examinationOf(row);
  }

  /** keep writes down what was found so far and that its worker is alive; false when the request is not this worker's any more. */
  async keep(id: number, worker: string, checks: readonly Check[]): Promise<boolean> {
    return (
      (await this.#db.count(
        `update doctor_request set checks = $3, alive_at = $4 where id = $1 and worker = $2 and state = 'running'`,
        [id, worker, JSON.stringify(checks), this.#clock.now()],
      )) === 1
    );
  }

  /** finish ends an examination with all that was found, or with why it could not be made. */
  async finish(id: number, worker: string, checks: readonly Check[], error?: string): Promise<boolean> {
    return (
      (await this.#db.count(
        `update doctor_request set state = $3, checks = $4, error = $5, finished_at = $6 where id = $1 and worker = $2 and state = 'running'`,
        [id, worker, error === undefined ? 'done' : 'failed', JSON.stringify(checks), error, this.#clock.now()],
      )) === 1
    );
  }

  /** release gives a request back that its worker cannot end, because it stops; that counts as no try. */
  async release(id: number, worker: string): Promise<void> {
    await this.#db.query(
      `update doctor_request set state = 'queued', worker = null, alive_at = null, tries = tries - 1 where id = $1 and worker = $2 and state = 'running'`,
      [id, worker],
    );
    await this.#db.notify('doctor', String(id));
  }
}
