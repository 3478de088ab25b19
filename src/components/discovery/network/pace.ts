import type { Clock } from '#base/clock';

/** The rate is kept in every window of this length, so also in every second, and connections do not come in bursts. */
const WINDOW_MS = 50;
const SECOND_MS = 1000;
/** What is aimed at of the rate: between the permission and the packet the system may keep us waiting, and then two windows come close. */
const AIM = 0.97;

/**
 * Pace keeps a rate of connections and their number at once. Of the last beginnings it remembers as many as fit one window: the next one may
 * only be a whole window after the first of these. That holds the rate in every span of time, not only on average.
 */
export class Pace {
  readonly #clock: Clock;
  readonly #atOnce: number;
  readonly #starts: Float64Array;
  readonly #windowMs: number;
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
    const fit = Math.max(1, Math.floor((o.perSecond * WINDOW_MS) / SECOND_MS));
    this.#starts = new Float64Array(fit).fill(-Infinity);
    this.#windowMs = (fit * SECOND_MS) / (o.perSecond * AIM);
  }

  /** slot resolves when another connection may begin, in the order of asking; the function it gives back is called when that one is over. */
  slot(signal: AbortSignal): Promise<() => void> {
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

  #pump(): void {
    while (this.#head < this.#waiting.length && this.#open < this.#atOnce) {
      const wait = this.#starts[this.#at]! + this.#windowMs - this.#clock.monotonic();
      if (wait > 0) {
        this.#cancel ??= this.#clock.after(wait, () => {
          this.#cancel = undefined;
          this.#pump();
        });
        return;
      }
      this.#waiting[this.#head++]!();
      if (this.#head > 1024) {
        this.#waiting = this.#waiting.slice(this.#head);
        this.#head = 0;
      }
    }
  }

  /** end lets all who wait find out that the signal has aborted. */
  end(): void {
    this.#cancel?.();
    const waiting = this.#waiting.slice(this.#head);
    this.#waiting = [];
    this.#head = 0;
    for (const one of waiting) one();
  }
}
