import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import { SIGNATURE_WINDOW_MS, type Claim } from './signing.ts';

/**
 * Nonces remembers the verified requests of one signature window, in the memory of one process. A replay that reaches another process of
 * the same site within the window is harmless by the messages' own design: registrations carry a request id, heartbeats a sequence number,
 * state messages a TopicId, and all three are idempotent.
 */
export class Nonces {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #until = new Map<string, number>();

  constructor(clock: Clock, limit = 200_000) {
    this.#clock = clock;
    this.#limit = limit;
  }

  /** use takes the nonce of a verified claim, or raises PP_MSG_REPLAYED when it was used before. */
  use(claim: Claim): void {
    const now = this.#clock.now().getTime();
    for (const [key, until] of this.#until) {
      if (until > now && this.#until.size < this.#limit) break;
      this.#until.delete(key);
    }
    const key = `${claim.client ?? claim.token ?? ''} ${claim.nonce}`;
    if (this.#until.has(key)) throw raise('PP_MSG_REPLAYED');
    this.#until.set(key, now + 2 * SIGNATURE_WINDOW_MS);
  }

  /** size is how many are remembered now. */
  get size(): number {
    return this.#until.size;
  }
}
