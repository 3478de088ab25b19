import { randomInt } from 'node:crypto';

/** Numbers is a small generator whose whole course follows from its seed. */
export class Numbers {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** below gives a whole number of 0 to n - 1. */
  below(n: number): number {
    // mulberry32
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % n;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

const USUAL_SEED = 20_261_121;

/** fuzzSeed is PUSHPOINT_FUZZ_SEED, to see a failure again; a search (PUSHPOINT_FUZZ) has another one each time, the usual run always the same. */
export function fuzzSeed(): number {
  const given = process.env['PUSHPOINT_FUZZ_SEED'];
  if (given !== undefined) return Number(given);
  return process.env['PUSHPOINT_FUZZ'] === undefined ? USUAL_SEED : randomInt(2 ** 32);
}

/** fuzzCount is how many inputs a run tries: PUSHPOINT_FUZZ in the nightly run. */
export function fuzzCount(usual: number): number {
  return Number(process.env['PUSHPOINT_FUZZ'] ?? usual);
}

const OCTETS = [0x00, 0x01, 0x02, 0x04, 0x08, 0x0a, 0x0d, 0x20, 0x22, 0x3d, 0x7f, 0x80, 0xfe, 0xff];
const NUMBERS = [0, 1, 4, 7, 8, 63, 64, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fff_ffff, 0x8000_0000, 0xffff_fff8, 0xffff_ffff];

type Change = (octets: Uint8Array, numbers: Numbers, others: readonly Uint8Array[]) => Uint8Array;

const spot = (octets: Uint8Array, numbers: Numbers) => numbers.below(octets.length + 1);

function spliced(octets: Uint8Array, at: number, drop: number, put: Uint8Array): Uint8Array {
  const changed = new Uint8Array(octets.length - drop + put.length);
  changed.set(octets.subarray(0, at));
  changed.set(put, at);
  changed.set(octets.subarray(at + drop), at + put.length);
  return changed;
}

function numbered(octets: Uint8Array, numbers: Numbers): Uint8Array {
  if (octets.length < 4) return octets;
  const size = numbers.pick([2, 4]);
  const at = numbers.below(octets.length - size + 1);
  const view = new DataView(octets.buffer, octets.byteOffset);
  const value = numbers.pick([...NUMBERS, octets.length, octets.length - 1, octets.length + 1, at]);
  if (size === 2) view.setUint16(at, value & 0xffff, true);
  else view.setUint32(at, value >>> 0, true);
  return octets;
}

/**
 * related changes a number that looks like a length, an offset or a count of this message, in either order of octets, to one near it: the
 * lies that a bound is made for.
 */
function related(octets: Uint8Array, numbers: Numbers): Uint8Array {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.length);
  const from = numbers.below(octets.length + 1);
  for (let i = 0; i < octets.length; i++) {
    const at = (from + i) % octets.length;
    for (const size of [4, 2, 1] as const) {
      if (at % size !== 0 || at + size > octets.length) continue;
      const isLittle = numbers.below(3) > 0;
      const value = size === 4 ? view.getUint32(at, isLittle) : size === 2 ? view.getUint16(at, isLittle) : octets[at]!;
      if (value === 0 || value > octets.length) continue;
      const near = numbers.pick([
        value - 1,
        value + 1,
        value * 2,
        value + 8,
        octets.length - at,
        octets.length - value,
        octets.length,
      ]);
      if (size === 4) view.setUint32(at, near, isLittle);
      else if (size === 2) view.setUint16(at, near & 0xffff, isLittle);
      else octets[at] = near & 0xff;
      return octets;
    }
  }
  return octets;
}

/** border is a place where a field may end: fields of these messages stand at multiples of their sizes. */
const border = (octets: Uint8Array, numbers: Numbers) => {
  const step = numbers.pick([1, 2, 4, 8]);
  return Math.min(octets.length, step * numbers.below(Math.floor(octets.length / step) + 2));
};

const changes: Change[] = [
  related,
  related,
  // Cut where a field ends, and two good messages joined where fields of both end.
  (octets, numbers) => octets.slice(0, border(octets, numbers)),
  (octets, numbers, others) => {
    const other = numbers.pick(others);
    const at = border(octets, numbers);
    return spliced(
      octets.slice(0, at),
      at,
      0,
      other.slice(numbers.below(2) ? Math.min(at, other.length) : border(other, numbers)),
    );
  },
  (octets, numbers) => {
    if (octets.length > 0) octets[numbers.below(octets.length)]! ^= 1 << numbers.below(8);
    return octets;
  },
  (octets, numbers) => {
    if (octets.length > 0) octets[numbers.below(octets.length)] = numbers.pick(OCTETS);
    return octets;
  },
  numbered,
  numbered,
  (octets, numbers) => octets.slice(0, spot(octets, numbers)),
  (octets, numbers) => {
    const at = spot(octets, numbers);
    return spliced(octets, at, Math.min(numbers.below(16), octets.length - at), new Uint8Array(0));
  },
  (octets, numbers) => {
    const from = spot(octets, numbers);
    const copy = octets.slice(from, from + numbers.below(64));
    return spliced(octets, spot(octets, numbers), 0, copy);
  },
  (octets, numbers) => {
    const put = new Uint8Array(numbers.below(40)).fill(numbers.pick(OCTETS));
    return spliced(octets, spot(octets, numbers), 0, put);
  },
  (octets, numbers, others) => {
    const other = numbers.pick(others);
    return spliced(octets.slice(0, spot(octets, numbers)), 0, 0, new Uint8Array(0)).length === 0
      ? other.slice()
      : Uint8Array.from([...octets.slice(0, spot(octets, numbers)), ...other.slice(spot(other, numbers))]);
  },
];

/** mutated gives another version of a sample: one to four changes of any kind; the sample stays as it is. */
export function mutated(sample: Uint8Array, numbers: Numbers, others: readonly Uint8Array[]): Uint8Array {
  let octets: Uint8Array = sample.slice();
  for (let left = 1 + numbers.below(4); left > 0; left--) octets = numbers.pick(changes)(octets, numbers, others);
  return octets;
}

/** weight is about how much memory a value holds: what a decoder may make of an input is bounded by its size. */
export function weight(value: unknown, depth = 0): number {
  if (typeof value === 'string') return 8 + 2 * value.length;
  if (value instanceof Uint8Array) return 8; // a view or a copy of a part; copies are counted where they can repeat
  if (typeof value !== 'object' || value === null || depth > 12) return 8;
  let sum = 16;
  const parts = value instanceof Map ? value.values() : Object.values(value);
  for (const one of parts) sum += weight(one, depth + 1);
  return sum;
}
