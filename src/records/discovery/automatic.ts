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
  /** The newest CCR of the machine. */
  ccr: { state: CcrState; finishedAt: Date | undefined } | undefined;
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

/**
 * automatic decides whether a site makes a CCR for a machine by itself: its own push is on, the machine is assigned to this very site (so
 * it lies in a site boundary of it, a roaming one never counts), a trusted source knows it, its type is wanted, and no client is on it.
 */
export function automatic(facts: AutomaticFacts): Automatic {
  const { site, push, device } = facts;
  if (!push.enabled) return no(`site-wide push of site ${site} is off`);
  if (!device.trusted) return no('it is known only from what it says of itself');
  if (device.assignedSite === undefined) return no('it is assigned to no site');
  if (device.assignedSite !== site) return no(`it is assigned to site ${device.assignedSite}`);
  if (facts.excludedBy !== undefined) return no(`the setting push.exclude leaves it out (${facts.excludedBy})`);
  return wrongSystem(facts) ?? hasClient(facts) ?? hadCcr(facts) ?? { push: true, reason: 'gets the client by site-wide push' };
}

function wrongSystem({ push, device, isSiteSystem }: AutomaticFacts): Automatic | undefined {
  const wanted = (type: keyof typeof PLURAL) => push.systems.includes(PLURAL[type]);
  if (isSiteSystem && !push.siteSystems) return no('it is a site system, and those are not wanted');
  if (isSiteSystem && device.type !== 'dc') return undefined;
  // A machine of unknown type may be a domain controller.
  if (device.type === 'unknown')
    return push.systems.length === Object.keys(PLURAL).length
      ? undefined
      : no('its type is not known, and only workstations, servers and domain controllers together include every type');
  if (wanted(device.type)) return undefined;
  return no(`${device.type === 'dc' ? 'domain controllers' : PLURAL[device.type]} are not wanted`);
}

function hasClient({ device }: AutomaticFacts): Automatic | undefined {
  if (device.client.blocked) return no('its client is blocked');
  return device.client.installed ? no('it is flagged as installed') : undefined;
}

function hadCcr({ ccr, againDays, now }: AutomaticFacts): Automatic | undefined {
  if (!ccr) return undefined;
  if (isLive(ccr.state)) return no(`it has a CCR that is ${ccr.state}`);
  // What a person gave up stays so until a person asks again.
  if (ccr.state === 'cancelled') return no('its CCR was cancelled');
  const again = new Date((ccr.finishedAt?.getTime() ?? 0) + againDays * DAY_MS);
  return now < again ? no(`its last CCR ended ${ccr.state}; another one is made after ${again.toISOString()}`) : undefined;
}
