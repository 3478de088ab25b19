import type { Clock } from '#base/clock';
import type { PushpointError } from '#base/errors';
import { addSums, Meter, type Sums } from '#base/meter';
import { Gatherer, type Database, type Statement } from '#store/database';
import { Attempt, StepFlusher, type Claimed } from './attempt.ts';
import { ccrOf, type CcrRow, type CcrState } from './ccr.ts';
import { int32, plain } from './plain.ts';
import { setBack, type Bounds } from './set-back.ts';
import { Settler, type Outcome } from './settle.ts';
import { reclaimDead, Worker } from './worker.ts';

/** Caps bound how many CCRs of one subnet or account are worked at the same time, over all processes of the site. */
export interface Caps {
  perSubnet: number;
  perAccount: number;
  /** Over all of the site; without it there is no such cap. */
  perSite?: number | undefined;
}

/** Ended is why an attempt ended without success. */
export type Ended = Pick<PushpointError, 'code' | 'win32' | 'message' | 'detail'>;

const claimStatement: Statement = { name: 'ccr_claim', text: 'select * from ccr_claim($1, $2, $3, $4, $5, $6)' };
const NO_CAP = 2_000_000_000;
/** How long a worker is believed without a renew, where nothing else is said. */
const LEASE_MS = 60_000;

function errorOf(error: Ended): { code: string; win32: number | undefined; text: string | undefined } {
  return {
    code: error.code,
    win32: int32(error.win32),
    text: plain(error.detail ? `${error.message}; ${error.detail}` : error.message),
  };
}

/**
 * Claims is the queue as a worker sees it: it takes due CCRs, tells their steps, and lets go of each with an outcome. A claim holds until
 * somebody cancels, pauses or takes over its CCR; its fence tells.
 */
export class Claims {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #settler: Settler;
  readonly #flusher: StepFlusher;
  readonly #attempts = new WeakMap<Claimed, Attempt>();
  readonly #holding: Gatherer<Claimed, boolean>;
  /** meter counts what this process does with CCRs. */
  readonly meter = new Meter();

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
    this.#settler = new Settler(db);
    this.#flusher = new StepFlusher(db, clock);
    this.#holding = new Gatherer(async (many) => {
      const rows = await db.exec<{ id: number; fence: number }>(
        { name: 'ccr_held', text: 'select id, fence from ccr where id = any($1) and worker_id is not null' },
        [many.map(({ ccr }) => ccr.id)],
      );
      const fences = new Map(rows.map((row) => [row.id, row.fence]));
      return many.map(({ ccr, fence }) => fences.get(ccr.id) === fence);
    });
  }

  /** registerWorker makes this process known as one that claims; call reclaimDead next, and renew well within the lease. */
  registerWorker(name: string, leaseMs = LEASE_MS): Promise<Worker> {
    return Worker.register(this.#db, this.#clock, name, leaseMs);
  }

  /** renew extends a worker's lease; false means that it has lost its claims and must register anew. */
  renew(worker: Worker, until: Date): Promise<boolean> {
    return worker.renew(until);
  }

  /** reclaimDead puts the CCRs of dead workers back and tells how many: at a start, and now and then. */
  async reclaimDead(now: Date = this.#clock.now()): Promise<number> {
    const freed = await reclaimDead(this.#db, now);
    if (freed > 0) await this.#db.notify('ccr', '');
    return freed;
  }

  /** take takes due CCRs, oldest first, within the caps; each attempt counts from here. It gives none to a worker that was declared dead. */
  async take(o: { worker: Worker; limit: number; caps: Caps; now?: Date | undefined }): Promise<Claimed[]> {
    if (o.limit < 1) return [];
    const now = o.now ?? this.#clock.now();
    const rows = await this.#db.exec<CcrRow>(claimStatement, [
      o.worker.id,
      o.limit,
      now,
      o.caps.perSubnet,
      o.caps.perAccount,
      o.caps.perSite ?? NO_CAP,
    ]);
    return rows.map((row) => ({ ccr: ccrOf(row), fence: row.fence, purpose: row.state === 'verifying' ? 'verify' : 'attempt' }));
  }

  /** setBack mends the times of CCRs after the clock of the site was set back; safe to do at any time, by any process. */
  setBack(bounds: Bounds): Promise<number> {
    return setBack(this.#db, this.#clock.now(), bounds);
  }

  /** nextDue is when the earliest CCR that nobody has is due. */
  async nextDue(): Promise<Date | undefined> {
    const [row] = await this.#db.exec<{ due_at: Date }>(
      { name: 'ccr_next_due', text: 'select due_at from ccr where due_at is not null order by due_at, id limit 1' },
      [],
    );
    return row?.due_at;
  }

  /** attempt gives the timeline of a claim; the same one each time. */
  attempt(claimed: Claimed): Attempt {
    let attempt = this.#attempts.get(claimed);
    if (!attempt) {
      attempt = new Attempt(
        claimed,
        (a) => this.#flusher.add(a),
        (step) => this.meter.observe('pushpoint_step_seconds', { step: step.name, outcome: step.outcome }, step.durationMs),
      );
      this.#attempts.set(claimed, attempt);
    }
    return attempt;
  }

  /** flush writes the steps that wait. */
  flush(): Promise<void> {
    return this.#flusher.flush();
  }

  async #settle(claimed: Claimed, state: CcrState, more: Partial<Outcome>): Promise<boolean> {
    const attempt = this.attempt(claimed);
    await this.#flusher.remove(attempt);
    const taken = attempt.take();
    const held = await this.#settler.settle({
      id: claimed.ccr.id,
      fence: claimed.fence,
      attempt: claimed.ccr.attempts,
      purpose: claimed.purpose,
      state,
      at: this.#clock.now(),
      ...more,
      ...taken,
    });
    if (!held) attempt.lose();
    else if (!more.released) {
      const code = more.error === 'keep' ? '' : (more.error?.code ?? '');
      this.meter.add('pushpoint_attempts_total', { purpose: claimed.purpose, outcome: state, code });
    }
    return held;
  }

  /** isHeld looks whether a claim still holds: nobody cancelled, paused or took over its CCR. */
  isHeld(claimed: Claimed): Promise<boolean> {
    return this.#holding.ask(claimed);
  }

  /** started: the service was seen running; the client is to be verified at `verifyAt`. All outcomes give false when the claim was lost. */
  started(claimed: Claimed, o: { startedAt: Date; verifyAt: Date }): Promise<boolean> {
    return this.#settle(claimed, 'verifying', { startedAt: o.startedAt, due: o.verifyAt });
  }

  /** requeueVerify: not there yet, look again then. With an error it stands as the last one. */
  requeueVerify(claimed: Claimed, nextAt: Date, error?: Ended): Promise<boolean> {
    return this.#settle(claimed, 'verifying', { due: nextAt, error: error ? errorOf(error) : 'keep' });
  }

  /** retry: it failed, and another try at `nextAt` may help. */
  retry(claimed: Claimed, o: { error: Ended; nextAt: Date }): Promise<boolean> {
    return this.#settle(claimed, 'retry', { error: errorOf(o.error), due: o.nextAt });
  }

  /** wait: it failed until a person or the machine changes something; `nextAt` is when it is looked at all the same. */
  wait(claimed: Claimed, o: { error: Ended; nextAt: Date }): Promise<boolean> {
    return this.#settle(claimed, 'waiting', { error: errorOf(o.error), due: o.nextAt });
  }

  /** fail: it failed for good. */
  fail(claimed: Claimed, error: Ended): Promise<boolean> {
    return this.#settle(claimed, 'failed', { error: errorOf(error) });
  }

  /** skip: the machine is not to have it, by the filters or because it has it (Win32 120, 1305). */
  skip(claimed: Claimed, error: Ended): Promise<boolean> {
    return this.#settle(claimed, 'skipped', { error: errorOf(error) });
  }

  /** complete: the client runs; `proof` says by what it is known. */
  complete(claimed: Claimed, proof: string): Promise<boolean> {
    return this.#settle(claimed, 'complete', { proof: plain(proof) });
  }

  /** release gives a claim back untouched, as when the process stops: it is due at once, or at `at`. */
  release(claimed: Claimed, at?: Date): Promise<boolean> {
    const state = claimed.purpose === 'verify' ? 'verifying' : 'queued';
    return this.#settle(claimed, state, { due: at, error: 'keep', released: true });
  }

  /** markErrorEvent notes that the event about a failing CCR was raised; true for the first who says so. */
  async markErrorEvent(id: number, at: Date): Promise<boolean> {
    return (
      (await this.#db.count(
        'update ccr set error_event_at = $2, changed = pg_current_xact_id() where id = $1 and error_event_at is null and finished_at is null',
        [id, at],
      )) === 1
    );
  }

  /**
   * useAccount takes the place of an account for claims that are about to use it, and tells which of them got one: over all processes no more
   * than `cap` have the same account. Who got none asks again later.
   */
  async useAccount(claims: readonly Claimed[], account: string, cap: number): Promise<Set<number>> {
    const rows = await this.#db.exec<{ id: number }>(
      { name: 'ccr_use_account', text: 'select ccr_use_account as id from ccr_use_account($1, $2, $3, $4)' },
      [claims.map((c) => c.ccr.id), claims.map((c) => c.fence), account, cap],
    );
    return new Set(rows.map((row) => row.id));
  }

  /** tellMeter lets other processes of the site know what this one has counted. */
  async tellMeter(worker: Worker): Promise<void> {
    await this.#db.query('update ccr_worker set meter = $2 where id = $1', [worker.id, JSON.stringify(this.meter.sums())]);
  }

  /** metered is what all processes of the site have counted; those that ended count on, until their rows are pruned. */
  async metered(): Promise<Sums> {
    const rows = await this.#db.query<{ meter: Sums }>('select meter from ccr_worker where meter is not null');
    return addSums(rows.map((row) => row.meter));
  }

  /** queue tells how many CCRs are being worked and by how many processes, and since when the one that is due the longest is due. */
  async queue(): Promise<{ busy: number; workers: number; dueSince: Date | undefined }> {
    const [row] = await this.#db.query<{ busy: number; workers: number }>(
      `select (select count(*) from ccr where worker_id is not null) as busy,
         (select count(*) from ccr_worker where ended_at is null) as workers`,
    );
    return { ...row!, dueSince: await this.nextDue() };
  }
}
