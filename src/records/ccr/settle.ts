import { PushpointError } from '#base/errors';
import type { Sql } from '#store/database';
import type { Connection, NumberedStep } from './attempt.ts';
import type { CcrState } from './ccr.ts';

/** How many outcomes go to the database in one statement. */
const BATCH = 256;

/** Outcome is how a claim ends; it goes through only while the claim is still held (its fence is the CCR's). */
export interface Outcome {
  id: number;
  fence: number;
  attempt: number;
  purpose: 'attempt' | 'verify';
  state: CcrState;
  at: Date;
  due?: Date | undefined;
  /** What the CCR keeps as its last error; `keep` leaves what stands there. */
  error?: { code?: string | undefined; win32?: number | undefined; text?: string | undefined } | 'keep';
  /** The claim is given back without having been worked to an end. */
  released?: boolean | undefined;
  startedAt?: Date | undefined;
  proof?: string | undefined;
  connection: Connection;
  steps: NumberedStep[];
}

/** It is planned anew each time: a plan that was kept from when the table was small would read all of a large one. */
const SETTLE = `
with o as (
  select * from jsonb_to_recordset($1) as o(id integer, fence integer, attempt integer, verify boolean, state text, released boolean, at timestamptz,
    due timestamptz, keep boolean, code text, win32 integer, "text" text, started timestamptz, proof text, account text, dialect text,
    signing text, encryption text, steps jsonb)
), mine as (
  update ccr c set
    state = case when ccr_again(c.rerun, o.state) then 'queued' else o.state end,
    due_at = case when ccr_again(c.rerun, o.state) or (c.woken and o.state = 'verifying') then o.at
      when o.state in ('complete', 'skipped', 'failed', 'cancelled') then null else coalesce(o.due, o.at) end,
    finished_at = case when not ccr_again(c.rerun, o.state) and o.state in ('complete', 'skipped', 'failed', 'cancelled') then o.at end,
    rerun = case when o.state = 'verifying' then c.rerun else 0 end,
    woken = false,
    worker_id = null,
    last_error_code = case when o.keep then c.last_error_code else o.win32 end,
    last_error = case when o.keep then c.last_error else o.code end,
    last_error_text = case when o.keep then c.last_error_text else o.text end,
    started_at = coalesce(o.started, c.started_at),
    verify_count = c.verify_count + case when o.verify and o.state = 'verifying' and not o.released then 1 else 0 end,
    account = coalesce(o.account, c.account),
    proof = coalesce(o.proof, c.proof),
    changed = pg_current_xact_id()
  from o where c.id = o.id and c.fence = o.fence and c.worker_id is not null
  returning c.id, c.fence, c.state, c.finished_at
), tally as (
  insert into ccr_tally (state, shard, n) select state, pg_backend_pid() % 16, count(*) from mine where finished_at is not null group by state order by state
  on conflict (state, shard) do update set n = ccr_tally.n + excluded.n
), attempts as (
  update ccr_attempt a set
    ended_at = case when o.verify and o.state = 'verifying' then a.ended_at else o.at end,
    outcome = case when o.verify and o.state = 'verifying' then a.outcome when o.released then 'interrupted' else o.state end,
    error_code = case when o.keep then a.error_code else o.win32 end,
    error = case when o.keep then a.error else o.code end,
    error_text = case when o.keep then a.error_text else o.text end,
    account = coalesce(o.account, a.account), dialect = coalesce(o.dialect, a.dialect),
    signing = coalesce(o.signing, a.signing), encryption = coalesce(o.encryption, a.encryption)
  from o join mine m using (id, fence) where a.ccr_id = o.id and a.n = o.attempt
), steps as (
  insert into ccr_step (ccr_id, attempt, seq, name, outcome, started_at, duration_ms, detail, code, win32)
  select o.id, o.attempt, s.seq, s.name, s.outcome, s."startedAt", s."durationMs", s.detail, s.code, s.win32
  from o join mine m using (id, fence), jsonb_to_recordset(o.steps) as s(seq integer, name text, outcome text,
    "startedAt" timestamptz, "durationMs" integer, detail text, code text, win32 integer)
  on conflict do nothing
)
select id, fence from mine`;

interface Waiting {
  outcome: Outcome;
  resolve: (held: boolean) => void;
  reject: (error: unknown) => void;
}

function rowOf(outcome: Outcome): Record<string, unknown> {
  const { error, purpose, startedAt, connection, released, ...rest } = outcome;
  const kept = error === 'keep';
  return {
    ...rest,
    verify: purpose === 'verify',
    keep: kept,
    released: released ?? false,
    code: kept ? undefined : error?.code,
    win32: kept ? undefined : error?.win32,
    text: kept ? undefined : error?.text,
    started: startedAt,
    ...connection,
  };
}

/**
 * Settler writes outcomes. Those that come while a statement is under way go together in the next one, so that many attempts that end in
 * the same moment cost one commit and a single one waits for nobody.
 */
export class Settler {
  readonly #db: Sql;
  #waiting: Waiting[] = [];
  #busy = false;

  constructor(db: Sql) {
    this.#db = db;
  }

  /** settle tells whether the claim was still held, and if so its outcome is committed. */
  settle(outcome: Outcome): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ outcome, resolve, reject });
      if (!this.#busy) {
        this.#busy = true;
        // One turn of the queue of promises, so that outcomes of the same moment find each other.
        queueMicrotask(() => void this.#work());
      }
    });
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, BATCH);
      try {
        await this.#write(batch);
      } catch (error) {
        await this.#apart(batch, error);
      }
    }
    this.#busy = false;
  }

  async #write(batch: Waiting[]): Promise<void> {
    const rows = batch.map(({ outcome }) => rowOf(outcome));
    const mine = await this.#db.query<{ id: number; fence: number }>(SETTLE, [JSON.stringify(rows)]);
    const held = new Set(mine.map((m) => `${m.id}/${m.fence}`));
    for (const { outcome, resolve } of batch) resolve(held.has(`${outcome.id}/${outcome.fence}`));
  }

  /** apart keeps one outcome that the database refuses from taking the others down with it. */
  async #apart(batch: Waiting[], error: unknown): Promise<void> {
    for (const one of batch) {
      if (batch.length === 1 || error instanceof PushpointError) one.reject(error);
      else await this.#write([one]).catch((own: unknown) => one.reject(own));
    }
  }
}
