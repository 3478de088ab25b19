/** Why an attempt may be ended from outside; cancelled stands for paused too. */
export type InterruptReason = 'cancelled' | 'lease lost' | 'stopping';

/** Interrupted ends an attempt from outside; it is the reason of the abort signals and never an outcome of its own. */
export class Interrupted extends Error {
  readonly why: InterruptReason;

  constructor(why: InterruptReason) {
    super(`the attempt was ended from outside: ${why}`);
    this.name = 'Interrupted';
    this.why = why;
  }
}

/**
 * Stop ends one attempt in two strengths: `soft` lets the operation that is under way finish and the lock be removed, `hard` closes
 * the connection under it.
 */
export class Stop {
  readonly #soft = new AbortController();
  readonly #hard = new AbortController();

  get soft(): AbortSignal {
    return this.#soft.signal;
  }

  get hard(): AbortSignal {
    return this.#hard.signal;
  }

  /** ask ends the attempt at the next step. */
  ask(why: InterruptReason): void {
    if (!this.#soft.signal.aborted) this.#soft.abort(new Interrupted(why));
  }

  /** force ends the attempt now. */
  force(why: InterruptReason): void {
    this.ask(why);
    if (!this.#hard.signal.aborted) this.#hard.abort(new Interrupted(why));
  }
}
