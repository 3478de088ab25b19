import type { Clock } from '#base/clock';
import type { Database, Sql } from '#store/database';

/** The first number of the advisory locks that living workers hold ('CCRW' in ASCII); the second is the worker's id. */
const LOCK = 0x43435257;
/** The lock under which CCRs are claimed; the same number stands in ccr_claim. */
const CLAIM_LOCK = 1128481388;

/** hold keeps one connection with the worker's lock on it; when the process dies the server lets go of the lock at once. */
class Hold {
  readonly #ended: Promise<void>;
  #release: () => void = () => {};
  #sql: Sql | undefined;
  #over = false;

  constructor(db: Database, id: number, ready: (got: boolean) => void) {
    const released = new Promise<void>((resolve) => (this.#release = resolve));
    this.#ended = db
      .transaction(async (tx) => {
        await tx.query('set local idle_in_transaction_session_timeout = 0');
        const [row] = await tx.query<{ got: boolean }>('select pg_try_advisory_xact_lock($1, $2) as got', [LOCK, id]);
        ready(row!.got);
        if (!row!.got) return;
        this.#sql = tx;
        await released;
      })
      .catch(() => ready(false))
      .finally(() => (this.#over = true));
  }

  /** lives tells whether the connection, and with it the lock, is still there. */
  async lives(): Promise<boolean> {
    if (this.#over || !this.#sql) return false;
    try {
      await this.#sql.query('select 1');
      return true;
    } catch {
      this.#release();
      return false;
    }
  }

  async release(): Promise<void> {
    this.#release();
    await this.#ended;
  }
}

function holdLock(db: Database, id: number): Promise<Hold | undefined> {
  return new Promise((resolve) => {
    const hold: Hold = new Hold(db, id, (got) => resolve(got ? hold : undefined));
  });
}

/**
 * Worker is one process in the eyes of the queue. It is alive while its lease has not run out and its lock is held; the lock falls when the
 * process is killed, so that its CCRs are taken over at once, and the lease falls when it hangs.
 */
export class Worker {
  readonly id: number;
  readonly name: string;
  readonly #db: Database;
  #hold: Hold | undefined;

  private constructor(db: Database, id: number, name: string, hold: Hold) {
    this.#db = db;
    this.id = id;
    this.name = name;
    this.#hold = hold;
  }

  /** register makes a new worker; `leaseMs` is how long it is believed without a renew. */
  static async register(db: Database, clock: Clock, name: string, leaseMs: number): Promise<Worker> {
    const [next] = await db.query<{ id: number }>("select nextval(pg_get_serial_sequence('ccr_worker', 'id'))::integer as id");
    const hold = await holdLock(db, next!.id);
    if (!hold) throw new Error(`the lock of the new worker ${next!.id} is held by somebody else`);
    const now = clock.now();
    try {
      await db.query(
        'insert into ccr_worker (id, name, registered_at, lease_until) overriding system value values ($1, $2, $3, $4)',
        [next!.id, name, now, new Date(now.getTime() + leaseMs)],
      );
    } catch (error) {
      // Nobody else would let go of its connection, and each try takes another one.
      await hold.release();
      throw error;
    }
    return new Worker(db, next!.id, name, hold);
  }

  /** renew extends the lease; false means that this worker was declared dead, has lost its claims and must register anew. */
  async renew(until: Date): Promise<boolean> {
    if (this.#hold && !(await this.#hold.lives())) {
      await this.#hold.release();
      this.#hold = await holdLock(this.#db, this.id);
      if (!this.#hold) return false;
    }
    return (
      (await this.#db.count('update ccr_worker set lease_until = $2 where id = $1 and ended_at is null', [this.id, until])) === 1
    );
  }

  /**
   * giveBack puts back, due at `due`, what the tables say this worker has but it does not work at: claims whose answer, and outcomes that,
   * never came through. No claim of this worker may be under way.
   */
  giveBack(working: readonly number[], now: Date, due: Date): Promise<number> {
    return this.#db.transaction((tx) => putBack(tx, { workers: [this.id], but: working, now, due }));
  }

  /** leave ends the worker in order: what it still has goes back to the queue. */
  async leave(now: Date): Promise<number> {
    const freed = await this.#db.transaction((tx) => buryWorkers(tx, [this.id], now));
    await this.#hold?.release();
    this.#hold = undefined;
    return freed;
  }

  /** abandon lets go of the lock and nothing else, as a killed process does; for tests. */
  async abandon(): Promise<void> {
    await this.#hold?.release();
    this.#hold = undefined;
  }
}

/** buryWorkers ends workers and puts what they had back: an attempt to the head of the queue, a verification to now. */
async function buryWorkers(tx: Sql, ids: number[], now: Date): Promise<number> {
  await tx.query('select pg_advisory_xact_lock($1)', [CLAIM_LOCK]);
  await tx.query('update ccr_worker set ended_at = $2 where id = any($1) and ended_at is null', [ids, now]);
  return putBack(tx, { workers: ids, but: [], now, due: now });
}

/** putBack frees what workers have but for some. Who asked for something else during a verification is not satisfied by its end. */
function putBack(tx: Sql, o: { workers: readonly number[]; but: readonly number[]; now: Date; due: Date }): Promise<number> {
  return tx.count(
    `with freed as (
       update ccr set worker_id = null, fence = fence + 1, due_at = $4, rerun = 0, woken = false,
         state = case when state = 'processing' or rerun = 2 then 'queued' else state end, changed = pg_current_xact_id()
       where worker_id = any($1) and id <> all($2) returning id, attempts, state
     ), cut as (
       update ccr_attempt a set ended_at = $3, outcome = 'interrupted' from freed f
       where a.ccr_id = f.id and a.n = f.attempts and a.ended_at is null
     )
     select from freed`,
    [o.workers, o.but, o.now, o.due],
  );
}

/** reclaimDead takes the CCRs of dead workers back into the queue and tells how many. */
export async function reclaimDead(db: Database, now: Date): Promise<number> {
  return db.transaction(async (tx) => {
    // Getting the lock of a worker proves that nobody holds it; ours falls with this transaction.
    const dead = await tx.query<{ id: number }>(
      'select id from ccr_worker where ended_at is null and (lease_until < $2 or pg_try_advisory_xact_lock($1, id)) order by id',
      [LOCK, now],
    );
    if (dead.length === 0) return 0;
    return buryWorkers(
      tx,
      dead.map((d) => d.id),
      now,
    );
  });
}
