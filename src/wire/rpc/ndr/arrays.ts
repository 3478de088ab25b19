import { fromUtf16, toUtf16 } from '#wire/bytes';
import type { Ndr } from './codec.ts';
import type { NdrReader, NdrWriter } from './octet-stream.ts';

/** The most octets one array of ours may hold; no answer that carries a push comes near it. */
const MOST_OCTETS = 4 * 1024 * 1024;
/** The most characters of a string: a command line has 32767, a registry name 255, a value 16383. */
const MOST_CHARACTERS = 65536;

/** byteArray is a conformant array of octets ([C706] 14.3.3.2): the count, then the octets. */
export const byteArray: Ndr<Uint8Array> = {
  alignment: 4,
  size: 4,
  read(r, put) {
    put(r.bytes(r.count(1, MOST_OCTETS)).slice());
  },
  write(w, value) {
    w.align(4).u32(value.length).bytes(value);
  },
  empty: () => new Uint8Array(0),
};

/** OctetBuffer is a conformant varying array: what stands in it, and how much could. */
export interface OctetBuffer {
  capacity: number;
  octets: Uint8Array;
}

/** buffer is a conformant varying array of octets: room, offset, count, octets. A client sends room and no octets, a server fills it. */
export const buffer: Ndr<OctetBuffer> = {
  alignment: 4,
  size: 12,
  read(r, put) {
    r.align(4);
    const capacity = r.u32();
    put({ capacity, octets: r.bytes(varying(r, capacity, 1, MOST_OCTETS)).slice() });
  },
  write(w, value) {
    w.align(4).u32(value.capacity).u32(0).u32(value.octets.length).bytes(value.octets);
  },
  empty: () => ({ capacity: 0, octets: new Uint8Array(0) }),
};

/** varying reads offset and actual count of a varying array and holds them against the room announced before. */
function varying(r: NdrReader, capacity: number, elementSize: number, most: number): number {
  const offset = r.u32();
  if (offset !== 0) throw r.fail(`a varying array begins at element ${offset}`, r.at - 4);
  const count = r.count(elementSize, most);
  if (count > capacity) throw r.fail(`${count} elements in a room of ${capacity}`, r.at - 4);
  return count;
}

/** array is a conformant array of any element: the count, then the elements; their pointers are settled after all of them. */
export function array<T>(element: Ndr<T>, most = 65536): Ndr<T[]> {
  return {
    alignment: Math.max(4, element.alignment),
    size: 4,
    read(r, put) {
      const count = r.count(element.size, most);
      const list: T[] = [];
      // The place is made first, since a deferred element arrives when its neighbours have been read.
      for (let i = 0; i < count; i++) element.read(r, (value) => (list[i] = value));
      put(list);
    },
    write(w, list) {
      w.align(4).u32(list.length);
      for (const value of list) element.write(w, value);
    },
    empty: () => [],
  };
}

function untilNul(text: string): string {
  const end = text.indexOf('\0');
  return end === -1 ? text : text.slice(0, end);
}

/** wstr is [string] wchar_t: conformant varying UTF-16LE, the terminating NUL counted and sent ([C706] 14.3.4.2). */
export const wstr: Ndr<string> = {
  alignment: 4,
  size: 12,
  read(r, put) {
    r.align(4);
    const capacity = r.u32();
    put(untilNul(fromUtf16(r.bytes(2 * varying(r, capacity, 2, MOST_CHARACTERS)))));
  },
  write(w, value) {
    const characters = value.length + 1;
    w.align(4).u32(characters).u32(0).u32(characters).bytes(toUtf16(value)).u16(0);
  },
  empty: () => '',
};

/** CountedBuffer is a counted string that may have more room than text. */
export interface CountedBuffer {
  capacity: number;
  text: string | null;
}

function readCounted(r: NdrReader, put: (value: CountedBuffer) => void): void {
  r.align(4);
  const at = r.at;
  const length = r.u16();
  const room = r.u16();
  if (length > room) throw r.fail(`${length} octets of text in a room of ${room}`, at);
  const pointer = r.u32();
  if (pointer === 0) return put({ capacity: room >> 1, text: null });
  r.defer(() => {
    r.align(4);
    const capacity = r.u32();
    const text = fromUtf16(r.bytes(2 * varying(r, capacity, 2, MOST_CHARACTERS)));
    put({ capacity: room >> 1, text: untilNul(text) });
  });
}

function writeCounted(w: NdrWriter, value: CountedBuffer, terminator: 0 | 1): void {
  const text = value.text;
  const characters = text === null || (text === '' && value.capacity > 0) ? 0 : text.length + terminator;
  const room = Math.max(value.capacity, characters);
  w.align(4)
    .u16(characters * 2)
    .u16(room * 2);
  w.pointer(
    text === null
      ? undefined
      : () => {
          w.align(4).u32(room).u32(0).u32(characters);
          w.bytes(toUtf16(characters > text.length ? `${text}\0` : text.slice(0, characters)));
        },
  );
}

/** countedBuffer is RRP_UNICODE_STRING with room for an answer ([MS-RRP] 2.2.4): an empty text is sent as room only. */
export const countedBuffer: Ndr<CountedBuffer> = {
  alignment: 4,
  size: 8,
  read: readCounted,
  write: (w, value) => writeCounted(w, value, 1),
  empty: () => ({ capacity: 0, text: null }),
};

function counted(terminator: 0 | 1): Ndr<string | null> {
  return {
    alignment: 4,
    size: 8,
    read: (r, put) => readCounted(r, (value) => put(value.text)),
    write: (w, text) => writeCounted(w, { capacity: 0, text }, terminator),
    empty: () => null,
  };
}

/** countedString is RRP_UNICODE_STRING ([MS-RRP] 2.2.4): lengths in octets, the terminating NUL counted; null is the null pointer. */
export const countedString = counted(1);

/** unicodeString is RPC_UNICODE_STRING ([MS-DTYP] 2.3.10): lengths in octets, no terminator. */
export const unicodeString = counted(0);
