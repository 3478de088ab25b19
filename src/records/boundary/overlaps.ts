import { better, boundaryText, reasonText, type Boundary } from './lookup.ts';

/** Overlap is two boundaries that hold an address together. */
export interface Overlap {
  /** The one that counts there. */
  boundary: string;
  site: string;
  roaming: boolean;
  other: string;
  otherSite: string;
  otherRoaming: boolean;
  why: string;
  /** Both assign machines, and to different sites: somebody may have meant something else. */
  contradictory: boolean;
}

/** Found is a list of overlaps, and whether it ends there because it grew too long. */
export interface Found {
  items: Overlap[];
  more: boolean;
}

/** So many pairs are looked at; a table in which everything lies in everything else has millions. */
const LOOKED_AT = 2_000_000;

function overlapOf(a: Boundary, b: Boundary): Overlap {
  // Where one of them only roams, the other one assigns.
  const [winner, other] = a.roaming === b.roaming ? (better(a, b) < 0 ? [a, b] : [b, a]) : a.roaming ? [b, a] : [a, b];
  return {
    boundary: boundaryText(winner),
    site: winner.site,
    roaming: winner.roaming,
    other: boundaryText(other),
    otherSite: other.site,
    otherRoaming: other.roaming,
    why: winner.roaming === other.roaming ? reasonText(winner, other) : 'a roaming boundary assigns no machine',
    contradictory: !a.roaming && !b.roaming && a.site !== b.site,
  };
}

/** overlapsOf gives the pairs of boundaries that overlap, contradictory ones first; `only` picks among the pairs. */
export function overlapsOf(
  boundaries: readonly Boundary[],
  o: { only?: (a: Boundary, b: Boundary) => boolean; limit: number },
): Found {
  const { only = () => true, limit } = o;
  const strong: Overlap[] = [];
  const weak: Overlap[] = [];
  let looks = 0;
  const keep = (a: Boundary, b: Boundary): boolean => {
    if (++looks > LOOKED_AT || strong.length > limit) return false;
    if (!only(a, b)) return true;
    const overlap = overlapOf(a, b);
    if (overlap.contradictory) strong.push(overlap);
    else if (weak.length <= limit) weak.push(overlap);
    return true;
  };
  const walk = () => {
    for (const pair of pairs(boundaries)) if (!keep(...pair)) return;
  };
  walk();
  const items = [...strong, ...weak];
  return { items: items.slice(0, limit), more: items.length > limit || looks > LOOKED_AT };
}

/** pairs gives all boundaries that have an address, or an AD site, in common, each pair once. */
function* pairs(boundaries: readonly Boundary[]): Generator<[Boundary, Boundary]> {
  for (const family of [4, 6] as const) {
    const sorted = boundaries.filter(({ span }) => span?.family === family);
    sorted.sort((a, b) => (a.span!.first === b.span!.first ? 0 : a.span!.first < b.span!.first ? -1 : 1));
    let open: Boundary[] = [];
    for (const next of sorted) {
      open = open.filter(({ span }) => span!.last >= next.span!.first);
      for (const one of open) yield [one, next];
      open.push(next);
    }
  }
  const adSites = Map.groupBy(
    boundaries.filter(({ kind }) => kind === 'adsite'),
    ({ value }) => value.toUpperCase(),
  );
  for (const same of adSites.values())
    for (let i = 0; i < same.length; i++) for (let j = i + 1; j < same.length; j++) yield [same[i]!, same[j]!];
}
