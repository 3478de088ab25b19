import { isIP } from 'node:net';
import { raise } from '#base/errors';
import { nameKey, shownName } from '#records/resource';
import { ipText, isLinkLocal, numberOf, readIp, wordsOf } from './address.ts';

export type BoundaryKind = 'subnet' | 'range' | 'ipv6' | 'adsite';

/** Span is a boundary's addresses, from the first to the last. */
export interface Span {
  family: 4 | 6;
  first: bigint;
  last: bigint;
}

/** Parsed is what a boundary says, in its one usual form. */
export interface Parsed {
  kind: BoundaryKind;
  value: string;
  /** What is compared: two boundaries of one kind and key are the same one. */
  key: string;
  /** Its addresses; an AD site has none that are known here. */
  span: Span | undefined;
}

/** An AD site is a label in the names of service records, so it has the length of one (RFC 1035 section 2.3.4). */
const AD_SITE = 63;

/** The reason is for the administrator who wrote the boundary. */
class BadBoundary extends Error {}

function wrong(why: string): never {
  throw new BadBoundary(why);
}

function address(text: string, family: 4 | 6): bigint {
  const given = text.trim();
  if (isIP(given.split('%', 1)[0]!) !== family) wrong(`${shownName(given) || 'what is left'} is not an IPv${family} address`);
  if (given.includes('%')) wrong('a zone (what stands behind the %) is an interface of one machine');
  const ip = readIp(given)!;
  // readIp takes an IPv4 address out of its IPv6 form; a boundary is written as what it is.
  if (ip.family !== family) {
    const plain = ipText(numberOf(ip.words), 4);
    wrong(`it is an IPv4 address in the form of IPv6; write it as a subnet or a range of IPv4, like subnet:${plain}/32`);
  }
  return numberOf(ip.words);
}

function prefixLength(text: string, bits: number): number {
  if (!/^\d{1,3}$/.test(text)) wrong(`${shownName(text) || 'nothing'} behind the slash is no length of a prefix`);
  const length = Number(text);
  if (length > bits) wrong(`a prefix has at most ${bits} bits, not ${length}`);
  return length;
}

/** A mask as SMS 2003 shows it beside the subnet's ID: ones first, then zeros. */
function maskLength(text: string): number {
  const mask = address(text, 4);
  const host = ~mask & 0xffff_ffffn;
  if ((host & (host + 1n)) !== 0n) wrong(`${text} is not a subnet mask: it has ones behind zeros`);
  return 32 - host.toString(2).replace(/^0$/, '').length;
}

function network(kind: BoundaryKind, base: string, tail: string, family: 4 | 6): Parsed {
  const bits = family === 4 ? 32 : 128;
  const first = address(base, family);
  const length = family === 4 && tail.includes('.') ? maskLength(tail) : prefixLength(tail, bits);
  const size = 1n << BigInt(bits - length);
  const start = first - (first % size);
  if (start !== first)
    wrong(`${ipText(first, family)} has bits set behind the mask; the network is ${ipText(start, family)}/${length}`);
  const value = `${ipText(first, family)}/${length}`;
  return { kind, value, key: value, span: { family, first, last: first + size - 1n } };
}

function subnet(text: string): Parsed {
  if (text.includes(':')) {
    const mapped = readIp(text.split('/', 1)[0]!.trim())?.family === 4;
    if (mapped) address(text.split('/', 1)[0]!, 6);
    wrong('a subnet is one of IPv4; an IPv6 prefix is written ipv6:PREFIX/LENGTH');
  }
  const [base, tail, ...more] = text.split(/\s*[/,]\s*/);
  if (tail === undefined || more.length > 0)
    wrong('a subnet is written NETWORK/LENGTH or NETWORK/MASK, like 10.1.0.0/16 or 10.1.0.0/255.255.0.0');
  return network('subnet', base!, tail, 4);
}

function ipv6(text: string): Parsed {
  const [base, tail, ...more] = text.split('/');
  if (!base!.includes(':')) wrong('an IPv6 prefix holds colons; one of IPv4 is written subnet:NETWORK/LENGTH');
  if (tail === undefined || more.length > 0) wrong('an IPv6 prefix is written PREFIX/LENGTH, like 2001:db8:1::/48');
  return network('ipv6', base!, tail.trim(), 6);
}

function range(text: string): Parsed {
  if (text.includes(':')) wrong('a range is one of IPv4 addresses; an IPv6 prefix is written ipv6:PREFIX/LENGTH');
  const [from, to, ...more] = text.split('-');
  if (to === undefined || more.length > 0) wrong('a range is written FIRST-LAST, like 10.1.0.10-10.1.0.99');
  const [first, last] = [address(from!, 4), address(to, 4)];
  if (first > last) wrong(`it ends before it begins; the other way round it is ${ipText(last, 4)}-${ipText(first, 4)}`);
  const value = `${ipText(first, 4)}-${ipText(last, 4)}`;
  return { kind: 'range', value, key: value, span: { family: 4, first, last } };
}

function adsite(text: string): Parsed {
  if (text === '') wrong('it has no name');
  if (text.length > AD_SITE) wrong(`the name of an AD site has at most ${AD_SITE} characters, not ${text.length}`);
  if (!/^[\p{L}\p{N}_-]+$/u.test(text)) wrong('the name of an AD site has letters, digits, hyphens and underscores only');
  return { kind: 'adsite', value: text, key: nameKey(text), span: undefined };
}

const KINDS = new Map<string, (text: string) => Parsed>(Object.entries({ subnet, range, ipv6, adsite }));

function parsed(text: string): Parsed {
  const colon = text.indexOf(':');
  const read = KINDS.get(text.slice(0, Math.max(colon, 0)).trim().toLowerCase());
  if (!read || colon < 0) wrong('it begins with none of subnet:, range:, ipv6:, adsite:');
  const result = read(text.slice(colon + 1).trim());
  const { span } = result;
  if (span && isLinkLocal({ family: span.family, words: wordsOf(span.first, span.family) }))
    wrong('link-local addresses are the same on every network, so they tell no site');
  return result;
}

/** parseBoundary reads KIND:VALUE, or raises PP_BOUNDARY_VALUE with what is wrong and how it is written right. */
export function parseBoundary(text: string): Parsed {
  try {
    return parsed(text);
  } catch (error) {
    if (error instanceof BadBoundary) throw raise('PP_BOUNDARY_VALUE', { boundary: shownName(text), why: error.message });
    throw error;
  }
}
