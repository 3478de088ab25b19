/** Bytes is what the wire carries; never a Node Buffer in a type, so that codecs run anywhere. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** toHex writes octets as lower-case hexadecimal digits. */
export function toHex(octets: Uint8Array): string {
  let text = '';
  for (const octet of octets) text += octet.toString(16).padStart(2, '0');
  return text;
}

/** fromHex reads hexadecimal digits; blanks and line breaks between them are skipped. */
export function fromHex(text: string): Bytes {
  const digits = text.replace(/\s+/g, '');
  const octets = new Uint8Array(digits.length >> 1);
  for (let i = 0; i < octets.length; i++) octets[i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return octets;
}

/** concat joins octet runs into a new one. */
export function concat(...parts: Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** bytesEqual compares two octet runs in a time that depends on their length only. */
export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

/** toUtf16 encodes text as UTF-16LE without a terminator. */
export function toUtf16(text: string): Bytes {
  const octets = new Uint8Array(text.length * 2);
  const view = new DataView(octets.buffer);
  for (let i = 0; i < text.length; i++) view.setUint16(2 * i, text.charCodeAt(i), true);
  return octets;
}

const utf16 = new TextDecoder('utf-16le', { ignoreBOM: true });

/** fromUtf16 decodes UTF-16LE; lone surrogates become U+FFFD, an odd last octet is dropped. */
export function fromUtf16(octets: Uint8Array): string {
  return utf16.decode(octets.subarray(0, octets.length & ~1));
}
