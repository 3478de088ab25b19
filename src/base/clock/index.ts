/**
 * The clock is handed in, never read from the side (law 7), so that a test can live through 168 hourly tries in a second.
 * All times are milliseconds since 1970-01-01 UTC unless a name says otherwise.
 */
export interface Clock {
  /** now is the wall time; it can jump. */
  now(): Date;
  /** monotonic is for durations, in milliseconds from an arbitrary start; it never goes back. */
  monotonic(): number;
  /** after runs `fn` once, `ms` from now; the returned function takes it back. */
  after(ms: number, fn: () => void): () => void;
  /** sleep resolves after `ms`, or rejects with `signal.reason` as soon as the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

function sleepOn(clock: Pick<Clock, 'after'>, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const onAbort = () => {
      cancel();
      reject(signal?.reason as Error);
    };
    const cancel = clock.after(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** The longest delay setTimeout takes; beyond it Node fires at once. */
const LONGEST_TIMEOUT_MS = 2_147_483_647;

/** systemClock is the real time of this machine. */
export const systemClock: Clock = {
  now: () => new Date(),
  monotonic: () => performance.now(),
  after(ms, fn) {
    let timer: NodeJS.Timeout;
    const arm = (left: number) => {
      const part = Math.min(Math.max(left, 0), LONGEST_TIMEOUT_MS);
      timer = setTimeout(() => (left > part ? arm(left - part) : fn()), part);
    };
    arm(ms);
    return () => clearTimeout(timer);
  },
  sleep: (ms, signal) => sleepOn(systemClock, ms, signal),
};

interface Waiting {
  at: number;
  order: number;
  fn: () => void;
}

/** ManualClock stands still until somebody moves it; for tests. */
export class ManualClock implements Clock {
  #now: number;
  #order = 0;
  #waiting: Waiting[] = [];

  constructor(start: Date | string = '2026-01-05T08:00:00Z') {
    this.#now = new Date(start).getTime();
  }

  now(): Date {
    return new Date(this.#now);
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, fn: () => void): () => void {
    const entry = { at: this.#now + Math.max(ms, 0), order: this.#order++, fn };
    this.#waiting.push(entry);
    return () => {
      this.#waiting = this.#waiting.filter((w) => w !== entry);
    };
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, ms, signal);
  }

  /** nextAt is when the earliest waiting timer is due, if there is one. */
  nextAt(): Date | undefined {
    const at = this.#waiting.reduce((least, w) => Math.min(least, w.at), Infinity);
    // Rounded up: a Date drops fractions, and advancing to just before a timer would fire nothing.
    return at === Infinity ? undefined : new Date(Math.ceil(at));
  }

  /** advance moves the time by `ms`, firing what becomes due in order, and lets promise chains run between two timers. */
  async advance(ms: number): Promise<void> {
    const target = this.#now + ms;
    for (;;) {
      const due = this.#waiting.filter((w) => w.at <= target).sort((a, b) => a.at - b.at || a.order - b.order)[0];
      if (!due) break;
      this.#waiting = this.#waiting.filter((w) => w !== due);
      this.#now = Math.max(this.#now, due.at);
      due.fn();
      await new Promise(setImmediate);
    }
    this.#now = target;
    await new Promise(setImmediate);
  }

  /** jump sets the wall time without firing anything in between, as when somebody corrects a machine's clock. */
  jump(to: Date): void {
    this.#now = to.getTime();
  }
}
