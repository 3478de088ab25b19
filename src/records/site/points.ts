import type { Point, PointKind } from './point.ts';
import type { Site } from './record.ts';

/** Known is what a site knows of another one, or of itself. */
type Known = Pick<Site, 'code' | 'kind' | 'parent'> & Partial<Pick<Site, 'version'>>;

/** Branch is what one site knows of itself, of the others, and of where their points are. */
export interface Branch {
  here: Known;
  sites: readonly Known[];
  points: readonly Point[];
}

/** clientSiteOf is the site that the clients of a site belong to: a primary, so the parent where this is a secondary (design section 4). */
export function clientSiteOf({ code, kind, parent }: Pick<Site, 'code' | 'kind' | 'parent'>): string {
  return kind === 'secondary' ? (parent ?? code) : code;
}

/**
 * secondaryOf gives the secondary site whose boundaries hold a machine that is assigned to `assigned`, as far as clients of this site can
 * use its points: this site itself, or a secondary below it. A machine of another primary is no business of a secondary here.
 */
export function secondaryOf({ here, sites }: Omit<Branch, 'points'>, assigned: string | undefined): string | undefined {
  if (here.kind === 'secondary') return here.code;
  const site = assigned === undefined ? undefined : sites.find(({ code }) => code === assigned);
  return site?.kind === 'secondary' && site.parent === here.code ? site.code : undefined;
}

/**
 * pointsFor gives the points of a kind that the client of a machine uses, the one to ask first before the others (D1): those of the
 * secondary site in whose boundaries the machine is, where it has them (its proxy management point), and then those of the primary.
 */
export function pointsFor(kind: PointKind, branch: Branch, assigned: string | undefined): Point[] {
  const on = (code: string) => branch.points.filter((p) => p.site === code && p.kind === kind && p.on);
  const secondary = secondaryOf(branch, assigned);
  const first = secondary === undefined ? [] : on(secondary);
  return [...first, ...on(clientSiteOf(branch.here))];
}

/** primaryBelow gives the primary site below this one that a client came through: it has the client, and decides about it. */
export function primaryBelow({ here, sites }: Omit<Branch, 'points'>, viaSite: string | undefined): string | undefined {
  const via = sites.find(({ code }) => code === viaSite);
  return via?.kind === 'primary' && via.code !== here.code && via.code !== here.parent ? via.code : undefined;
}
