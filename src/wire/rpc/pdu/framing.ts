import { concat, Reader, type Bytes, type Struct } from '#wire/bytes';
import { HEADER_SIZE, PduFlag, PduHeader, REQUEST_OVERHEAD } from './messages.ts';

/** SMALLEST_FRAGMENT is the least that both sides must be able to receive; below it no stub octets would be left. */
const SMALLEST_FRAGMENT = REQUEST_OVERHEAD + 8;

/** Pdu is one fragment with its header read. */
export interface Pdu {
  readonly header: PduHeader;
  readonly octets: Uint8Array;
}

/** encodePdu writes one fragment: the common header, then the body. */
export function encodePdu(type: number, callId: number, body: Uint8Array, flags: number = PduFlag.FIRST | PduFlag.LAST): Bytes {
  const fragmentLength = HEADER_SIZE + body.length;
  return concat(PduHeader.encode({ minorVersion: 0, type, flags, fragmentLength, authLength: 0, callId }), body);
}

/** bodyOf reads the body of a fragment; alignment inside it counts from the start of the fragment. */
export function bodyOf<T>(pdu: Pdu, body: Struct<T>, from = HEADER_SIZE): T {
  return body.decode(pdu.octets, { at: from, base: 0 });
}

/**
 * fragments cuts the stub of a request or response so that no fragment is longer than `maxFragment` ([C706] 12.6.2.3). All stub parts but
 * the last are multiples of eight, as [MS-RPCE] 2.2.2.6 asks. `head` makes the eight octets between header and stub.
 */
export function fragments(
  type: number,
  callId: number,
  stub: Uint8Array,
  maxFragment: number,
  head: (hint: number) => Uint8Array,
): Bytes[] {
  const room = Math.max(maxFragment, SMALLEST_FRAGMENT) - REQUEST_OVERHEAD;
  const step = room - (room % 8);
  const list: Bytes[] = [];
  for (let at = 0; at === 0 || at < stub.length; at += step) {
    const part = stub.subarray(at, at + step);
    const first = at === 0 ? PduFlag.FIRST : 0;
    const last = at + step >= stub.length ? PduFlag.LAST : 0;
    list.push(encodePdu(type, callId, concat(head(stub.length - at), part), first | last));
  }
  return list;
}

/** PduStream gathers octets as they come, in chunks of any size, and gives whole fragments. */
export class PduStream {
  readonly #message: string;
  #gathered: Uint8Array = new Uint8Array(0);

  constructor(message: string) {
    this.#message = message;
  }

  push(octets: Uint8Array): void {
    this.#gathered = this.#gathered.length === 0 ? octets : concat(this.#gathered, octets);
  }

  /** next is the next whole fragment, or undefined while octets of it are missing. */
  next(): Pdu | undefined {
    if (this.#gathered.length < HEADER_SIZE) return undefined;
    const r = new Reader(this.#gathered, this.#message);
    const header = PduHeader.read(r);
    r.field = 'fragmentLength';
    if (header.fragmentLength < HEADER_SIZE) throw r.fail(`a fragment of ${header.fragmentLength} octets`, 8);
    if (header.fragmentLength > this.#gathered.length) return undefined;
    const octets = this.#gathered.slice(0, header.fragmentLength);
    this.#gathered = this.#gathered.subarray(header.fragmentLength);
    return { header, octets };
  }
}
