import type { Clock } from '#base/clock';
import type { Sql } from '#store/database';
import type { Ccr } from './ccr.ts';
import { int32, plain } from './plain.ts';

/** Claimed is a CCR that this worker has, until it tells an outcome or loses it. `fence` tells this claim from every other one. */
export interface Claimed {
  readonly ccr: Ccr;
  readonly fence: number;
  readonly purpose: 'attempt' | 'verify';
}

/** StepOutcome as people see it (design section 6). */
export type StepOutcome = 'ok' | 'failed' | 'skipped' | 'unknown';

/** Step is one line of the timeline of an attempt. */
export interface Step {
  name: string;
  outcome: StepOutcome;
  startedAt: Date;
  durationMs: number;
  detail?: string | undefined;
  code?: string | undefined;
  win32?: number | undefined;
}

/** Connection is what was agreed with the machine in this attempt. */
export interface Connection {
  account?: string | undefined;
  dialect?: string | undefined;
  signing?: string | undefined;
  encryption?: string | undefined;
}

/** How long a step waits at most until it can be seen. */
const FLUSH_MS = 250;
/** Steps of a verification are numbered behind those of the attempt and of earlier verifications. */
const VERIFY_SEQ = 100;

const FLUSH_STEPS = `
with o as (
  select * from jsonb_to_recordset($1) as o(id integer, fence integer, attempt integer, account text, dialect text, signing text,
    encryption text, steps jsonb)
), mine as (
  select o.* from o join ccr c on c.id = o.id and c.fence = o.fence and c.worker_id is not null
), account as (
  update ccr c set account = m.account, changed = pg_current_xact_id() from mine m
  where c.id = m.id and c.fence = m.fence and m.account is not null and c.account is distinct from m.account
), connection as (
  update ccr_attempt a set account = coalesce(m.account, a.account), dialect = coalesce(m.dialect, a.dialect),
    signing = coalesce(m.signing, a.signing), encryption = coalesce(m.encryption, a.encryption)
  from mine m where a.ccr_id = m.id and a.n = m.attempt and coalesce(m.account, m.dialect, m.signing, m.encryption) is not null
), steps as (
  insert into ccr_step (ccr_id, attempt, seq, name, outcome, started_at, duration_ms, detail, code, win32)
  select m.id, m.attempt, s.seq, s.name, s.outcome, s."startedAt", s."durationMs", s.detail, s.code, s.win32
  from mine m, jsonb_to_recordset(m.steps) as s(seq integer, name text, outcome text, "startedAt" timestamptz, "durationMs" integer,
    detail text, code text, win32 integer)
  on conflict do nothing
)
select id, fence from mine`;

/** NumberedStep is a step as it goes to the database. */
export type NumberedStep = Step & { seq: number };

/**
 * Attempt takes the steps of one claim. They are shown within a quarter of a second, or go with the outcome. `lost` aborts when somebody
 * cancelled or paused the CCR or another worker took it over: the work should then stop, and its outcome will be refused.
 */
export class Attempt {
  readonly claimed: Claimed;
  readonly #pending: (attempt: Attempt) => void;
  readonly #counted: (step: Step) => void;
  readonly #lost = new AbortController();
  #steps: NumberedStep[] = [];
  #connection: Connection = {};
  #seq: number;

  constructor(claimed: Claimed, pending: (attempt: Attempt) => void, counted: (step: Step) => void = () => {}) {
    this.claimed = claimed;
    this.#pending = pending;
    this.#counted = counted;
    this.#seq = claimed.purpose === 'verify' ? VERIFY_SEQ * (claimed.ccr.verifyCount + 1) : 0;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** step records one step that has ended. */
  step(step: Step): void {
    this.#counted(step);
    this.#steps.push({
      seq: ++this.#seq,
      name: step.name,
      outcome: step.outcome,
      startedAt: step.startedAt,
      durationMs: Math.max(0, Math.round(step.durationMs)),
      detail: plain(step.detail),
      code: step.code,
      win32: int32(step.win32),
    });
    this.#pending(this);
  }

  /** connected records the account and what protection was agreed. */
  connected(connection: Connection): void {
    this.#connection = { ...this.#connection, ...connection };
    this.#pending(this);
  }

  /** take gives what has not been written yet and forgets it. */
  take(): { connection: Connection; steps: NumberedStep[] } {
    const taken = { connection: this.#connection, steps: this.#steps };
    this.#steps = [];
    return taken;
  }

  /** giveBack undoes a take whose writing failed. */
  giveBack(steps: NumberedStep[]): void {
    this.#steps.unshift(...steps);
  }

  /** lose marks the claim as lost. */
  lose(): void {
    if (!this.#lost.signal.aborted) this.#lost.abort(new Error('the CCR was cancelled, paused or taken over'));
  }
}

/** StepFlusher writes the steps of all running attempts of a process together. */
export class StepFlusher {
  readonly #db: Sql;
  readonly #clock: Clock;
  readonly #waiting = new Set<Attempt>();
  readonly #writing = new Set<Attempt>();
  #cancel: (() => void) | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(db: Sql, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /** add puts an attempt on the list of those that have something to write. */
  add(attempt: Attempt): void {
    this.#waiting.add(attempt);
    this.#cancel ??= this.#clock.after(FLUSH_MS, () => {
      this.#cancel = undefined;
      this.flush().catch(() => {});
    });
  }

  /** remove takes an attempt off the list, because its outcome carries what is left; it waits for what is just being written. */
  async remove(attempt: Attempt): Promise<void> {
    while (this.#writing.has(attempt)) await this.#running.catch(() => {});
    this.#waiting.delete(attempt);
    if (this.#waiting.size > 0) return;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** flush writes what waits now; what cannot be written waits for the next time. */
  flush(): Promise<void> {
    this.#running = this.#running.catch(() => {}).then(() => this.#flush());
    return this.#running;
  }

  async #flush(): Promise<void> {
    const attempts = [...this.#waiting];
    this.#waiting.clear();
    if (attempts.length === 0) return;
    for (const attempt of attempts) this.#writing.add(attempt);
    const taken = attempts.map((attempt) => ({ attempt, ...attempt.take() }));
    const rows = taken.map(({ attempt: { claimed }, connection, steps }) => ({
      id: claimed.ccr.id,
      fence: claimed.fence,
      attempt: claimed.ccr.attempts,
      ...connection,
      steps,
    }));
    try {
      const mine = await this.#db.query<{ id: number; fence: number }>(FLUSH_STEPS, [JSON.stringify(rows)]);
      const held = new Set(mine.map((m) => `${m.id}/${m.fence}`));
      for (const { attempt } of taken) if (!held.has(`${attempt.claimed.ccr.id}/${attempt.claimed.fence}`)) attempt.lose();
    } catch (error) {
      for (const { attempt, steps } of taken) {
        attempt.giveBack(steps);
        this.add(attempt);
      }
      throw error;
    } finally {
      for (const attempt of attempts) this.#writing.delete(attempt);
    }
  }
}
