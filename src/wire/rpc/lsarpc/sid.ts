import type { Ndr } from '../ndr/index.ts';

const MOST_SUBAUTHORITIES = 15;

/** sid is RPC_SID ([MS-DTYP] 2.4.2.3) in its text form S-1-…; its count of subauthorities stands in front, as in any conformant structure. */
export const sid: Ndr<string> = {
  alignment: 4,
  size: 12,
  read(r, put) {
    const announced = r.count(4, MOST_SUBAUTHORITIES);
    const revision = r.u8();
    const count = r.u8();
    if (count !== announced) throw r.fail(`${count} subauthorities in a room of ${announced}`);
    let authority = 0;
    for (const octet of r.bytes(6)) authority = authority * 256 + octet;
    const parts: number[] = [];
    for (let i = 0; i < count; i++) parts.push(r.u32());
    put(['S', revision, authority, ...parts].join('-'));
  },
  write(w, text) {
    const [revision, authority, ...parts] = text.split('-').slice(1).map(Number) as [number, number, ...number[]];
    w.align(4).u32(parts.length).u8(revision).u8(parts.length);
    for (let shift = 40; shift >= 0; shift -= 8) w.u8(Math.floor(authority / 2 ** shift) % 256);
    for (const part of parts) w.u32(part);
  },
  empty: () => 'S-1-0-0',
};
