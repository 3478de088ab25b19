import { fromHex, toHex, type Codec } from '#wire/bytes';

/** uuidOctets gives the 16 octets of a UUID as DCE sends it: the first three groups little-endian. */
export function uuidOctets(text: string): Uint8Array {
  const plain = fromHex(text.replaceAll('-', ''));
  if (plain.length !== 16) throw new RangeError(`not a UUID: ${text}`);
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return Uint8Array.from(order, (from) => plain[from]!);
}

/** uuidText gives the lower-case text of 16 octets as DCE sends them. */
export function uuidText(octets: Uint8Array): string {
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  const hex = toHex(Uint8Array.from(order, (from) => octets[from]!));
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** uuid is a UUID in its text form. */
export const uuid: Codec<string> = {
  read: (r) => uuidText(r.bytes(16)),
  write: (w, value) => void w.bytes(uuidOctets(value)),
};
