import type { Bytes } from '#wire/bytes';

/** Order and shifts of the 48 steps, [RFC 1320] 3.4. */
const WORDS = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15],
  [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15],
] as const;
const SHIFTS = [
  [3, 7, 11, 19],
  [3, 5, 9, 13],
  [3, 9, 11, 15],
] as const;
const ADDENDS = [0, 0x5a827999, 0x6ed9eba1] as const;

const MIX = [
  (x: number, y: number, z: number) => (x & y) | (~x & z),
  (x: number, y: number, z: number) => (x & y) | (x & z) | (y & z),
  (x: number, y: number, z: number) => x ^ y ^ z,
] as const;

/** The message, 0x80, zeros up to 56 modulo 64, and its length in bits: [RFC 1320] 3.1, 3.2. */
function padded(message: Uint8Array): DataView {
  const octets = new Uint8Array(((message.length + 8) >> 6) * 64 + 64);
  octets.set(message);
  octets[message.length] = 0x80;
  const view = new DataView(octets.buffer);
  view.setBigUint64(octets.length - 8, BigInt(message.length) * 8n, true);
  return view;
}

/** md4 is the digest of [RFC 1320]; Windows makes the NT hash of a password with it, and OpenSSL 3 no longer has it. Good for nothing else. */
export function md4(message: Uint8Array): Bytes {
  const input = padded(message);
  let state: [number, number, number, number] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
  for (let block = 0; block < input.byteLength; block += 64) {
    let [a, b, c, d] = state;
    for (let round = 0; round < 3; round++) {
      for (let step = 0; step < 16; step++) {
        const word = input.getInt32(block + 4 * WORDS[round]![step]!, true);
        const sum = (a + MIX[round]!(b, c, d) + word + ADDENDS[round]!) | 0;
        const shift = SHIFTS[round]![step % 4]!;
        [a, b, c, d] = [d, (sum << shift) | (sum >>> (32 - shift)), b, c];
      }
    }
    state = [(state[0] + a) | 0, (state[1] + b) | 0, (state[2] + c) | 0, (state[3] + d) | 0];
  }
  const digest = new Uint8Array(16);
  const view = new DataView(digest.buffer);
  state.forEach((word, i) => view.setInt32(4 * i, word, true));
  return digest;
}
