import type { Bytes } from './octets.ts';

/**
 * Small messages are laid side by side in blocks: room of its own for each would cost the engine more than writing it. A block is never
 * used twice, so that what is not written is zero and nothing of another message.
 */
const BLOCK = 16_384;
const SMALL = 1024;
let block: Bytes = new Uint8Array(0);
let blockView = new DataView(block.buffer);
let used = 0;

/** Writer grows as it is written to, little-endian. `base` is the position that offsets inside the message count from. */
export class Writer {
  #octets: Bytes;
  #view: DataView;
  /** Where the message begins in what `#view` shows. */
  #start: number;
  #capacity: number;
  at = 0;
  base = 0;

  constructor(capacity = 256) {
    this.#capacity = capacity;
    if (capacity > SMALL) {
      this.#octets = new Uint8Array(capacity);
      this.#view = new DataView(this.#octets.buffer);
      this.#start = 0;
      return;
    }
    if (used + capacity > block.length) {
      block = new Uint8Array(BLOCK);
      blockView = new DataView(block.buffer);
      used = 0;
    }
    this.#octets = block;
    this.#view = blockView;
    this.#start = used;
    used += capacity;
  }

  #room(count: number): void {
    const wanted = this.at + count;
    if (wanted <= this.#capacity) return;
    const capacity = Math.max(wanted, this.#capacity * 2);
    const grown = new Uint8Array(capacity);
    grown.set(this.#octets.subarray(this.#start, this.#start + this.at));
    this.#octets = grown;
    this.#view = new DataView(grown.buffer);
    this.#start = 0;
    this.#capacity = capacity;
  }

  u8(value: number): this {
    this.#room(1);
    this.#view.setUint8(this.#start + this.at, value);
    this.at += 1;
    return this;
  }
  u16(value: number): this {
    this.#room(2);
    this.#view.setUint16(this.#start + this.at, value, true);
    this.at += 2;
    return this;
  }
  u32(value: number): this {
    this.#room(4);
    this.#view.setUint32(this.#start + this.at, value, true);
    this.at += 4;
    return this;
  }
  u64(value: bigint): this {
    this.#room(8);
    this.#view.setBigUint64(this.#start + this.at, value, true);
    this.at += 8;
    return this;
  }
  bytes(value: Uint8Array): this {
    this.#room(value.length);
    this.#octets.set(value, this.#start + this.at);
    this.at += value.length;
    return this;
  }
  zeros(count: number): this {
    this.#room(count);
    const from = this.#start + this.at;
    this.#octets.fill(0, from, from + count);
    this.at += count;
    return this;
  }
  align(boundary: number, origin = this.base): this {
    const past = (this.at - origin) % boundary;
    return past ? this.zeros(boundary - past) : this;
  }
  /** patch writes at an earlier position and comes back. */
  patch(at: number, write: () => void): void {
    const back = this.at;
    this.at = at;
    write();
    this.at = back;
  }
  /** done gives the octets written so far. */
  done(): Bytes {
    // What a small message left free at the end of its block serves the next one.
    if (this.#octets === block && this.#start + this.#capacity === used) {
      used = this.#start + this.at;
      this.#capacity = this.at;
    }
    return this.#octets.subarray(this.#start, this.#start + this.at);
  }
}
