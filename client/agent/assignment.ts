import { Unheard, type Contact } from '#client/contact';
import type { TargetHost } from '#client/host';
import type { ClientLog } from '#client/log';
import type { DeploymentState, SiteInformation } from '#messages';
import { askLocation, askSite, type Sources } from './location.ts';
import { compareVersions } from './version.ts';

/** AssignmentFailed is why a client belongs to no site, with the state id that the fallback status point hears (facts F7). */
export class AssignmentFailed extends Error {
  override name = 'AssignmentFailed';
  readonly state: DeploymentState;
  /** Nobody answered at all; then it is tried again as any other contact, and not only after ten minutes. */
  readonly unheard: Unheard | undefined;

  constructor(state: DeploymentState, message: string, unheard?: Unheard) {
    super(message);
    this.state = state;
    this.unheard = unheard;
  }
}

/** Assigned is the site this client belongs to from now on: always a primary. */
export interface Assigned {
  site: string;
  siteVersion: string;
  managementPoints: string[];
  fallbackStatusPoint?: string;
}

/** AssignmentWish is what is asked for: a site code or AUTO, whom to ask, and the version that must fit. */
export interface AssignmentWish {
  wanted: string;
  sources: Sources;
  product: string;
}

/**
 * assign finds the site and checks that it can take this client (facts E). A given code of a secondary means its primary; AUTO means the
 * primary whose site boundaries hold an address of this machine. A site that is older than the client, or whose version nobody tells, is
 * not taken: the original's clients of a newer release do not work with an older site.
 */
export async function assign(host: TargetHost, log: ClientLog, contact: Contact, wish: AssignmentWish): Promise<Assigned> {
  const wanted = wish.wanted.toUpperCase();
  const code = wanted === 'AUTO' ? await automatic(host, log, contact, wish.sources) : wanted;
  if (!/^[A-Z0-9]{3}$/.test(code)) throw new AssignmentFailed(602, `${code.slice(0, 16)} is no site code`);
  let site = await siteOf(host, contact, wish.sources, code);
  if (site.type === 'secondary') {
    if (site.parent === undefined)
      throw new AssignmentFailed(602, `${code} is a secondary site, and nobody tells of which primary`);
    log.info(`Site ${code} is a secondary; its clients belong to its primary ${site.parent}`);
    site = await siteOf(host, contact, wish.sources, site.parent);
  }
  const version = compatible(site, wish.product);
  if (site.managementPoints.length === 0)
    throw new AssignmentFailed(604, `site ${site.site} has no management point for its clients`);
  const { managementPoints, fallbackStatusPoint } = site;
  log.info(`Site ${site.site} of version ${version} can take this client of version ${wish.product}`);
  return {
    site: site.site,
    siteVersion: version,
    managementPoints,
    ...(fallbackStatusPoint !== undefined && { fallbackStatusPoint }),
  };
}

async function automatic(host: TargetHost, log: ClientLog, contact: Contact, sources: Sources): Promise<string> {
  const addresses = host.addresses().join(', ');
  const location = await askLocation(host, contact, sources);
  if (location instanceof Unheard)
    throw new AssignmentFailed(606, `nobody told which site this is: ${location.message}`, location);
  if (location.site === undefined)
    throw new AssignmentFailed(606, `no site has a boundary that holds this machine (${addresses})`);
  log.info(`The boundaries of site ${location.secondary ?? location.site} hold this machine (${addresses})`);
  return location.site;
}

async function siteOf(host: TargetHost, contact: Contact, sources: Sources, code: string): Promise<SiteInformation> {
  const answer = await askSite(host, contact, sources, code);
  if ('site' in answer) return answer.site;
  if ('unknown' in answer) throw new AssignmentFailed(602, `no site is called ${code}`);
  throw new AssignmentFailed(608, `the version of site ${code} could not be learned: ${answer.silent}`, answer.unheard);
}

/** compatible gives the version of a site that can take this client. */
function compatible({ site, version }: SiteInformation, product: string): string {
  if (version === undefined) throw new AssignmentFailed(608, `nobody tells the version of site ${site}`);
  if (compareVersions(product, product) === undefined)
    throw new AssignmentFailed(609, `this client has no version that can be compared (${product})`);
  const newer = compareVersions(product, version);
  if (newer === undefined) throw new AssignmentFailed(608, `the version of site ${site} is none (${version})`);
  if (newer > 0) throw new AssignmentFailed(607, `this client (${product}) is newer than site ${site} (${version})`);
  return version;
}
