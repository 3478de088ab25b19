import { fromUtf16, Reader, toUtf16, u32, u64, Writer, type Bytes, type Codec } from '#wire/bytes';
import type { PeerNames } from './credential.ts';

/** AV holds the ids of AV_PAIR that we read or write, [MS-NLMP] 2.2.2.1. */
export const AV = {
  end: 0,
  netbiosComputer: 1,
  netbiosDomain: 2,
  dnsComputer: 3,
  dnsDomain: 4,
  dnsForest: 5,
  flags: 6,
  timestamp: 7,
  targetName: 9,
  channelBindings: 10,
} as const;

/** AV_FLAG_MIC in MsvAvFlags says that the AUTHENTICATE_MESSAGE carries a MIC. */
export const AV_FLAG_MIC = 2;

export interface AvPair {
  id: number;
  value: Bytes;
}

/** Far more than any server sends, and little enough that the echo of it fits the 16-bit length of the response. */
const MOST_OCTETS = 16_384;

function readPairs(from: Reader): AvPair[] {
  const pairs: AvPair[] = [];
  if (from.left > MOST_OCTETS) throw from.fail(`${from.left} octets of target information, at most ${MOST_OCTETS} are taken`);
  // A list that is not there at all is no damaged one; who needs it says so with a better sentence.
  while (from.left > 0) {
    const id = from.u16();
    const value = from.bytes(from.u16());
    if (id === AV.end) return pairs;
    if (pairs.some((pair) => pair.id === id)) throw from.fail(`AV_PAIR ${id} stands there twice`);
    pairs.push({ id, value: new Uint8Array(value) });
  }
  if (pairs.length > 0) throw from.fail('the list of AV_PAIRs has no end');
  return pairs;
}

/** avPairs is the list of AV_PAIR structures with its MsvAvEOL, [MS-NLMP] 2.2.2.1; the end is not part of the value. */
export const avPairs: Codec<AvPair[]> = {
  read: readPairs,
  write(to: Writer, pairs) {
    for (const { id, value } of pairs) to.u16(id).u16(value.length).bytes(value);
    to.u16(AV.end).u16(0);
  },
};

/** avPair finds the value of a pair. */
export function avPair(pairs: AvPair[], id: number): Bytes | undefined {
  return pairs.find((pair) => pair.id === id)?.value;
}

/** withPair gives the list with this pair set: in its place if it was there, else at the end. */
export function withPair(pairs: AvPair[], id: number, value: Bytes): AvPair[] {
  const there = pairs.some((pair) => pair.id === id);
  return there ? pairs.map((pair) => (pair.id === id ? { id, value } : pair)) : [...pairs, { id, value }];
}

/** octetsOf writes one number as the value of a pair. */
export function octetsOf(value: number | bigint): Bytes {
  const to = new Writer(8);
  if (typeof value === 'bigint') u64.write(to, value);
  else u32.write(to, value);
  return to.done();
}

/** avFlags is MsvAvFlags, 0 when it is not there. */
export function avFlags(pairs: AvPair[]): number {
  const value = avPair(pairs, AV.flags);
  return value === undefined ? 0 : numberOf(value, 'MsvAvFlags', u32);
}

/** avTimestamp is MsvAvTimestamp as a FILETIME, undefined when it is not there. */
export function avTimestamp(pairs: AvPair[]): bigint | undefined {
  const value = avPair(pairs, AV.timestamp);
  return value === undefined ? undefined : numberOf(value, 'MsvAvTimestamp', u64);
}

function numberOf<T>(value: Bytes, field: string, codec: Codec<T>): T {
  const from = new Reader(value, 'NTLM AV_PAIR');
  from.field = field;
  const number = codec.read(from);
  if (from.left > 0) throw from.fail(`${value.length} octets are too many`);
  return number;
}

/** 100 ns between 1601 and 1970, [MS-DTYP] 2.3.3. */
const EPOCH_1601 = 116_444_736_000_000_000n;

/** fileTimeOf is a date as a FILETIME. */
export function fileTimeOf(date: Date): bigint {
  return BigInt(date.getTime()) * 10_000n + EPOCH_1601;
}

const NAMES = ['netbiosComputer', 'netbiosDomain', 'dnsComputer', 'dnsDomain', 'dnsForest'] as const;

/** The longest DNS name; a NetBIOS name is shorter. */
const LONGEST_NAME = 255;

/**
 * What is in no name: control and format characters (which turn the order of letters around or hide them), line separators, and what stands
 * for half a character.
 */
const NOT_IN_NAMES = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\ufffd]/u;

/** A name goes into messages, logs and tables: what no machine can be called is not let in. */
function nameOf(value: Bytes, field: string): string {
  const name = fromUtf16(value);
  const isName = name.length <= LONGEST_NAME && !NOT_IN_NAMES.test(name);
  if (isName) return name;
  const from = new Reader(value.subarray(0, 32), 'NTLM AV_PAIR');
  from.field = field;
  throw from.fail(`${name.length} characters that are no name`);
}

/** namesOf is what a server says of itself in its target information. */
export function namesOf(pairs: AvPair[]): PeerNames {
  const peer: PeerNames = {};
  for (const name of NAMES) {
    const value = avPair(pairs, AV[name]);
    if (value !== undefined && value.length > 0) peer[name] = nameOf(value, name);
  }
  const timestamp = avTimestamp(pairs);
  if (timestamp !== undefined) peer.timestamp = new Date(Number((timestamp - EPOCH_1601) / 10_000n));
  return peer;
}

/** pairsOf is the target information that a server with these names sends. */
export function pairsOf(names: PeerNames, now: Date): AvPair[] {
  const pairs: AvPair[] = [];
  // The order that Windows sends them in: domain before computer.
  for (const name of ['netbiosDomain', 'netbiosComputer', 'dnsDomain', 'dnsComputer', 'dnsForest'] as const) {
    const text = names[name];
    if (text !== undefined) pairs.push({ id: AV[name], value: toUtf16(text) });
  }
  pairs.push({ id: AV.timestamp, value: octetsOf(fileTimeOf(now)) });
  return pairs;
}
