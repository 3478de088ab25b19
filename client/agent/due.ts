import type { Clock } from '#base/clock';

/**
 * Due is when something is to be done again. It looks at both clocks and takes the earlier: a machine that slept for a week has a
 * monotonic clock that did not go on, and one whose time was set back has a calendar that would make it wait for years.
 */
export class Due {
  readonly #clock: Clock;
  #wall = -Infinity;
  #monotonic = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** in makes it due after so many milliseconds. */
  in(ms: number): void {
    this.#wall = this.#clock.now().getTime() + ms;
    this.#monotonic = this.#clock.monotonic() + ms;
  }

  /** now makes it due at once. */
  now(): void {
    this.#wall = -Infinity;
    this.#monotonic = -Infinity;
  }

  /** left is how long until then, 0 when it is due. */
  left(): number {
    return Math.max(0, Math.min(this.#wall - this.#clock.now().getTime(), this.#monotonic - this.#clock.monotonic()));
  }

  get isDue(): boolean {
    return this.left() === 0;
  }
}
