import { canonicalAddress } from '#records/resource';

/** Ip is an address taken apart: one word of 32 bits for IPv4, four for IPv6. */
export interface Ip {
  family: 4 | 6;
  words: Uint32Array;
}

const DOT = 46;
const ZERO = 48;
const COLON = 58;

/** ipv4 gives the number of an IPv4 address in dotted form, or -1; a part with a leading zero is refused, because some read it as octal. */
function ipv4(text: string): number {
  let value = 0;
  let part = 0;
  let digits = 0;
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      if (digits === 0 || ++dots > 3) return -1;
      value = value * 256 + part;
      part = 0;
      digits = 0;
      continue;
    }
    const digit = code - ZERO;
    if (digit < 0 || digit > 9 || (digits > 0 && part === 0)) return -1;
    part = part * 10 + digit;
    if (++digits > 3 || part > 255) return -1;
  }
  return dots === 3 && digits > 0 ? value * 256 + part : -1;
}

function hexDigit(code: number): number {
  if (code >= ZERO && code <= 57) return code - ZERO;
  const lower = code | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** ipv6 writes the four words of an IPv6 address in pure hexadecimal form; false when it is written otherwise or is none. */
function ipv6(text: string, words: Uint32Array): boolean {
  const groups = new Uint16Array(8);
  let count = 0;
  let gap = -1;
  let value = 0;
  let digits = 0;
  let i = 0;
  if (text.startsWith('::')) {
    gap = 0;
    i = 2;
  }
  for (; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code !== COLON) {
      const digit = hexDigit(code);
      if (digit < 0 || ++digits > 4) return false;
      value = value * 16 + digit;
      continue;
    }
    if (digits === 0) {
      if (gap >= 0 || count === 0 || text.charCodeAt(i - 1) !== COLON) return false;
      gap = count;
      continue;
    }
    if (count === 8) return false;
    groups[count++] = value;
    value = 0;
    digits = 0;
    if (i === text.length - 1) return false;
  }
  if (digits > 0) {
    if (count === 8) return false;
    groups[count++] = value;
  }
  if (gap >= 0 ? count > 7 : count !== 8) return false;
  if (gap >= 0) {
    groups.copyWithin(8 - (count - gap), gap, count);
    groups.fill(0, gap, 8 - (count - gap));
  }
  for (let w = 0; w < 4; w++) words[w] = groups[2 * w]! * 65_536 + groups[2 * w + 1]!;
  return true;
}

/** isMapped tells an IPv4 address in the form of IPv6, `::ffff:10.1.2.3` (RFC 4291 section 2.5.5.2). */
export function isMapped(words: Uint32Array): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
}

/** readIp takes an address apart; an IPv4 address in the form of IPv6 is the IPv4 address. undefined when it is none. */
export function readIp(text: string): Ip | undefined {
  const v4 = ipv4(text);
  if (v4 >= 0) return { family: 4, words: Uint32Array.of(v4) };
  if (!text.includes(':')) return undefined;
  const words = new Uint32Array(4);
  if (!ipv6(text, words)) {
    const usual = canonicalAddress(text);
    if (usual === undefined || !ipv6(usual, words)) return undefined;
  }
  return isMapped(words) ? { family: 4, words: words.slice(3) } : { family: 6, words };
}

/** numberOf gives the words of an address as one number. */
export function numberOf(words: Uint32Array): bigint {
  return words.reduce((sum, word) => (sum << 32n) | BigInt(word), 0n);
}

/** wordsOf gives a number as the words of an address. */
export function wordsOf(value: bigint, family: 4 | 6): Uint32Array {
  const words = new Uint32Array(family === 4 ? 1 : 4);
  for (let i = words.length - 1, rest = value; i >= 0; i--, rest >>= 32n) words[i] = Number(rest & 0xffff_ffffn);
  return words;
}

/** ipText writes an address in its one usual form. */
export function ipText(value: bigint, family: 4 | 6): string {
  const words = wordsOf(value, family);
  if (family === 4) return [24, 16, 8, 0].map((shift) => (words[0]! >>> shift) & 255).join('.');
  const groups = [...words].flatMap((word) => [(word >>> 16).toString(16), (word & 0xffff).toString(16)]);
  return canonicalAddress(groups.join(':'))!;
}

/** isLinkLocal tells addresses that are the same on every network: 169.254.0.0/16 (RFC 3927) and fe80::/10 (RFC 4291). */
export function isLinkLocal({ family, words }: Ip): boolean {
  return family === 4 ? words[0]! >>> 16 === 0xa9fe : words[0]! >>> 22 === 0x3fa;
}
