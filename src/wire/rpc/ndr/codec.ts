import type { Bytes } from '#wire/bytes';
import { NdrReader, NdrWriter } from './octet-stream.ts';

/**
 * Ndr reads and writes one value of the NDR transfer syntax ([C706] 14). A value is handed to `put` and not returned, because
 * the referent of an embedded pointer is only read after the construct that holds the pointer.
 */
export interface Ndr<T> {
  readonly alignment: number;
  /** size is the least number of octets a value takes in the construct that holds it. */
  readonly size: number;
  read(from: NdrReader, put: (value: T) => void): void;
  write(to: NdrWriter, value: T): void;
  /** empty is what stands in an answer that carries nothing but an error status. */
  empty(): T;
}

type Fields = Record<string, Ndr<unknown>>;
type ValueOf<F> = F extends Ndr<infer T> ? T : never;
type Shape<F> = { -readonly [K in keyof F]: ValueOf<F[K]> };

/** Message is the parameter list of one direction of one operation. */
export interface Message<T> {
  readonly name: string;
  decode(stub: Uint8Array): T;
  encode(value: T): Bytes;
  empty(): T;
}

/** ValueIn is the type of the value that a codec or a message carries. */
export type ValueIn<M> = M extends Message<infer T> ? T : M extends Ndr<infer T> ? T : never;

function emptyOf(entries: [string, Ndr<unknown>][]): Record<string, unknown> {
  return Object.fromEntries(entries.map(([key, codec]) => [key, codec.empty()]));
}

function readField(r: NdrReader, value: Record<string, unknown>, key: string, codec: Ndr<unknown>): void {
  const outer = r.field;
  r.field = outer ? `${outer}.${key}` : key;
  codec.read(r, (read) => {
    value[key] = read;
  });
  r.field = outer;
}

/** ndr declares the parameters of one direction of an operation; the referent of a top-level pointer follows directly after it. */
export function ndr<const F extends Fields>(name: string, fields: F): Message<Shape<F>> {
  const entries = Object.entries(fields);
  return {
    name,
    decode(stub) {
      const r = new NdrReader(stub, name);
      const value: Record<string, unknown> = {};
      for (const [key, codec] of entries) {
        readField(r, value, key, codec);
        r.settle();
      }
      return value as Shape<F>;
    },
    encode(value) {
      const w = new NdrWriter();
      for (const [key, codec] of entries) {
        codec.write(w, value[key]);
        w.settle();
      }
      return w.done();
    },
    empty: () => emptyOf(entries) as Shape<F>,
  };
}

/** record is a structure: aligned as its widest member, the referents of its pointers after the whole of it ([C706] 14.3.4). */
export function record<const F extends Fields>(fields: F): Ndr<Shape<F>> {
  const entries = Object.entries(fields);
  const alignment = Math.max(1, ...entries.map(([, codec]) => codec.alignment));
  return {
    alignment,
    size: entries.reduce((sum, [, codec]) => sum + codec.size, 0),
    read(r, put) {
      r.align(alignment);
      const value: Record<string, unknown> = {};
      for (const [key, codec] of entries) readField(r, value, key, codec);
      put(value as Shape<F>);
    },
    write(w, value) {
      w.align(alignment);
      for (const [key, codec] of entries) codec.write(w, value[key]);
    },
    empty: () => emptyOf(entries) as Shape<F>,
  };
}

function scalar<T>(
  alignment: 1 | 2 | 4 | 8,
  zero: T,
  read: (r: NdrReader) => T,
  write: (w: NdrWriter, value: T) => void,
): Ndr<T> {
  return {
    alignment,
    size: alignment,
    read(r, put) {
      r.align(alignment);
      put(read(r));
    },
    write(w, value) {
      w.align(alignment);
      write(w, value);
    },
    empty: () => zero,
  };
}

export const u8 = scalar<number>(
  1,
  0,
  (r) => r.u8(),
  (w, v) => w.u8(v),
);
export const u16 = scalar<number>(
  2,
  0,
  (r) => r.u16(),
  (w, v) => w.u16(v),
);
export const u32 = scalar<number>(
  4,
  0,
  (r) => r.u32(),
  (w, v) => w.u32(v),
);
/** i32 is a signed long. */
export const i32 = scalar<number>(
  4,
  0,
  (r) => r.u32() | 0,
  (w, v) => w.u32(v >>> 0),
);

/** fileTime is FILETIME ([MS-DTYP] 2.3.3): two 32-bit halves, hence aligned to four, not to eight. */
export const fileTime = scalar<bigint>(
  4,
  0n,
  (r) => r.u64(),
  (w, v) => w.u64(v),
);

/** octets is a fixed array of octets, standing in place. */
export function octets(count: number, alignment: 1 | 4 = 1): Ndr<Uint8Array> {
  return {
    alignment,
    size: count,
    read(r, put) {
      r.align(alignment);
      put(r.bytes(count).slice());
    },
    write(w, value) {
      if (value.length !== count) throw new RangeError(`${count} octets wanted, ${value.length} given`);
      w.align(alignment);
      w.bytes(value);
    },
    empty: () => new Uint8Array(count),
  };
}

/** contextHandle is the 20 octets by which a server knows what a client opened (ndr_context_handle of [C706] appendix N: attributes, then a UUID). */
export const contextHandle = octets(20, 4);

/** unique is a pointer that may be null ([C706] 14.3.10.2); a reference pointer at top level leaves no trace and needs no codec. */
export function unique<T>(codec: Ndr<T>): Ndr<T | null> {
  return {
    alignment: 4,
    size: 4,
    read(r, put) {
      r.align(4);
      if (r.u32() === 0) put(null);
      else r.defer(() => codec.read(r, put));
    },
    write(w, value) {
      w.pointer(value === null || value === undefined ? undefined : () => codec.write(w, value));
    },
    empty: () => null,
  };
}

type Arms = Record<number, Ndr<unknown>>;
type ArmOf<A> = { [K in keyof A & number]: { level: K; info: ValueOf<A[K]> } }[keyof A & number];

/** union is a non-encapsulated union: its own copy of the discriminant, then the arm; an unlisted level has an empty arm ([C706] 14.3.8). */
export function union<const A extends Arms>(tag: Ndr<number>, arms: A): Ndr<ArmOf<A> | { level: number; info: undefined }> {
  type Value = ArmOf<A> | { level: number; info: undefined };
  return {
    alignment: 4,
    size: tag.size,
    read(r, put) {
      tag.read(r, (level) => {
        const value = { level, info: undefined as unknown };
        arms[level]?.read(r, (info: unknown) => {
          value.info = info;
        });
        put(value as Value);
      });
    },
    write(w, value) {
      tag.write(w, value.level);
      arms[value.level]?.write(w, value.info);
    },
    empty: () => ({ level: 0, info: undefined }),
  };
}
