import type { Bytes } from '#wire/bytes';

/** Rc4 is the RC4 key stream; NTLM needs it for key exchange and message signatures ([MS-NLMP] 3.4), and OpenSSL 3 no longer has it. */
export class Rc4 {
  readonly #box = new Uint8Array(256);
  #i = 0;
  #j = 0;

  constructor(key: Uint8Array) {
    const box = this.#box;
    for (let i = 0; i < 256; i++) box[i] = i;
    for (let i = 0, j = 0; i < 256; i++) {
      j = (j + box[i]! + key[i % key.length]!) & 255;
      [box[i], box[j]] = [box[j]!, box[i]!];
    }
  }

  /** apply encrypts or decrypts the next octets of the stream. */
  apply(octets: Uint8Array): Bytes {
    const box = this.#box;
    const out = new Uint8Array(octets.length);
    for (let at = 0; at < octets.length; at++) {
      this.#i = (this.#i + 1) & 255;
      this.#j = (this.#j + box[this.#i]!) & 255;
      [box[this.#i], box[this.#j]] = [box[this.#j]!, box[this.#i]!];
      out[at] = octets[at]! ^ box[(box[this.#i]! + box[this.#j]!) & 255]!;
    }
    return out;
  }
}
