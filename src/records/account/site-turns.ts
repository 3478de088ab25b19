import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import { shownName } from '#records/resource';
import { Gatherer, type Database, type Sql, type Statement } from '#store/database';
import { TOGETHER, Turns } from './turns.ts';

/** An account that worked within this time is believed to work; else one machine tries it first. */
const WARM_MS = 60_000;
/** How long a machine keeps its turn when nobody ends it: a logon is cut after a third of that. */
const LEASE_MS = 60_000;
/** How often somebody looks again whether there is a turn, which other processes had. */
const LOOK_MS = 250;
/** How long an attempt waits for its turn in all. */
const PATIENCE_MS = 180_000;

/** Wish is a machine that wants to log on with an account; `ccr` is that of the attempt it is for, where there is one. */
interface Wish {
  accountId: number;
  machineKey: string;
  ccr?: number | undefined;
}

interface Answer {
  n: number;
  answer: 'go' | 'wait' | 'stopped';
  together: number;
}

const enter: Statement = {
  name: 'account_enter',
  text: 'select n, answer, together from account_enter($1, $2, $3, $4, $5, $6, $7, $8, $9)',
};

const giveUp: Statement = {
  name: 'account_give_up',
  text: 'delete from account_turn where account_id = $1 and machine_key = $2 and holder = $3',
};

/**
 * SiteTurns holds all processes of a site together to the logons that may be under way with one account. Those of this process line up here
 * first, so that it asks the database only for as many as could be let in; who asks in the same moment goes there together.
 */
export class SiteTurns {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #turns: Turns;
  readonly #asked: Gatherer<Wish, Answer>;
  #holder: Promise<number> | undefined;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
    this.#turns = new Turns(clock);
    this.#asked = new Gatherer((wishes) => this.#ask(wishes));
  }

  /** holder is the number by which the turns of this process are told from those of others. */
  async holder(): Promise<number> {
    this.#holder ??= this.#db
      .query<{ id: number }>("select nextval('account_holder')::integer as id")
      .then(([row]) => row!.id)
      .catch((error: unknown) => {
        this.#holder = undefined;
        throw error;
      });
    return this.#holder;
  }

  /** enter waits for a turn; false when the account is stopped or gone. */
  async enter(wish: Wish, signal?: AbortSignal): Promise<boolean> {
    const { accountId, machineKey } = wish;
    const until = this.#clock.monotonic() + PATIENCE_MS;
    await this.#turns.enter(accountId, machineKey, signal);
    try {
      for (;;) {
        const { answer, together } = await this.#asked.ask(wish);
        if (answer === 'stopped') break;
        this.#turns.widen(accountId, together);
        if (answer === 'go') return true;
        if (this.#clock.monotonic() >= until) throw raise('PP_ACCOUNT_BUSY', { machine: shownName(machineKey) });
        await this.#clock.sleep(LOOK_MS, signal);
      }
    } catch (error) {
      this.#turns.end(accountId, machineKey);
      throw error;
    }
    this.#turns.end(accountId, machineKey);
    return false;
  }

  async #ask(wishes: readonly Wish[]): Promise<Answer[]> {
    const now = this.#clock.now();
    const holder = await this.holder();
    const ids = wishes.map(({ accountId }) => accountId);
    const held = [...new Set(ids)].flatMap((id) => this.#turns.given(id).map((key) => `${id} ${key}`));
    const rows = await this.#db.exec<Answer>(enter, [
      holder,
      ids,
      wishes.map(({ machineKey }) => machineKey),
      wishes.map(({ ccr }) => ccr ?? 0),
      held,
      now,
      new Date(now.getTime() + LEASE_MS),
      new Date(now.getTime() - WARM_MS),
      TOGETHER,
    ]);
    const answers = rows.toSorted((a, b) => a.n - b.n);
    // Noted before the next question goes out, which says what is held.
    for (const [i, { accountId, machineKey }] of wishes.entries())
      if (answers[i]!.answer === 'go') this.#turns.give(accountId, machineKey);
    return answers;
  }

  /** giveUp ends a turn in the database, in the transaction of what the logon told where there is one. */
  async giveUp(accountId: number, machineKey: string, via: Sql): Promise<void> {
    await via.exec(giveUp, [accountId, machineKey, await this.holder()]);
  }

  /** end ends a turn here, after the database was told or could not be told: then the next question clears it away. */
  end(accountId: number, machineKey: string): void {
    this.#turns.end(accountId, machineKey);
  }
}
