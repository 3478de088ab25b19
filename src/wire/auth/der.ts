import { concat, Reader, type Bytes } from '#wire/bytes';

/** TAG holds the identifier octets of X.690 that SPNEGO uses. */
export const TAG = {
  octetString: 0x04,
  oid: 0x06,
  enumerated: 0x0a,
  generalString: 0x1b,
  sequence: 0x30,
  application0: 0x60,
  /** context is the constructed tag [n]. */
  context: (n: number) => 0xa0 + n,
} as const;

/** der writes one element with a definite length, X.690 8.1. */
export function der(tag: number, ...contents: Uint8Array[]): Bytes {
  const length = contents.reduce((sum, part) => sum + part.length, 0);
  const octets: number[] = [];
  if (length >= 0x80) for (let left = length; left > 0; left = Math.floor(left / 256)) octets.unshift(left & 255);
  const head = length < 0x80 ? [tag, length] : [tag, 0x80 | octets.length, ...octets];
  return concat(Uint8Array.from(head), ...contents);
}

/** peekTag is the tag of the next element, or undefined at the end of the part. */
export function peekTag(from: Reader): number | undefined {
  return from.left > 0 ? from.octets[from.at] : undefined;
}

/** element takes the next element, which must have this tag, and gives a reader over its contents. */
export function element(from: Reader, tag: number, field: string): Reader {
  from.field = field;
  const at = from.at;
  const found = from.u8();
  if (found !== tag) throw from.fail(`tag ${found.toString(16)} where ${tag.toString(16)} must stand`, at);
  let length = from.u8();
  if (length >= 0x80) {
    // Four octets are more than any message can hold; the indefinite form (0x80) is no DER.
    const count = length & 0x7f;
    if (count === 0 || count > 4) throw from.fail(`length in ${count} octets`, at + 1);
    length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + from.u8();
  }
  const start = from.at;
  from.skip(length);
  const part = new Reader(from.octets, from.message, { at: start, end: from.at, base: from.base });
  part.field = field;
  return part;
}
