import { raise } from '#base/errors';
import type { Random } from '#base/random';

/** AdmissionWish says how many requests of one kind may wait for the database at once, and when who is sent away shall come again. */
export interface AdmissionWish {
  most: number;
  /** Between these, in seconds, so that those that were sent away together do not come back together. */
  from: number;
  to: number;
}

/** Admission lets so many requests of one kind in at once; the others hear PP_MP_BUSY at once, instead of all waiting until nobody is answered in time. */
export class Admission {
  readonly #random: Random;
  readonly #wish: AdmissionWish;
  #inside = 0;

  constructor(random: Random, wish: AdmissionWish) {
    this.#random = random;
    this.#wish = wish;
  }

  /** admit does the work, or refuses to begin it. */
  async admit<T>(work: () => Promise<T>): Promise<T> {
    const { most, from, to } = this.#wish;
    if (this.#inside >= most)
      throw raise('PP_MP_BUSY', { seconds: from + Math.floor(this.#random.fraction() * (to - from + 1)) });
    this.#inside++;
    try {
      return await work();
    } finally {
      this.#inside--;
    }
  }
}
