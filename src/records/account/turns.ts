import type { Clock } from '#base/clock';

/** So many logons with one account are under way in a process at most: fewer than a usual lockout threshold of 10. */
const TOGETHER = 8;
/** A turn that nobody ended is over after this. */
const FORGOTTEN_MS = 60_000;

interface Waiter {
  machineKey: string;
  begin: () => void;
}

class Line {
  /** Whose turn it is, with the function that stops the timer of a forgotten one. */
  readonly inside = new Map<string, () => void>();
  readonly waiting: Waiter[] = [];
  together = 1;
}

/**
 * Turns lets the attempts of one process log on with an account one at a time until it has been seen to work, and few at a time from then
 * on, so that the first wrong-password answers are heard before more logons are sent. On one machine it is always one at a time: an examination
 * beside a push must not ask it twice for a password that it is about to refuse.
 */
export class Turns {
  readonly #clock: Clock;
  readonly #lines = new Map<number, Line>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  #line(account: number): Line {
    let line = this.#lines.get(account);
    if (!line) this.#lines.set(account, (line = new Line()));
    return line;
  }

  /** enter resolves when it is this machine's turn with the account. */
  async enter(account: number, machineKey: string, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const line = this.#line(account);
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = {
        machineKey,
        begin: () => {
          signal?.removeEventListener('abort', stop);
          this.#begin(account, line, machineKey);
          resolve();
        },
      };
      const stop = () => {
        line.waiting.splice(line.waiting.indexOf(waiter), 1);
        reject(signal!.reason as Error);
      };
      signal?.addEventListener('abort', stop, { once: true });
      line.waiting.push(waiter);
      this.#next(line);
    });
  }

  #begin(account: number, line: Line, machineKey: string): void {
    line.inside.set(
      machineKey,
      this.#clock.after(FORGOTTEN_MS, () => this.end(account, machineKey)),
    );
  }

  /** proven says whether the account was seen to work lately, which decides how many may go together. */
  proven(account: number, proven: boolean): void {
    const line = this.#line(account);
    line.together = proven ? TOGETHER : 1;
    this.#next(line);
  }

  /** end ends a turn; the next machines begin theirs. */
  end(account: number, machineKey: string): void {
    const line = this.#lines.get(account);
    const stopTimer = line?.inside.get(machineKey);
    if (!line || !stopTimer) return;
    stopTimer();
    line.inside.delete(machineKey);
    this.#next(line);
    if (line.inside.size === 0 && line.waiting.length === 0) this.#lines.delete(account);
  }

  #next(line: Line): void {
    while (line.inside.size < line.together) {
      const next = line.waiting.findIndex(({ machineKey }) => !line.inside.has(machineKey));
      if (next < 0) return;
      line.waiting.splice(next, 1)[0]!.begin();
    }
  }
}
