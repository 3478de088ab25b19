import type { Clock } from '#base/clock';

const SECOND_MS = 1000;
/** What is aimed at of the rate: between the permission and the packet the system may keep us waiting, and then two seconds come close. */
const AIM = 0.98;
/** A process that was kept waiting may catch up with so much of its time. */
const CATCH_UP_MS = 250;
/** Connections begin in small groups, so often. A group is no larger than that, or the system sends the last of it long after it was counted. */
const TICK_MS = 4;

/**
 * Pace keeps a rate of connections and their number at once. Permissions come evenly, and after a pause a little faster; but of the last
 * beginnings it remembers as many as a second may have, and the next one comes a whole second after the first of these. That holds the rate
 * in every span of a second, not only on average.
 */
export class Pace {
  readonly #clock: Clock;
  readonly #atOnce: number;
  readonly #starts: Float64Array;
  readonly #perMs: number;
  readonly #group: number;
  #allowed = 1;
  #allowedAt: number;
  #at = 0;
  #open = 0;
  #waiting: (() => void)[] = [];
  #head = 0;
  #cancel: (() => void) | undefined;
  #second = 0;
  #inSecond = 0;
  /** begun counts all connections; busiest is the most in any second of the clock. */
  begun = 0;
  busiest = 0;

  constructor(o: { perSecond: number; atOnce: number; clock: Clock }) {
    this.#clock = o.clock;
    this.#atOnce = o.atOnce;
    this.#starts = new Float64Array(o.perSecond).fill(-Infinity);
    this.#perMs = (o.perSecond * AIM) / SECOND_MS;
    this.#group = Math.ceil(this.#perMs * TICK_MS);
    this.#allowedAt = o.clock.monotonic();
  }

  /** slot resolves when another connection may begin, in the order of asking; the function it gives back is called when that one is over. */
  slot(signal: AbortSignal): Promise<() => void> {
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => {
        if (signal.aborted) return reject(signal.reason as Error);
        this.#begin();
        let isOver = false;
        resolve(() => {
          if (isOver) return;
          isOver = true;
          this.#open--;
          this.#pump();
        });
      });
      this.#pump();
    });
  }

  #begin(): void {
    const now = this.#clock.monotonic();
    this.#starts[this.#at] = now;
    this.#at = (this.#at + 1) % this.#starts.length;
    this.#open++;
    this.begun++;
    const second = Math.floor(now / SECOND_MS);
    this.#inSecond = second === this.#second ? this.#inSecond + 1 : 1;
    this.#second = second;
    if (this.#inSecond > this.busiest) this.busiest = this.#inSecond;
  }

  /** How long it is until the next one may begin. */
  #wait(): number {
    const now = this.#clock.monotonic();
    const most = Math.max(1, this.#perMs * CATCH_UP_MS);
    this.#allowed = Math.min(most, this.#allowed + (now - this.#allowedAt) * this.#perMs);
    this.#allowedAt = now;
    const even = (1 - this.#allowed) / this.#perMs;
    return Math.max(even, this.#starts[this.#at]! + SECOND_MS / AIM - now);
  }

  #pump(): void {
    for (let begun = 0; this.#head < this.#waiting.length && this.#open < this.#atOnce; begun++) {
      if (this.#cancel) return;
      const wait = this.#wait();
      if (wait > 0) return this.#pumpAfter(Math.max(wait, TICK_MS));
      if (begun === this.#group) return this.#pumpAfter(0);
      this.#allowed--;
      this.#waiting[this.#head++]!();
      if (this.#head > 1024) {
        this.#waiting = this.#waiting.slice(this.#head);
        this.#head = 0;
      }
    }
  }

  #pumpAfter(ms: number): void {
    this.#cancel = this.#clock.after(ms, () => {
      this.#cancel = undefined;
      this.#pump();
    });
  }

  /** end lets all who wait find out that the signal has aborted. */
  end(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    const waiting = this.#waiting.slice(this.#head);
    this.#waiting = [];
    this.#head = 0;
    for (const one of waiting) one();
  }
}
