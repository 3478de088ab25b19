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

interface Places {
  offsets: Map<string, number>;
  lengths: Map<string, number>;
  counts: Map<string, number>;
}

function readAuto(r: Reader, field: Auto, places: Places): void {
  if (field.auto === 'reserved') return r.skip(field.size!);
  const at = r.at;
  const value = field.codec.read(r);
  if (field.auto === 'constant' && value !== field.value) throw r.fail(`${value} read where ${field.value} must stand`, at);
  if (field.auto === 'offset') places.offsets.set(field.of!, value);
  if (field.auto === 'length' && !places.lengths.has(field.of!)) places.lengths.set(field.of!, value);
  if (field.auto === 'count') places.counts.set(field.of!, value);
}

function readLocated(r: Reader, key: string, field: Located<never>, places: Places): unknown {
  const length = places.lengths.get(key) ?? 0;
  // An empty part may carry any offset (Windows writes 0, Samba the end of the message).
  const part =
    length === 0
      ? new Reader(r.octets, r.message, { at: r.end, end: r.end, base: r.base })
      : r.part(places.offsets.get(key) ?? r.at - r.base, length);
  part.field = key;
  return field.locatedCodec.read(part);
}

function readRepeated(r: Reader, key: string, field: Repeated<never>, places: Places): unknown[] {
  const count = places.counts.get(key) ?? 0;
  if (count > field.most) throw r.fail(`${count} elements, at most ${field.most} are taken`);
  const list: unknown[] = [];
  for (let i = 0; i < count; i++) list.push(field.repeatedCodec.read(r));
  return list;
}

function isAuto(field: Field): field is Auto {
  return 'auto' in field;
}

function readStruct(r: Reader, entries: [string, Field][]): Record<string, unknown> {
  const places: Places = { offsets: new Map(), lengths: new Map(), counts: new Map() };
  const outer = r.field;
  const value: Record<string, unknown> = {};
  for (const [key, field] of entries) {
    r.field = outer ? `${outer}.${key}` : key;
    if (isAuto(field)) readAuto(r, field, places);
    else if ('locatedCodec' in field) value[key] = readLocated(r, key, field, places);
    else if ('repeatedCodec' in field) value[key] = readRepeated(r, key, field, places);
    else value[key] = field.read(r);
  }
  r.field = outer;
  return value;
}

function writeStruct(w: Writer, entries: [string, Field][], value: Record<string, unknown>): void {
  const pending: { auto: Auto; at: number }[] = [];
  for (const [key, field] of entries) {
    if (isAuto(field)) {
      if (field.auto === 'reserved') w.zeros(field.size!);
      else if (field.auto === 'constant') field.codec.write(w, field.value!);
      else if (field.auto === 'count') field.codec.write(w, (value[field.of!] as unknown[]).length);
      else {
        pending.push({ auto: field, at: w.at });
        field.codec.write(w, 0);
      }
    } else if ('locatedCodec' in field) {
      w.align(field.alignment);
      const start = w.at;
      field.locatedCodec.write(w, value[key] as never);
      const length = w.at - start;
      const offset = length === 0 && field.zeroIfEmpty ? 0 : start - w.base;
      for (const { auto, at } of pending) {
        if (auto.of === key) w.patch(at, () => auto.codec.write(w, auto.auto === 'offset' ? offset : length));
      }
    } else if ('repeatedCodec' in field) {
      for (const element of value[key] as never[]) field.repeatedCodec.write(w, element);
    } else field.write(w, value[key] as never);
  }
}

/**
 * struct declares a message field by field, in the order of the specification. Fields made by constant, reserved, offsetOf, lengthOf and
 * countOf are worked out when writing and checked when reading; they are not part of the value. Offsets count from the reader's or
 * writer's `base`.
 */
export function struct<const F extends Fields>(name: string, fields: F): Struct<Shape<F>> {
  type T = Shape<F>;
  const entries = Object.entries(fields) as [string, Field][];
  return {
    name,
    read: (r) => readStruct(r, entries) as T,
    write: (w, value) => writeStruct(w, entries, value),
    decode(octets, options) {
      return readStruct(new Reader(octets, name, options), entries) as T;
    },
    encode(value) {
      const w = new Writer();
      writeStruct(w, entries, value);
      return w.done();
    },
  };
}
