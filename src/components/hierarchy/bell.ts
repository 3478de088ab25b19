import type { Clock } from '#base/clock';

/** Bell wakes whoever waits for something new. */
export class Bell {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  ring(): void {
    for (const go of this.#waiting) go();
  }

  /** next waits for the next ring, for a time, or for the signal. It is asked for before looking, so that no ring is missed in between. */
  next(ms: number, signal: AbortSignal): { done: Promise<void>; cancel: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const go = () => resolve();
    const late = this.#clock.after(ms, go);
    this.#waiting.add(go);
    signal.addEventListener('abort', go, { once: true });
    if (signal.aborted) go();
    const done = promise.finally(() => {
      late();
      this.#waiting.delete(go);
      signal.removeEventListener('abort', go);
    });
    return { done, cancel: go };
  }
}
