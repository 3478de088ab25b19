import type { Device } from '#records/resource';

/** PushWish is what a person asks for beside the machine. */
export interface PushWish {
  forced: boolean;
  reinstall: boolean;
  includeDcs: boolean;
  inspectOnly: boolean;
  /** Remove the client instead of installing it. */
  uninstall?: boolean | undefined;
  /** Also machines that are assigned to another site, or to none. */
  includeUnassigned?: boolean | undefined;
  /** The site that shall push. */
  fromSite?: string | undefined;
}

/** PushFacts is what this site knows when somebody asks it to push to one machine. */
export interface PushFacts {
  /** The machine, where discovery knows it; a name given by an administrator may be new. */
  device: Device | undefined;
  site: string;
  /** Whether any boundary assigns machines to sites; as long as none does, all of them count as this site's own. */
  boundaries: boolean;
  /** The site of the machine, or the one that boundaries give it now where it has none. */
  assignedSite: string | undefined;
  /** That site was removed from the branch: nobody can push from there. */
  isRemoved?: boolean | undefined;
  /** Addresses of the management points that are on. */
  managementPoints: readonly string[];
  /** Name of the package that would be pushed. */
  package: string | undefined;
  /** The first account that would be tried. */
  account: string | undefined;
  /** The pattern of the site's list of machines that are never pushed to, where one fits. */
  excludedBy?: string | undefined;
  /** State of the machine's live CCR, where it has one. */
  live: string | undefined;
  heartbeatMinutes: number;
  now: Date;
}

/** Preview is what would become of a push, decided from what is known, without connecting to anybody. */
export interface Preview {
  decision: 'push' | 'skip' | 'refuse';
  reason: string;
}

const MINUTE_MS = 60_000;
/** A client that missed two heartbeats is silent; a silent one may be gone, so it is pushed again when somebody asks. */
const SILENT_AFTER = 2;

function isHeard(device: Device, facts: PushFacts): boolean {
  const { lastSeenAt } = device.client;
  return (
    lastSeenAt !== undefined && facts.now.getTime() - lastSeenAt.getTime() < SILENT_AFTER * facts.heartbeatMinutes * MINUTE_MS
  );
}

/** whyForeign says why a machine is none of this site's; without any boundary there is no other site's. */
function whyForeign(wish: PushWish, { boundaries, assignedSite, isRemoved, site, device }: PushFacts): string | undefined {
  if (!boundaries || wish.includeUnassigned || assignedSite === site) return undefined;
  if (isRemoved)
    return `it is assigned to site ${assignedSite}, which was removed: pushpoint device reassign ${device?.name ?? 'NAME'}, or push with --include-unassigned`;
  if (assignedSite !== undefined) return `it is assigned to site ${assignedSite}: push from there, or with --include-unassigned`;
  const addresses = device?.addresses ?? [];
  const why = !device
    ? 'discovery does not know it'
    : addresses.length === 0
      ? 'no address of it is known'
      : `no site boundary holds ${addresses.slice(0, 4).join(', ')}`;
  return `it is assigned to no site, because ${why}: pushpoint boundary add, or push with --include-unassigned`;
}

function whatHappens({ inspectOnly, uninstall }: PushWish): string {
  if (uninstall) return 'the client is removed';
  return inspectOnly ? 'is looked at, nothing is installed' : 'gets the client';
}

/** previewPush decides as the push would: refused here and now, skipped by what is known, or worth a CCR; with the reason. */
export function previewPush(wish: PushWish, facts: PushFacts): Preview {
  const { device } = facts;
  if (wish.fromSite !== undefined && wish.fromSite !== facts.site) {
    return {
      decision: 'refuse',
      reason: `site ${wish.fromSite} shall push it and this is site ${facts.site}: CCRs do not travel between sites, so ask that site`,
    };
  }
  if (facts.managementPoints.length === 0) {
    return {
      decision: 'refuse',
      reason: `site ${facts.site} has no management point that is on: pushpoint point set mp --address URL`,
    };
  }
  if (facts.package === undefined) {
    return {
      decision: 'refuse',
      reason:
        'there is no package for Windows to push: npm run native and start the site again, or pushpoint package add FILE.json',
    };
  }
  if (facts.excludedBy !== undefined)
    return { decision: 'skip', reason: `the setting push.exclude leaves it out (${facts.excludedBy}), whoever asks` };
  // No credential goes to a machine that only names itself (design section 5).
  if (device && !device.trusted) {
    return { decision: 'refuse', reason: 'it is known only from what it says of itself: pushpoint device import FILE' };
  }
  const foreign = whyForeign(wish, facts);
  if (foreign !== undefined) return { decision: 'refuse', reason: foreign };
  if (device?.type === 'dc' && !wish.includeDcs) return { decision: 'skip', reason: 'it is a domain controller: --include-dcs' };
  if (
    device?.client.installed &&
    isHeard(device, facts) &&
    !wish.forced &&
    !wish.reinstall &&
    !wish.inspectOnly &&
    !wish.uninstall
  ) {
    return {
      decision: 'skip',
      reason: `client ${device.client.version ?? ''} is installed and was heard ${device.client.lastSeenAt!.toISOString()}: --force`,
    };
  }
  const parts = [
    device ? '' : 'not known from discovery; its name is looked up in DNS',
    facts.live ? `joins its CCR that is ${facts.live}` : '',
  ];
  if (facts.account === undefined) parts.push('no usable account fits it, so it waits at logon until one is added');
  return {
    decision: 'push',
    reason: parts.filter(Boolean).join('; ') || whatHappens(wish),
  };
}
