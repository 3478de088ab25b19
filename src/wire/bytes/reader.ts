import { raise } from '#base/errors';
import { toHex, type Bytes } from './octets.ts';

const WINDOW = 16;

/**
 * Reader walks over octets, little-endian. Every way of running out of them raises PP_WIRE_MALFORMED
 * with the message, the field, the offset and a hex window; nothing is allocated from a length before it is checked.
 * `base` is the position that offsets inside the message count from (the SMB2 header, the start of an NTLM message).
 */
export class Reader {
  readonly octets: Uint8Array;
  readonly base: number;
  readonly end: number;
  readonly message: string;
  at: number;
  field = '';

  constructor(octets: Uint8Array, message: string, options: { at?: number; end?: number; base?: number } = {}) {
    this.octets = octets;
    this.message = message;
    this.at = options.at ?? 0;
    this.end = options.end ?? octets.length;
    this.base = options.base ?? this.at;
  }

  get left(): number {
    return this.end - this.at;
  }

  /** fail makes the error for the field being read; the caller throws it. */
  fail(why: string, at = this.at): Error {
    const from = Math.max(0, Math.min(at, this.octets.length) - WINDOW);
    const window = toHex(this.octets.subarray(from, Math.min(this.octets.length, at + WINDOW)));
    return raise(
      'PP_WIRE_MALFORMED',
      { message: this.message, field: this.field || '(whole)', offset: at, why },
      { detail: `octets from ${from}: ${window}` },
    );
  }

  need(count: number): void {
    if (count < 0 || this.at + count > this.end)
      throw this.fail(`${count} octets wanted, ${Math.max(0, this.end - this.at)} left`);
  }

  // Put together by hand: a DataView for each of the many short-lived readers costs more than it saves.
  u8(): number {
    this.need(1);
    return this.octets[this.at++]!;
  }
  u16(): number {
    this.need(2);
    const { octets, at } = this;
    this.at = at + 2;
    return octets[at]! | (octets[at + 1]! << 8);
  }
  u32(): number {
    this.need(4);
    const { octets, at } = this;
    this.at = at + 4;
    return (octets[at]! | (octets[at + 1]! << 8) | (octets[at + 2]! << 16) | (octets[at + 3]! << 24)) >>> 0;
  }
  u64(): bigint {
    this.need(8);
    const low = this.u32();
    const high = this.u32();
    return high === 0 ? BigInt(low) : (BigInt(high) << 32n) | BigInt(low);
  }
  /** bytes gives a view of the octets, not a copy. */
  bytes(count: number): Bytes {
    this.need(count);
    const value = this.octets.subarray(this.at, this.at + count) as Bytes;
    this.at += count;
    return value;
  }
  rest(): Bytes {
    return this.bytes(this.end - this.at);
  }
  skip(count: number): void {
    this.need(count);
    this.at += count;
  }
  /** align moves on to the next multiple of `boundary` counted from `origin`. */
  align(boundary: number, origin = this.base): void {
    const past = (this.at - origin) % boundary;
    if (past) this.skip(boundary - past);
  }
  /** part is a reader over `length` octets at `offset` from the base; its offsets still count from the same base. */
  part(offset: number, length: number): Reader {
    const at = this.base + offset;
    if (length < 0 || offset < 0 || at + length > this.end) {
      throw this.fail(`${length} octets at offset ${offset} lie outside the message of ${this.end - this.base}`);
    }
    const part = new Reader(this.octets, this.message, { at, end: at + length, base: this.base });
    part.field = this.field;
    return part;
  }
}
