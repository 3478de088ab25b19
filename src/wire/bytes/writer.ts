import type { Bytes } from './octets.ts';

/** Writer grows as it is written to, little-endian. `base` is the position that offsets inside the message count from. */
export class Writer {
  #octets: Bytes;
  #view: DataView;
  at = 0;
  base = 0;

  constructor(capacity = 256) {
    this.#octets = new Uint8Array(capacity);
    this.#view = new DataView(this.#octets.buffer);
  }

  #room(count: number): void {
    const wanted = this.at + count;
    if (wanted <= this.#octets.length) return;
    const grown = new Uint8Array(Math.max(wanted, this.#octets.length * 2));
    grown.set(this.#octets.subarray(0, this.at));
    this.#octets = grown;
    this.#view = new DataView(grown.buffer);
  }

  u8(value: number): this {
    this.#room(1);
    this.#view.setUint8(this.at, value);
    this.at += 1;
    return this;
  }
  u16(value: number): this {
    this.#room(2);
    this.#view.setUint16(this.at, value, true);
    this.at += 2;
    return this;
  }
  u32(value: number): this {
    this.#room(4);
    this.#view.setUint32(this.at, value, true);
    this.at += 4;
    return this;
  }
  u64(value: bigint): this {
    this.#room(8);
    this.#view.setBigUint64(this.at, value, true);
    this.at += 8;
    return this;
  }
  bytes(value: Uint8Array): this {
    this.#room(value.length);
    this.#octets.set(value, this.at);
    this.at += value.length;
    return this;
  }
  zeros(count: number): this {
    this.#room(count);
    this.#octets.fill(0, this.at, this.at + count);
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
  /** done gives the octets written so far; the writer must not be used after it. */
  done(): Bytes {
    return this.#octets.subarray(0, this.at);
  }
}
