/**
 * Measures look-ups of addresses among boundaries: `node bench/boundary.ts [boundaries]` (default 5,000). It makes subnets, ranges and IPv6
 * prefixes that lie in each other, looks addresses up as text, as discovery has them, and judges machines with four addresses. It prints
 * look-ups a second, what building the index costs, and how the heap stands before and after. No database, no network.
 */
import { systemClock } from '#base/clock';
import { BoundaryIndex, parseBoundary, type Boundary } from '#records/boundary';

const COUNT = Number(process.argv[2] ?? 5000);
const LOOKUPS = 4_000_000;
const ADDRESSES = 1 << 16;
const ROUNDS = 3;

const say = (line: string) => process.stdout.write(`${line}\n`);
const clock = systemClock;

// A fixed sequence, so that two runs measure the same thing.
let seed = 42;
const next = (n: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % n;
const dotted = (v: number) => `${v >>> 24}.${(v >>> 16) & 255}.${(v >>> 8) & 255}.${v & 255}`;
const hex = () => next(65_536).toString(16);

function boundaryText(i: number): string {
  const at = 10 * 2 ** 24 + next(2 ** 24);
  if (i % 10 === 0)
    return `ipv6:2001:db8:${(next(4096) * 16).toString(16)}::/${44 + next(5)}`.replace(/:(\w+)::\/4[4-7]$/, ':$1::/48');
  if (i % 4 === 0) return `range:${dotted(at)}-${dotted(Math.min(at + next(4096), 11 * 2 ** 24 - 1))}`;
  const length = 14 + next(15);
  return `subnet:${dotted((at - (at % 2 ** (32 - length))) >>> 0)}/${length}`;
}

const SITES = Array.from({ length: 250 }, (_, i) => `S${String(i).padStart(2, '0')}`.slice(0, 3));
const boundaries = Array.from({ length: COUNT }, (_, i): Boundary => {
  const { kind, value, span } = parseBoundary(boundaryText(i));
  return {
    id: i,
    kind,
    value,
    span,
    site: SITES[next(SITES.length)]!,
    roaming: i % 20 === 0,
    createdAt: clock.now(),
    idle: false,
  };
});

function perSecond(what: string, count: number, work: () => number): void {
  let best = 0;
  let found = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const from = clock.monotonic();
    found = work();
    best = Math.max(best, (count / (clock.monotonic() - from)) * 1000);
  }
  say(`${what}: ${Math.round(best).toLocaleString('en')}/s (${((found / count) * 100).toFixed(0)} % in a boundary)`);
}

const heap = () => {
  globalThis.gc?.();
  return (process.memoryUsage().heapUsed / 1_048_576).toFixed(1);
};

const before = clock.monotonic();
const index = new BoundaryIndex(boundaries);
say(`${COUNT} boundaries: index built in ${(clock.monotonic() - before).toFixed(0)} ms`);

const v4 = Array.from({ length: ADDRESSES }, () => dotted(10 * 2 ** 24 + next(2 ** 24)));
const v6 = Array.from({ length: ADDRESSES }, () => `2001:db8:${hex()}:${hex()}::${hex()}`);
const machines = Array.from({ length: ADDRESSES }, (_, i) => ({
  addresses: [v4[i]!, '169.254.3.4', v6[i]!, v4[(i + 1) % ADDRESSES]!],
  adSite: undefined,
}));

const many = (addresses: readonly string[]) => () => {
  let found = 0;
  for (let i = 0; i < LOOKUPS; i++) if (index.siteOf(addresses[i & (ADDRESSES - 1)]!)) found++;
  return found;
};
say(`heap before: ${heap()} MB${globalThis.gc ? '' : ' (run with --expose-gc for figures without garbage)'}`);
perSecond('IPv4 look-ups', LOOKUPS, many(v4));
perSecond('IPv6 look-ups', LOOKUPS, many(v6));
perSecond('machines with four addresses judged', LOOKUPS / 4, () => {
  let found = 0;
  for (let i = 0; i < LOOKUPS / 4; i++) if (index.judge(machines[i & (ADDRESSES - 1)]!)) found++;
  return found;
});
say(`heap after: ${heap()} MB`);
