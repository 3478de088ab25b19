import type { Clock } from '#base/clock';

/** TOGETHER is how many logons with one account are under way at most: fewer than a usual lockout threshold of 10. */
export const TOGETHER = 8;
/** A turn that nobody ended is over after this. */
const FORGOTTEN_MS = 60_000;

interface Waiter {
  machineKey: string;
  begin: () => void;
}

class Line {
  /** Whose turn it is, with the function that stops the timer of a forgotten one, and whether the site gave that turn too. */
  readonly inside = new Map<string, { stop: () => void; given: boolean }>();
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
    const stop = this.#clock.after(FORGOTTEN_MS, () => this.end(account, machineKey));
    line.inside.set(machineKey, { stop, given: false });
  }

  /** give notes that the site has given the turn. */
  give(account: number, machineKey: string): void {
    const turn = this.#lines.get(account)?.inside.get(machineKey);
    if (turn) turn.given = true;
  }

  /** given lists the machines whose turn the site has given. */
  given(account: number): string[] {
    return [...(this.#lines.get(account)?.inside ?? [])].filter(([, turn]) => turn.given).map(([machineKey]) => machineKey);
  }

  /** widen says how many may go together: one until the account was seen to work lately, then this process's share. */
  widen(account: number, together: number): void {
    const line = this.#line(account);
    line.together = together;
    this.#next(line);
  }

  /** end ends a turn; the next machines begin theirs. */
  end(account: number, machineKey: string): void {
    const line = this.#lines.get(account);
    const turn = line?.inside.get(machineKey);
    if (!line || !turn) return;
    turn.stop();
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
