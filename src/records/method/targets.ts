import { isIP } from 'node:net';
import { raise } from '#base/errors';
import { ipText, numberOf, readIp } from '#records/boundary';
import { shownName } from '#records/resource';

/** So many addresses one run asks at most: a /12 of IPv4. A larger network is asked in parts, whose lengths somebody has thought about. */
const MOST = 1 << 20;
/** So many lines of targets one run takes. */
const MOST_LINES = 10_000;
const V4_BITS = 32;
const V6_BITS = 128;

interface Span {
  family: 4 | 6;
  first: bigint;
  last: bigint;
}

/** What no machine can have as its own address: RFC 1122 section 3.2.1.3, RFC 5771, RFC 4291 section 2.7. */
const NOBODY: { what: string; family: 4 | 6; first: bigint; last: bigint }[] = [
  { what: '0.0.0.0/8 is no network', family: 4, first: 0n, last: 0x00ff_ffffn },
  { what: '224.0.0.0 and beyond are multicast and reserved', family: 4, first: 0xe000_0000n, last: 0xffff_ffffn },
  { what: ':: is no machine', family: 6, first: 0n, last: 0n },
  { what: 'ff00::/8 is multicast', family: 6, first: 0xffn << 120n, last: (1n << 128n) - 1n },
  {
    what: 'link-local addresses (fe80::/10) mean another machine on each interface',
    family: 6,
    first: 0xfe80n << 112n,
    last: (0xfec0n << 112n) - 1n,
  },
];

function addressOf(text: string, fail: (why: string) => never): { family: 4 | 6; value: bigint } {
  const given = text.trim();
  const ip = isIP(given) === 0 || given.includes('%') ? undefined : readIp(given);
  if (!ip) return fail(`${shownName(given) || 'nothing'} is not an IP address`);
  return { family: ip.family, value: numberOf(ip.words) };
}

function prefix(text: string, isExclusion: boolean, fail: (why: string) => never): Span {
  const [base, tail, ...more] = text.split('/');
  if (more.length > 0 || !/^\d{1,3}$/.test(tail!.trim())) fail('a network is written ADDRESS/LENGTH, like 10.1.0.0/16');
  const { family, value } = addressOf(base!, fail);
  const bits = family === 4 ? V4_BITS : V6_BITS;
  const length = Number(tail);
  if (length > bits) fail(`a prefix has at most ${bits} bits, not ${length}`);
  const size = 1n << BigInt(bits - length);
  const first = value - (value % size);
  if (first !== value) fail(`it has bits set behind the mask; the network is ${ipText(first, family)}/${length}`);
  const last = first + size - 1n;
  // The first address of a subnet of IPv4 is the network itself and the last one means all of its machines; nobody has them.
  const hasEnds = family === 4 && length <= 30 && !isExclusion;
  return hasEnds ? { family, first: first + 1n, last: last - 1n } : { family, first, last };
}

function spanOf(text: string, isExclusion: boolean): Span {
  const fail = (why: string): never => {
    throw raise('PP_DISCOVERY_TARGET', { target: shownName(text), why });
  };
  if (text.includes('/')) return prefix(text, isExclusion, fail);
  const [from, to, ...more] = text.split('-');
  if (more.length > 0) fail('a range is written FIRST-LAST, like 10.1.0.10-10.1.0.99');
  const first = addressOf(from!, fail);
  if (to === undefined) return { family: first.family, first: first.value, last: first.value };
  const last = addressOf(to, fail);
  if (first.family !== last.family) fail('it begins as IPv4 and ends as IPv6, or the other way round');
  if (first.value > last.value) fail('it ends before it begins');
  return { family: first.family, first: first.value, last: last.value };
}

function refuseNobody(text: string, span: Span): void {
  const nobody = NOBODY.find((one) => one.family === span.family && span.first <= one.last && span.last >= one.first);
  if (nobody) throw raise('PP_DISCOVERY_TARGET', { target: shownName(text), why: nobody.what });
}

/** merged brings spans in order and joins those that overlap, so that no address is asked twice. */
function merged(spans: Span[]): Span[] {
  const result: Span[] = [];
  const order = [...spans].sort((a, b) => a.family - b.family || (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  for (const span of order) {
    const before = result.at(-1);
    if (before && before.family === span.family && span.first <= before.last + 1n) {
      if (span.last > before.last) before.last = span.last;
    } else result.push({ ...span });
  }
  return result;
}

function without(spans: Span[], excluded: Span[]): Span[] {
  let left = spans;
  for (const hole of excluded)
    left = left.flatMap((span) => {
      if (span.family !== hole.family || hole.last < span.first || hole.first > span.last) return [span];
      const parts: Span[] = [];
      if (span.first < hole.first) parts.push({ ...span, last: hole.first - 1n });
      if (span.last > hole.last) parts.push({ ...span, first: hole.last + 1n });
      return parts;
    });
  return left;
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

/**
 * Targets are the addresses that a run asks, without making a list of them. They are asked in an order of their own, with neighbours far
 * apart, so that no single subnet or router gets all of the connections of one moment.
 */
export class Targets {
  readonly count: number;
  readonly #spans: { family: 4 | 6; first: bigint; from: number }[] = [];
  readonly #stride: number;

  /** It raises PP_DISCOVERY_TARGET or PP_DISCOVERY_TOO_MANY. */
  constructor(include: readonly string[], exclude: readonly string[] = []) {
    if (include.length + exclude.length > MOST_LINES)
      throw raise('PP_DISCOVERY_TARGET', { target: 'the list', why: `it has more than ${MOST_LINES} lines` });
    const wanted = include.map((text) => {
      const span = spanOf(text, false);
      refuseNobody(text, span);
      return span;
    });
    const spans = without(
      merged(wanted),
      exclude.map((text) => spanOf(text, true)),
    );
    const total = spans.reduce((sum, { first, last }) => sum + (last - first + 1n), 0n);
    if (total > BigInt(MOST)) throw raise('PP_DISCOVERY_TOO_MANY', { count: total.toString(), most: MOST });
    let from = 0;
    for (const { family, first, last } of spans) {
      this.#spans.push({ family, first, from });
      from += Number(last - first + 1n);
    }
    this.count = from;
    let stride = Math.max(1, Math.round(from * 0.618));
    while (from > 0 && greatestDivisor(stride, from) !== 1) stride++;
    this.#stride = stride;
  }

  /** has tells whether an address is among them. */
  has(address: string): boolean {
    const ip = readIp(address);
    if (!ip) return false;
    const value = numberOf(ip.words);
    return this.#spans.some(({ family, first, from }, i) => {
      const size = (this.#spans[i + 1]?.from ?? this.count) - from;
      return family === ip.family && value >= first && value < first + BigInt(size);
    });
  }

  /** at gives the address that is asked as the `n`th, counted from 0. */
  at(n: number): string {
    const place = (n * this.#stride) % this.count;
    let low = 0;
    let high = this.#spans.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#spans[middle]!.from <= place) low = middle;
      else high = middle - 1;
    }
    const { family, first, from } = this.#spans[low]!;
    return ipText(first + BigInt(place - from), family);
  }
}
