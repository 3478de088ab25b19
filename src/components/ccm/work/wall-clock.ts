import type { Clock } from '#base/clock';

/** Less than this is a clock that is being steered, or a process that was busy. */
const STEERED_MS = 5_000;

/** WallClock notices when somebody sets the clock of this machine: the wall time and the monotonic one no longer go on alike. */
export class WallClock {
  readonly #clock: Clock;
  #ahead: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#ahead = this.#now();
  }

  #now(): number {
    return this.#clock.now().getTime() - this.#clock.monotonic();
  }

  /** moved is by how much it was set since the last look, in milliseconds; a machine that slept looks like one whose clock was set forward. */
  moved(): number {
    const ahead = this.#now();
    const by = Math.round(ahead - this.#ahead);
    if (Math.abs(by) < STEERED_MS) return 0;
    this.#ahead = ahead;
    return by;
  }
}
