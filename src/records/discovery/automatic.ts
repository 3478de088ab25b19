import type { CcrState } from '#records/ccr';
import { isLive } from '#records/ccr';
import type { Device } from '#records/resource';
import type { SiteSettings } from '#records/site';

/** AutomaticFacts is what a site knows of a machine when it decides whether site-wide push takes it. */
export interface AutomaticFacts {
  /** The site that decides. */
  site: string;
  push: Pick<SiteSettings['push'], 'enabled' | 'systems' | 'siteSystems'>;
  device: Pick<Device, 'assignedSite' | 'trusted' | 'type' | 'client'>;
  /** The pattern of the site's list of machines that are never pushed to, where one fits. */
  excludedBy: string | undefined;
  /** A point of a site stands on the machine. */
  isSiteSystem: boolean;
  /** The newest CCR of the machine; withdrawn by site-wide push itself, it keeps nobody from another one. */
  ccr: { state: CcrState; finishedAt: Date | undefined; withdrawn?: boolean } | undefined;
  /** So many days pass after a CCR ended before another one is made by itself. */
  againDays: number;
  now: Date;
}

/** Automatic is whether site-wide push takes a machine, and why. */
export interface Automatic {
  push: boolean;
  reason: string;
}

const DAY_MS = 86_400_000;
const PLURAL = { workstation: 'workstations', server: 'servers', dc: 'dcs' } as const;

const no = (reason: string): Automatic => ({ push: false, reason });

/** Wanted is what site-wide push asks of a machine before it looks at its client and its CCRs. */
export type Wanted = Omit<AutomaticFacts, 'ccr' | 'againDays' | 'now'>;

/** notWanted tells why site-wide push does not want a machine at all: then a CCR that it made is taken back. */
export function notWanted(facts: Wanted): string | undefined {
  const { site, push, device } = facts;
  if (!push.enabled) return `site-wide push of site ${site} is off`;
  if (!device.trusted) return 'it is known only from what it says of itself';
  if (device.assignedSite === undefined) return 'it is assigned to no site';
  if (device.assignedSite !== site) return `it is assigned to site ${device.assignedSite}`;
  if (facts.excludedBy !== undefined) return `the setting push.exclude leaves it out (${facts.excludedBy})`;
  return wrongSystem(facts);
}

/**
 * automatic decides whether a site makes a CCR for a machine by itself: its own push is on, the machine is assigned to this very site (so
 * it lies in a site boundary of it, a roaming one never counts), a trusted source knows it, its type is wanted, and no client is on it.
 */
export function automatic(facts: AutomaticFacts): Automatic {
  const why = notWanted(facts);
  if (why !== undefined) return no(why);
  return hasClient(facts) ?? hadCcr(facts) ?? { push: true, reason: 'gets the client by site-wide push' };
}

function wrongSystem({ push, device, isSiteSystem }: Wanted): string | undefined {
  const wanted = (type: keyof typeof PLURAL) => push.systems.includes(PLURAL[type]);
  if (isSiteSystem && !push.siteSystems) return 'it is a site system, and those are not wanted';
  if (isSiteSystem && device.type !== 'dc') return undefined;
  // A machine of unknown type may be a domain controller.
  if (device.type === 'unknown')
    return push.systems.length === Object.keys(PLURAL).length
      ? undefined
      : 'its type is not known, and only workstations, servers and domain controllers together include every type';
  if (wanted(device.type)) return undefined;
  return `${device.type === 'dc' ? 'domain controllers' : PLURAL[device.type]} are not wanted`;
}

function hasClient({ device }: AutomaticFacts): Automatic | undefined {
  if (device.client.blocked) return no('its client is blocked');
  return device.client.installed ? no('it is flagged as installed') : undefined;
}

function hadCcr({ ccr, againDays, now }: AutomaticFacts): Automatic | undefined {
  if (!ccr || ccr.withdrawn) return undefined;
  if (isLive(ccr.state)) return no(`it has a CCR that is ${ccr.state}`);
  // What a person gave up stays so until a person asks again.
  if (ccr.state === 'cancelled') return no('its CCR was cancelled');
  const again = new Date((ccr.finishedAt?.getTime() ?? 0) + againDays * DAY_MS);
  return now < again ? no(`its last CCR ended ${ccr.state}; another one is made after ${again.toISOString()}`) : undefined;
}
