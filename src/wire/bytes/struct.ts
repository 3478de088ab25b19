import { fromUtf16, toUtf16, type Bytes } from './octets.ts';
import { Reader } from './reader.ts';
import { Writer } from './writer.ts';

/** Codec reads and writes one value. */
export interface Codec<T> {
  read(from: Reader): T;
  write(to: Writer, value: T): void;
}

/** Auto marks a field whose value follows from the others: it is not in the struct's type, neither to read nor to write. */
interface Auto {
  readonly auto: 'constant' | 'reserved' | 'offset' | 'length' | 'count';
  readonly of?: string;
  readonly codec: Codec<number>;
  readonly value?: number;
  readonly size?: number;
}

interface Located<T> {
  readonly locatedCodec: Codec<T>;
  readonly alignment: number;
  readonly zeroIfEmpty: boolean;
}

interface Repeated<T> {
  readonly repeatedCodec: Codec<T>;
  readonly most: number;
}

type Field = Codec<never> | Auto | Located<never> | Repeated<never>;
type Fields = Record<string, unknown>;

type ValueOf<F> = F extends Located<infer T> ? T : F extends Repeated<infer T> ? T[] : F extends Codec<infer T> ? T : never;
type Shape<F> = { -readonly [K in keyof F as F[K] extends Auto ? never : K]: ValueOf<F[K]> };

/** Struct is a codec of a record with named fields, in the order of the specification. */
export interface Struct<T> extends Codec<T> {
  readonly name: string;
  /** decode reads a whole message; `base` is where offsets count from (default: the first octet). */
  decode(octets: Uint8Array, options?: { at?: number; end?: number; base?: number }): T;
  encode(value: T): Bytes;
}

/** Of is the type of the value that a struct reads and writes. */
export type Of<S> = S extends Struct<infer T> ? T : never;

export const u8: Codec<number> = { read: (r) => r.u8(), write: (w, v) => void w.u8(v) };
export const u16: Codec<number> = { read: (r) => r.u16(), write: (w, v) => void w.u16(v) };
export const u32: Codec<number> = { read: (r) => r.u32(), write: (w, v) => void w.u32(v) };
export const u64: Codec<bigint> = { read: (r) => r.u64(), write: (w, v) => void w.u64(v) };

/** bytes is a run of exactly `count` octets. */
export function bytes(count: number): Codec<Bytes> {
  return {
    read: (r) => r.bytes(count),
    write(w, value) {
      if (value.length !== count) throw new RangeError(`${count} octets wanted, ${value.length} given`);
      w.bytes(value);
    },
  };
}

/** rest is everything up to the end of the message or of the located part. */
export const rest: Codec<Bytes> = { read: (r) => r.rest(), write: (w, v) => void w.bytes(v) };

/** utf16Rest is UTF-16LE text up to the end of the message or of the located part. */
export const utf16Rest: Codec<string> = { read: (r) => fromUtf16(r.rest()), write: (w, v) => void w.bytes(toUtf16(v)) };

/** constant must read as `value` and is written as it. */
export function constant(codec: Codec<number>, value: number): Auto {
  return { auto: 'constant', codec, value };
}

/** reserved is written as zeros and not looked at. */
export function reserved(size: number): Auto {
  return { auto: 'reserved', codec: u8, size };
}

/** offsetOf holds where the located field `of` begins, counted from the base of the message. */
export function offsetOf(of: string, codec: Codec<number>): Auto {
  return { auto: 'offset', codec, of };
}

/** lengthOf holds how many octets the located field `of` has. */
export function lengthOf(of: string, codec: Codec<number>): Auto {
  return { auto: 'length', codec, of };
}

/** countOf holds how many elements the repeated field `of` has. */
export function countOf(of: string, codec: Codec<number>): Auto {
  return { auto: 'count', codec, of };
}

/**
 * located is a field in the variable part, found by its offsetOf and lengthOf; `alignment` pads before it when writing, and
 * `zeroIfEmpty` writes the offset of an empty one as 0 where the specification asks for that.
 */
export function located<T>(codec: Codec<T>, options: { alignment?: number; zeroIfEmpty?: boolean } = {}): Located<T> {
  return { locatedCodec: codec, alignment: options.alignment ?? 1, zeroIfEmpty: options.zeroIfEmpty ?? false };
}

/** repeat is a list of as many elements as its countOf says, standing right here; more than `most` is refused before any is read. */
export function repeat<T>(codec: Codec<T>, most = 1024): Repeated<T> {
  return { repeatedCodec: codec, most };
}

/**
 * Plan is a struct's fields as they are walked through; `slot` is where the offset, length and count that belong to a field are kept
 * meanwhile. It is worked out once, where the struct is declared.
 */
interface Step {
  readonly key: string;
  readonly kind: 'plain' | 'constant' | 'reserved' | 'offset' | 'length' | 'count' | 'located' | 'repeated';
  readonly slot: number;
  readonly field: Field;
}

interface Plan {
  readonly steps: readonly Step[];
  /** What is known of the slots before anything was read. */
  readonly blank: readonly number[];
}

/** What a slot holds: the offset, the length and the count of its field, or NONE. */
const NONE = -1;
const OFFSET = 0;
const LENGTH = 1;
const COUNT = 2;
const PER_SLOT = 3;

function kindOf(field: Field): Step['kind'] {
  if ('auto' in field) return field.auto;
  if ('locatedCodec' in field) return 'located';
  return 'repeatedCodec' in field ? 'repeated' : 'plain';
}

function planOf(entries: [string, Field][]): Plan {
  const slots = new Map<string, number>();
  const slotOf = (name: string) => slots.get(name) ?? slots.set(name, slots.size).get(name)!;
  const steps = entries.map(([key, field]) => {
    const kind = kindOf(field);
    const named = 'auto' in field ? field.of : kind === 'plain' ? undefined : key;
    return { key, kind, field, slot: named === undefined ? -1 : slotOf(named) };
  });
  return { steps, blank: Array.from({ length: slots.size * PER_SLOT }, () => NONE) };
}

function readAuto(r: Reader, { kind, field, slot }: Step, places: number[]): void {
  const { codec, size, value: wanted } = field as Auto;
  if (kind === 'reserved') return r.skip(size!);
  const { at } = r;
  const value = codec.read(r);
  if (kind === 'constant') {
    if (value !== wanted) throw r.fail(`${value} read where ${wanted} must stand`, at);
  } else if (kind === 'offset') places[slot * PER_SLOT + OFFSET] = value;
  else if (kind === 'count') places[slot * PER_SLOT + COUNT] = value;
  else if (places[slot * PER_SLOT + LENGTH] === NONE) places[slot * PER_SLOT + LENGTH] = value;
}

function readLocated(r: Reader, { key, field, slot }: Step, places: number[]): unknown {
  const length = Math.max(0, places[slot * PER_SLOT + LENGTH]!);
  const offset = places[slot * PER_SLOT + OFFSET]!;
  // An empty part may carry any offset (Windows writes 0, Samba the end of the message).
  const part =
    length === 0
      ? new Reader(r.octets, r.message, { at: r.end, end: r.end, base: r.base })
      : r.part(offset === NONE ? r.at - r.base : offset, length);
  part.field = key;
  return (field as Located<never>).locatedCodec.read(part);
}

function readRepeated(r: Reader, { field, slot }: Step, places: number[]): unknown[] {
  const { repeatedCodec, most } = field as Repeated<never>;
  const count = Math.max(0, places[slot * PER_SLOT + COUNT]!);
  if (count > most) throw r.fail(`${count} elements, at most ${most} are taken`);
  const list: unknown[] = [];
  for (let i = 0; i < count; i++) list.push(repeatedCodec.read(r));
  return list;
}

function readStruct(r: Reader, { steps, blank }: Plan): Record<string, unknown> {
  const places = blank.length > 0 ? blank.slice() : NO_POSITIONS;
  const outer = r.field;
  const value: Record<string, unknown> = {};
  for (const step of steps) {
    const { key, kind, field } = step;
    r.field = outer ? `${outer}.${key}` : key;
    if (kind === 'plain') value[key] = (field as Codec<never>).read(r);
    else if (kind === 'located') value[key] = readLocated(r, step, places);
    else if (kind === 'repeated') value[key] = readRepeated(r, step, places);
    else readAuto(r, step, places);
  }
  r.field = outer;
  return value;
}

/** patchPlaces writes where a located field came to stand, into the fields before it that tell. */
function patchPlaces(w: Writer, steps: readonly Step[], slot: number, positions: number[], offset: number, length: number): void {
  const back = w.at;
  for (let index = 0; index < positions.length; index++) {
    const { kind, field, slot: of } = steps[index]!;
    if (of !== slot || (kind !== 'offset' && kind !== 'length')) continue;
    w.at = positions[index]!;
    (field as Auto).codec.write(w, kind === 'offset' ? offset : length);
  }
  w.at = back;
}

function writeLocated(w: Writer, { steps }: Plan, step: Step, value: unknown, positions: number[]): void {
  const { locatedCodec, alignment, zeroIfEmpty } = step.field as Located<unknown>;
  w.align(alignment);
  const start = w.at;
  locatedCodec.write(w, value);
  const length = w.at - start;
  const offset = length === 0 && zeroIfEmpty ? 0 : start - w.base;
  patchPlaces(w, steps, step.slot, positions, offset, length);
}

/** What a struct without located fields has of positions; nobody adds to it. */
const NO_POSITIONS: number[] = [];

function writeStruct(w: Writer, plan: Plan, value: Record<string, unknown>): void {
  const { steps, blank } = plan;
  const positions = blank.length > 0 ? [] : NO_POSITIONS;
  for (const step of steps) {
    const { key, kind, field } = step;
    if (blank.length > 0) positions.push(w.at);
    if (kind === 'plain') (field as Codec<unknown>).write(w, value[key]);
    else if (kind === 'located') writeLocated(w, plan, step, value[key], positions);
    else if (kind === 'repeated')
      for (const element of value[key] as never[]) (field as Repeated<never>).repeatedCodec.write(w, element);
    else {
      const { codec, size, value: fixed, of } = field as Auto;
      if (kind === 'reserved') w.zeros(size!);
      else if (kind === 'constant') codec.write(w, fixed!);
      else codec.write(w, kind === 'count' ? (value[of!] as unknown[]).length : 0);
    }
  }
}

/**
 * struct declares a message field by field, in the order of the specification. Fields made by constant, reserved, offsetOf, lengthOf and
 * countOf are worked out when writing and checked when reading; they are not part of the value. Offsets count from the reader's or
 * writer's `base`.
 */
export function struct<const F extends Fields>(name: string, fields: F): Struct<Shape<F>> {
  type T = Shape<F>;
  const plan = planOf(Object.entries(fields) as [string, Field][]);
  return {
    name,
    read: (r) => readStruct(r, plan) as T,
    write: (w, value) => writeStruct(w, plan, value),
    decode(octets, options) {
      return readStruct(new Reader(octets, name, options), plan) as T;
    },
    encode(value) {
      const w = new Writer();
      writeStruct(w, plan, value);
      return w.done();
    },
  };
}
