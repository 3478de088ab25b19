import type { Clock } from '#base/clock';
import { raise } from '#base/errors';

/** How many addresses are remembered; the longest-idle one is forgotten first, which can only make the limiter milder. */
const MOST = 50_000;

interface Bucket {
  left: number;
  at: number;
}

/** Rate lets each address do so much at once and so much per second, for requests that nobody signed. */
export class Rate {
  readonly #clock: Clock;
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock, burst: number, perSecond: number) {
    this.#clock = clock;
    this.#burst = burst;
    this.#perSecond = perSecond;
  }

  /** take takes one from the address's bucket, or raises PP_API_RATE. */
  take(address: string): void {
    const now = this.#clock.monotonic();
    const old = this.#buckets.get(address);
    const left = old ? Math.min(this.#burst, old.left + ((now - old.at) / 1000) * this.#perSecond) : this.#burst;
    this.#buckets.delete(address);
    this.#buckets.set(address, { left: Math.max(left - 1, 0), at: now });
    if (this.#buckets.size > MOST) this.#buckets.delete(this.#buckets.keys().next().value!);
    if (left < 1) throw raise('PP_API_RATE', { address });
  }
}
