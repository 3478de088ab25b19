import { wordsOf } from './address.ts';
import type { Span } from './parse.ts';

/**
 * Segments tells for each address of a family the best boundary that holds it, where the best one comes first in what it is made of. All
 * addresses are cut where a boundary begins or ends; what was worked out for each piece is found by halving. It never changes, and holds
 * no more than two pieces for each boundary however they overlap.
 */
export class Segments {
  readonly #width: number;
  /** The first address of each piece, ascending, `width` words each. */
  readonly #starts: Uint32Array;
  /** The place of each piece's boundary, or -1. */
  readonly #best: Int32Array;

  /** `spans` are the boundaries of this family with their places, best first. */
  constructor(family: 4 | 6, spans: readonly { place: number; span: Span }[]) {
    this.#width = family === 4 ? 1 : 4;
    const end = 1n << (family === 4 ? 32n : 128n);
    const cuts = [...new Set([0n, ...spans.flatMap(({ span }) => [span.first, span.last + 1n])])].filter((cut) => cut < end);
    cuts.sort((a, b) => (a < b ? -1 : 1));
    const at = new Map(cuts.map((cut, i) => [cut, i]));
    this.#best = new Int32Array(cuts.length).fill(-1);
    // Best first: each takes the pieces that nobody better has; `next` leads past those that are taken.
    const next = Int32Array.from({ length: cuts.length + 1 }, (_, i) => i);
    const free = (i: number): number => {
      while (next[i] !== i) i = next[i] = next[next[i]!]!;
      return i;
    };
    for (const { place, span } of spans) {
      const stop = at.get(span.last + 1n) ?? cuts.length;
      for (let i = free(at.get(span.first)!); i < stop; i = free(i)) {
        this.#best[i] = place;
        next[i] = i + 1;
      }
    }
    this.#starts = new Uint32Array(cuts.length * this.#width);
    cuts.forEach((cut, i) => this.#starts.set(wordsOf(cut, family), i * this.#width));
  }

  /** find gives the place of the best boundary that holds an address, or -1. */
  find(words: Uint32Array): number {
    let low = 0;
    let high = this.#best.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#isAfter(middle, words)) high = middle - 1;
      else low = middle;
    }
    return this.#best[low]!;
  }

  /** isAfter tells whether a piece begins behind an address. */
  #isAfter(piece: number, words: Uint32Array): boolean {
    const base = piece * this.#width;
    for (let w = 0; w < this.#width; w++) {
      const start = this.#starts[base + w]!;
      const word = words[w]!;
      if (start !== word) return start > word;
    }
    return false;
  }
}
