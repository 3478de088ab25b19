import type { Clock } from '#base/clock';
import type { PushpointError } from '#base/errors';
import { addSums, Meter, type Sums } from '#base/meter';
import type { Named } from '#records/resource';
import { Gatherer, type Database, type Sql, type Statement } from '#store/database';
import * as absences from './absent.ts';
import { Attempt, StepFlusher, type Claimed } from './attempt.ts';
import { ccrOf, type Ccr, type CcrRow, type CcrState } from './ccr.ts';
import { StateCounts, type CountedCcrs } from './counts.ts';
import * as lists from './list.ts';
import * as people from './people.ts';
import { int32, plain } from './plain.ts';
import { requestAll, type CcrRequest, type Requested } from './request.ts';
import { setBack, type Bounds } from './set-back.ts';
import { Settler, type Outcome } from './settle.ts';
import * as waves from './waves.ts';
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

/** CcrRecord is the queue of CCRs and the only writer of the tables ccr, ccr_attempt, ccr_step and ccr_worker. */
export class CcrRecord {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #settler: Settler;
  readonly #flusher: StepFlusher;
  readonly #counts: StateCounts;
  readonly #attempts = new WeakMap<Claimed, Attempt>();
  /** meter counts what this process does with CCRs. */
  readonly meter = new Meter();

  readonly #holding: Gatherer<Claimed, boolean>;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
    this.#settler = new Settler(db);
    this.#holding = new Gatherer(async (many) => {
      const rows = await db.exec<{ id: number; fence: number }>(
        { name: 'ccr_held', text: 'select id, fence from ccr where id = any($1) and worker_id is not null' },
        [many.map(({ ccr }) => ccr.id)],
      );
      const fences = new Map(rows.map((row) => [row.id, row.fence]));
      return many.map(({ ccr, fence }) => fences.get(ccr.id) === fence);
    });
    this.#flusher = new StepFlusher(db, clock);
    this.#counts = new StateCounts(db, clock);
  }

  /**
   * request makes a CCR, or merges into the live one of that machine: flags are ORed (a real push wins over an inspection), the history
   * stays, the week is restarted and it is due at once. From `discovery` a merge only refreshes what is known. Announced on 'ccr'.
   */
  async request(request: CcrRequest, via?: Sql): Promise<Requested> {
    const [done] = await this.requestMany([request], via);
    return done!;
  }

  /** requestMany does the same for many machines in one statement, in the order given; keep it to some hundred at a time. */
  async requestMany(requests: readonly CcrRequest[], via: Sql = this.#db): Promise<Requested[]> {
    const done = await requestAll(via, requests, this.#clock.now());
    if (done.length > 0) await this.#db.notify('ccr', '', via);
    return done;
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

  /** claim takes due CCRs, oldest first, within the caps; each attempt counts from here. It gives none to a worker that was declared dead. */
  async claim(o: { worker: Worker; limit: number; caps: Caps; now?: Date | undefined }): Promise<Claimed[]> {
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

  /** wake makes CCRs due at once, because their machine was seen. Announced on 'ccr'. */
  async wake(who: people.Woken, via: Sql = this.#db): Promise<number> {
    const woken = await people.wake(via, who, this.#clock.now());
    if (woken > 0) await this.#db.notify('ccr', '', via);
    return woken;
  }

  /** cancel ends live CCRs for good and gives those it ended; a worker that has one learns it at its next write. Announced on 'ccr_stop'. */
  cancel(ids: readonly number[], by: string, via?: Sql): Promise<Ccr[]> {
    return this.#stop((tx) => people.cancel(tx, ids, by, this.#clock.now()), via);
  }

  /** pause keeps live CCRs from being worked until resume. Announced on 'ccr_stop'. */
  pause(ids: readonly number[], via?: Sql): Promise<Ccr[]> {
    return this.#stop((tx) => people.pause(tx, ids, this.#clock.now()), via);
  }

  async #stop(act: (sql: Sql) => Promise<Ccr[]>, via: Sql = this.#db): Promise<Ccr[]> {
    const stopped = await act(via);
    // The payload lets a worker drop the work at once; too many for one notification are found by the fence.
    if (stopped.length > 0)
      await this.#db.notify(
        'ccr_stop',
        stopped
          .slice(0, 500)
          .map((c) => c.id)
          .join(','),
        via,
      );
    return stopped;
  }

  /** resume lets paused CCRs go on, due at once. Announced on 'ccr'. */
  resume(ids: readonly number[], via?: Sql): Promise<Ccr[]> {
    return this.#go((sql) => people.resume(sql, ids, this.#clock.now()), via);
  }

  /** retryNow makes live CCRs due at once and restarts their week. Announced on 'ccr'. */
  retryNow(ids: readonly number[], via?: Sql): Promise<Ccr[]> {
    return this.#go((sql) => people.retryNow(sql, ids, this.#clock.now()), via);
  }

  async #go(act: (sql: Sql) => Promise<Ccr[]>, via: Sql = this.#db): Promise<Ccr[]> {
    const going = await act(via);
    if (going.length > 0) await this.#db.notify('ccr', '', via);
    return going;
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

  /** makeWave makes the wave of a push, or lets a part of a large push join the one its first part made; undefined where there is no such wave. */
  makeWave(
    o: { by: string; machines: number; stopAfter?: waves.StopAfter | undefined; join?: number | undefined },
    via: Sql = this.#db,
  ): Promise<waves.Wave | undefined> {
    return waves.makeWave(via, { ...o, now: this.#clock.now() });
  }

  /** waves gives a page of waves, newest first, each with its counts by state. */
  waves(o: { before?: number | undefined; limit: number }): Promise<waves.WaveShown[]> {
    return waves.waves(this.#db, o);
  }

  /** wave gives one wave. */
  wave(id: number): Promise<waves.WaveShown | undefined> {
    return waves.wave(this.#db, id);
  }

  /** stopReasons tells which of these waves were stopped, and why. */
  stopReasons(ids: readonly number[]): Promise<Map<number, string>> {
    return waves.stopReasons(this.#db, ids);
  }

  /** ofWave gives the live CCRs of a wave. */
  ofWave(id: number): Promise<Ccr[]> {
    return waves.ofWave(this.#db, id);
  }

  /** resumeWave takes the stop of a wave away; its CCRs are resumed by themselves. */
  resumeWave(id: number, via: Sql = this.#db): Promise<void> {
    return waves.resumeWave(via, id);
  }

  /** isLimited tells whether a wave has a limit of failures. */
  isLimited(wave: number): Promise<boolean> {
    return waves.isLimited(this.#db, wave);
  }

  /** haltWave pauses what is left of a wave of which too many have failed; the reason, for the one call that stopped it. */
  async haltWave(wave: number): Promise<string | undefined> {
    return this.#db.transaction(async (tx) => {
      const reason = await waves.stopIfFailed(tx, wave, this.#clock.now());
      const rest = await waves.restOfStopped(tx, wave);
      if (rest.length > 0) await people.pause(tx, rest, this.#clock.now());
      return reason;
    });
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

  /** sweepTurn gives a worker the sweep for absent machines until then, with the CCR it has come to; undefined while another one has it. */
  sweepTurn(worker: Worker, until: Date): Promise<number | undefined> {
    return absences.sweepTurn(this.#db, worker.id, this.#clock.now(), until);
  }

  /** sweepDone notes how far the sweep has come. */
  sweepDone(worker: Worker, at: number): Promise<void> {
    return absences.sweepDone(this.#db, worker.id, at);
  }

  /** sweepLeave lets another process have the sweep. */
  sweepLeave(worker: Worker): Promise<void> {
    return absences.sweepLeave(this.#db, worker.id);
  }

  /** absent gives machines that nobody answered for, the one that was not asked for the longest time first. */
  absent(after: number, limit: number): Promise<absences.AbsentCcr[]> {
    return absences.absent(this.#db, after, limit, this.#clock.now());
  }

  /** seen makes the CCRs of machines that were heard due at once: those in verification, and those in retry that have had their rest. */
  async seen(who: { resourceIds: readonly number[] } | { ids: readonly number[] }): Promise<number> {
    const ids = await absences.seen(this.#db, who, this.#clock.now());
    return ids.length > 0 ? this.wake({ ids }) : 0;
  }

  /** byId gives one CCR. */
  async byId(id: number): Promise<Ccr | undefined> {
    const [row] = await this.#db.exec<CcrRow>({ name: 'ccr_by_id', text: 'select * from ccr where id = $1' }, [id]);
    return row && ccrOf(row);
  }

  /** find gives the CCRs of a machine by its name, live ones first, then the newest; two live ones are two machines. */
  find(name: string, domain?: string): Promise<Ccr[]> {
    return people.find(this.#db, name, domain);
  }

  /** findLive gives the live CCRs of many machines by their names, in the order given. */
  findLive(wanted: readonly Named[]): Promise<Ccr[][]> {
    return people.findLive(this.#db, wanted);
  }

  /** list gives one page of CCRs, newest first. */
  list(query: lists.CcrQuery = {}): Promise<lists.CcrPage> {
    return lists.list(this.#db, query);
  }

  /** show gives a machine's live CCR, else its newest, with its timeline. */
  async show(name: string, domain?: string, attempts = 20): Promise<lists.CcrShown | undefined> {
    const [ccr] = await this.find(name, domain);
    return ccr && lists.detail(this.#db, ccr, attempts);
  }

  /** showId is show for a CCR whose id is known. */
  async showId(id: number, attempts = 20): Promise<lists.CcrShown | undefined> {
    const ccr = await this.byId(id);
    return ccr && lists.detail(this.#db, ccr, attempts);
  }

  /** countByState gives the number of CCRs in each state. */
  async countByState(): Promise<Record<CcrState, number>> {
    return (await this.#counts.now()).counts;
  }

  /** counted gives the same with the moment in which it was so: with more than 20,000 live CCRs it lies up to a minute back. */
  counted(): Promise<CountedCcrs> {
    return this.#counts.now();
  }

  /** live walks through all live CCRs, oldest first. */
  live(): AsyncGenerator<Ccr> {
    return lists.live(this.#db);
  }

  /** changedSince gives what was written since a cursor; without one, the cursor of now. Take it before walking through live(). */
  changedSince(cursor?: string, limit?: number): Promise<lists.Changed> {
    return lists.changedSince(this.#db, cursor, limit);
  }

  /** prune removes old attempts and, where said, old finished CCRs; call it until it removes nothing. */
  prune(before: { attempts: Date; ccrs?: Date }, limit = 5000): Promise<lists.Pruned> {
    return lists.prune(this.#db, before, limit);
  }
}
