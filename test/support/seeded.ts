import { createHash } from 'node:crypto';
import { systemRandom, type Random } from '#base/random';

/** Each run takes the same fractions; PUSHPOINT_TEST_SEED gives others, to see whether what a test claims hangs on them. */
const SEED = process.env['PUSHPOINT_TEST_SEED'] ?? '1';

/** seeded gives the same fractions each time for one seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** SeededRandom draws the spreads of whoever has this name from the seed of the run; keys, nonces and identifiers stay real ones. */
export class SeededRandom implements Random {
  readonly #name: () => string;
  #next: (() => number) | undefined;

  /** `name` is asked at the first draw, when a test has said who draws. */
  constructor(name: () => string) {
    this.#name = name;
  }

  bytes(length: number): Uint8Array {
    return systemRandom.bytes(length);
  }

  uuid(): string {
    return systemRandom.uuid();
  }

  fraction(): number {
    this.#next ??= seeded(createHash('sha256').update(`${SEED} ${this.#name()}`).digest().readUInt32LE(0));
    return this.#next();
  }
}
