import type { Location, SiteInformation } from '#messages';
import type { BoundaryIndex } from '#records/boundary';
import type { Branch, PointKind } from '#records/site';

/** A build number has at most nine digits of the version. */
const LONGEST_BUILD = 9;

function addresses({ points }: Branch, site: string | undefined, kind: PointKind): string[] {
  return points.filter((p) => p.site === site && p.kind === kind && p.on).map(({ address }) => address);
}

/** locate tells to which site a machine in these addresses belongs and whom it talks to there; the rule of precedence is that of boundaries. */
export function locate(
  branch: Branch,
  index: BoundaryIndex,
  machine: { addresses: readonly string[]; adSite?: string },
): Location {
  const judged = index.judge(machine);
  if (!judged) return { managementPoints: [], proxyManagementPoints: [] };
  const held = branch.sites.find(({ code }) => code === judged.site);
  const secondary = held?.kind === 'secondary' ? held.code : undefined;
  // A secondary has no clients of its own: they are its primary's.
  const site = secondary === undefined ? judged.site : held?.parent;
  const version = branch.sites.find(({ code }) => code === site)?.version;
  const [fallbackStatusPoint] = addresses(branch, site, 'fsp');
  return {
    ...(site !== undefined && { site }),
    ...(secondary !== undefined && { secondary }),
    ...(version !== undefined && { version }),
    managementPoints: addresses(branch, site, 'mp'),
    proxyManagementPoints: secondary === undefined ? [] : addresses(branch, secondary, 'mp'),
    ...(fallbackStatusPoint !== undefined && { fallbackStatusPoint }),
  };
}

/** siteInformation is what is known here of a site; undefined where it is not. */
export function siteInformation(branch: Branch, code: string): SiteInformation | undefined {
  const site = branch.sites.find((one) => one.code === code);
  if (!site) return undefined;
  const { kind, parent, version } = site;
  const [fallbackStatusPoint] = addresses(branch, code, 'fsp');
  return {
    site: code,
    type: kind,
    ...(kind === 'secondary' && parent !== undefined && { parent }),
    ...(version !== undefined && { version, build: Number(version.replace(/\D/g, '').slice(0, LONGEST_BUILD)) }),
    managementPoints: addresses(branch, code, 'mp'),
    ...(fallbackStatusPoint !== undefined && { fallbackStatusPoint }),
  };
}
