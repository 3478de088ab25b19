import { nameKey } from '#records/resource';
import { ipText, isLinkLocal, numberOf, readIp, type Ip } from './address.ts';
import type { BoundaryKind, Span } from './parse.ts';
import { Segments } from './segments.ts';

/** Boundary is what says that machines belong to a site, or, a roaming one, that they find content there. */
export interface Boundary {
  id: number;
  kind: BoundaryKind;
  value: string;
  site: string;
  roaming: boolean;
  createdAt: Date;
  span: Span | undefined;
  /** Its site was removed from the branch: it assigns nobody until the site is back. */
  idle: boolean;
}

/** boundaryText is a boundary as people write it. */
export function boundaryText({ kind, value }: Pick<Boundary, 'kind' | 'value'>): string {
  return `${kind}:${value}`;
}

/** Judged is the site of a machine, and by what it was found. */
export interface Judged {
  site: string;
  boundary: Boundary;
  /** The address that decided; undefined where the AD site did. */
  address: string | undefined;
}

/** Which explains to whom an address belongs (design section 6). */
export interface Which {
  address: string;
  site: string | null;
  boundary: string | null;
  kind: BoundaryKind | null;
  why: string;
  /** The other boundaries that hold the address, best first. */
  overlaps: { boundary: string; site: string; roaming: boolean; addresses: string }[];
  /** Where a client at this address finds content: the most specific boundary, roaming or not. */
  content: { site: string; boundary: string; roaming: boolean } | null;
}

/** An AD site stands for subnets that are not known here, so it comes after every boundary of addresses. */
const ENDLESS = 1n << 129n;

function sizeOf({ span }: Pick<Boundary, 'span'>): bigint {
  return span ? span.last - span.first + 1n : ENDLESS;
}

/** sizeText is how many addresses a boundary holds, in words that fit a line. */
function sizeText(boundary: Boundary): string {
  const size = sizeOf(boundary);
  if (size === ENDLESS) return 'an AD site';
  if (size < 1n << 32n) return `${size} address${size === 1n ? '' : 'es'}`;
  const bits = size.toString(2).length - 1;
  return `2^${bits} addresses`;
}

/** better orders boundaries: the most specific first, then by site code, then by what they say. It is the only rule of precedence. */
export function better(a: Boundary, b: Boundary): number {
  const [x, y] = [sizeOf(a), sizeOf(b)];
  if (x !== y) return x < y ? -1 : 1;
  if (a.site !== b.site) return a.site < b.site ? -1 : 1;
  const [s, t] = [boundaryText(a), boundaryText(b)];
  return s === t ? a.id - b.id : s < t ? -1 : 1;
}

/** reasonText says why one boundary comes before another. */
export function reasonText(winner: Boundary, other: Boundary): string {
  if (sizeOf(winner) !== sizeOf(other)) return `it is more specific: ${sizeText(winner)}, not ${sizeText(other)}`;
  if (winner.site !== other.site) return `both are equally specific, and site code ${winner.site} comes before ${other.site}`;
  return 'both are equally specific and of one site';
}

function isLower(a: Ip, b: Ip): boolean {
  return a.family === b.family ? numberOf(a.words) < numberOf(b.words) : a.family < b.family;
}

interface Tables {
  4: Segments;
  6: Segments;
}

function tablesOf(boundaries: readonly Boundary[], counts: (boundary: Boundary) => boolean): Tables {
  const of = (family: 4 | 6) =>
    new Segments(
      family,
      boundaries.flatMap((b, place) => (b.span?.family === family && counts(b) ? [{ place, span: b.span }] : [])),
    );
  return { 4: of(4), 6: of(6) };
}

/** BoundaryIndex is one state of all boundaries in memory, made for fast look-up. It never changes: another state is another index. */
export class BoundaryIndex {
  /** Best first; a boundary's place here is its rank. */
  readonly all: readonly Boundary[];
  /** Whether any boundary assigns machines; as long as none does, this part of the product is off. */
  readonly assigns: boolean;
  readonly #site: Tables;
  readonly #content: Tables;
  readonly #adSites = new Map<string, number>();

  /** Those of sites that were removed, which count nowhere; in the same order. */
  readonly idle: readonly Boundary[];
  /** The sites that were removed from the branch. */
  readonly removed: ReadonlySet<string>;

  constructor(boundaries: readonly Boundary[], removed: ReadonlySet<string> = new Set()) {
    this.removed = removed;
    this.all = boundaries.filter(({ idle }) => !idle).toSorted(better);
    this.idle = boundaries.filter(({ idle }) => idle).toSorted(better);
    this.assigns = this.all.some((b) => !b.roaming);
    this.#site = tablesOf(this.all, (b) => !b.roaming);
    this.#content = tablesOf(this.all, () => true);
    this.all.forEach((b, place) => {
      const key = nameKey(b.value);
      if (b.kind === 'adsite' && !b.roaming && !this.#adSites.has(key)) this.#adSites.set(key, place);
    });
  }

  /** siteOf gives the site boundary that an address belongs to. */
  siteOf(address: string): Boundary | undefined {
    const ip = readIp(address);
    return ip && !isLinkLocal(ip) ? this.all[this.#site[ip.family].find(ip.words)] : undefined;
  }

  /** holds tells whether any boundary, roaming or not, has an address. */
  holds(address: string): boolean {
    const ip = readIp(address);
    return ip !== undefined && this.#content[ip.family].find(ip.words) >= 0;
  }

  /**
   * judge gives the site of a machine. Each address is looked up by itself, link-local ones left out; the boundary that comes first in the
   * order of all boundaries wins, whatever the order in which the machine tells its addresses. Of two addresses in that boundary the lower
   * one is named. The AD site decides where no address does.
   */
  judge(machine: { addresses: readonly string[]; adSite?: string | undefined }): Judged | undefined {
    let best: { rank: number; ip: Ip; address: string } | undefined;
    for (const address of machine.addresses) {
      const ip = readIp(address);
      if (!ip || isLinkLocal(ip)) continue;
      const rank = this.#site[ip.family].find(ip.words);
      if (rank < 0 || (best && (best.rank < rank || (best.rank === rank && !isLower(ip, best.ip))))) continue;
      best = { rank, ip, address };
    }
    if (best) return this.#judged(best.rank, best.address);
    const rank = machine.adSite === undefined ? undefined : this.#adSites.get(nameKey(machine.adSite));
    return rank === undefined ? undefined : this.#judged(rank, undefined);
  }

  #judged(rank: number, address: string | undefined): Judged {
    const boundary = this.all[rank]!;
    return { site: boundary.site, boundary, address };
  }

  /** which explains to whom an address belongs; undefined when it is no address. */
  which(text: string): Which | undefined {
    const ip = readIp(text.trim());
    if (!ip) return undefined;
    const value = numberOf(ip.words);
    const holding = this.all.filter(
      ({ span }) => span !== undefined && span.family === ip.family && span.first <= value && value <= span.last,
    );
    const local = isLinkLocal(ip);
    const winner = local ? undefined : holding.find((b) => !b.roaming);
    const [content] = local ? [] : holding;
    return {
      address: ipText(value, ip.family),
      site: winner?.site ?? null,
      boundary: winner ? boundaryText(winner) : null,
      kind: winner?.kind ?? null,
      why: local ? 'a link-local address is the same on every network, so it tells no site' : whyOf(winner, holding),
      overlaps: holding
        .filter((b) => b !== winner)
        .map((b) => ({ boundary: boundaryText(b), site: b.site, roaming: b.roaming, addresses: sizeText(b) })),
      content: content ? { site: content.site, boundary: boundaryText(content), roaming: content.roaming } : null,
    };
  }
}

function whyOf(winner: Boundary | undefined, holding: readonly Boundary[]): string {
  if (!winner)
    return holding.length === 0
      ? 'no boundary holds it'
      : 'only roaming boundaries hold it, and those assign machines to no site';
  const [next, ...more] = holding.filter((b) => b !== winner && !b.roaming);
  if (!next) return `the only site boundary that holds it (${sizeText(winner)})`;
  const count = more.length === 0 ? 'another one' : `${more.length + 1} others`;
  return `it comes before ${count}: before ${boundaryText(next)} of site ${next.site} because ${reasonText(winner, next)}`;
}
