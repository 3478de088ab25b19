import { Unheard, saidNo, type Contact } from '#client/contact';
import type { TargetHost } from '#client/host';
import { Location, MOST_ADDRESSES, SiteInformation, matches } from '#messages';

/** Sources are the points that may be asked for a location: management points, and server locator points. */
export interface Sources {
  managementPoints: readonly string[];
  locators: readonly string[];
}

/** SiteAnswer is a site, or that those who answered do not know it, or that nobody could tell and why. */
export type SiteAnswer = { site: SiteInformation } | { unknown: true } | { silent: string; unheard?: Unheard | undefined };

interface Place {
  point: string;
  path: string;
}

const placesOf = ({ managementPoints, locators }: Sources): Place[] => [
  ...managementPoints.map((point) => ({ point, path: '/ccm_system' })),
  ...locators.map((point) => ({ point, path: '/sms_slp' })),
];

/** locationQuery says where this machine is. */
function locationQuery(host: TargetHost): string {
  const query = new URLSearchParams();
  for (const address of host.addresses().slice(0, MOST_ADDRESSES)) query.append('address', address);
  return query.size > 0 ? `?${query.toString()}` : '';
}

/**
 * askLocation gives the site in whose boundaries this machine is, by the first source that answers with one; an answer without a site
 * when those that answered know none (a locator low in the hierarchy knows nothing above it, so the next is asked); or that nobody
 * answered.
 */
export async function askLocation(host: TargetHost, contact: Contact, sources: Sources): Promise<Location | Unheard> {
  let empty: Location | undefined;
  let unheard: Unheard | undefined;
  for (const { point, path } of placesOf(sources)) {
    const value = await answerOf(host, contact, point, `${path}/location${locationQuery(host)}`);
    if (value instanceof Unheard) unheard = later(unheard, value);
    if (value instanceof Unheard || !matches(Location, value)) continue;
    if (value.site !== undefined) return value;
    empty ??= value;
  }
  return empty ?? unheard ?? new Unheard([], undefined);
}

/** askSite gives what is known of a site. A source that does not know the version is passed over for one that does. */
export async function askSite(host: TargetHost, contact: Contact, sources: Sources, code: string): Promise<SiteAnswer> {
  let best: SiteAnswer = { silent: 'there is nobody to ask' };
  for (const { point, path } of placesOf(sources)) {
    const value = await answerOf(host, contact, point, `${path}/sites/${code}`);
    if (!(value instanceof Unheard) && matches(SiteInformation, value) && value.site === code) {
      if (value.version !== undefined) return { site: value };
      if (!('site' in best)) best = { site: value };
      continue;
    }
    if ('site' in best) continue;
    if (value instanceof Unheard && value.reasons.some((reason) => saidNo(reason, 'PP_SITE_UNKNOWN'))) best = { unknown: true };
    else if ('unknown' in best) continue;
    else if (value instanceof Unheard) best = { silent: value.message, unheard: later(best.unheard, value) };
    else best = { ...best, silent: `${point} gave no site information` };
  }
  return best;
}

/** later is the silence of two points: it has an end of its own only where both ask to wait, and then it is the earlier. */
function later(one: Unheard | undefined, other: Unheard): Unheard {
  const wait = one?.waitMs === undefined || other.waitMs === undefined ? undefined : Math.min(one.waitMs, other.waitMs);
  return one ? new Unheard([...one.reasons, ...other.reasons], wait) : other;
}

async function answerOf(host: TargetHost, contact: Contact, point: string, path: string): Promise<unknown> {
  try {
    const { value } = await contact.ask([point], { path }, () => false);
    return value;
  } catch (error) {
    host.signal.throwIfAborted();
    if (error instanceof Unheard) return error;
    throw error;
  }
}
