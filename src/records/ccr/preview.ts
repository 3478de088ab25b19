import type { Device } from '#records/resource';

/** PushWish is what a person asks for beside the machine. */
export interface PushWish {
  forced: boolean;
  reinstall: boolean;
  includeDcs: boolean;
  inspectOnly: boolean;
}

/** PushFacts is what this site knows when somebody asks it to push to one machine. */
export interface PushFacts {
  /** The machine, where discovery knows it; a name given by an administrator may be new. */
  device: Device | undefined;
  site: string;
  /** Addresses of the management points that are on. */
  managementPoints: readonly string[];
  /** Name of the package that would be pushed. */
  package: string | undefined;
  /** The first account that would be tried. */
  account: string | undefined;
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

/** previewPush decides as the push would: refused here and now, skipped by what is known, or worth a CCR; with the reason. */
export function previewPush(wish: PushWish, facts: PushFacts): Preview {
  const { device } = facts;
  if (facts.managementPoints.length === 0) {
    return {
      decision: 'refuse',
      reason: `site ${facts.site} has no management point that is on: pushpoint point set mp --address URL`,
    };
  }
  if (facts.package === undefined) {
    return { decision: 'refuse', reason: 'there is no package for Windows to push: pushpoint package add FILE.json' };
  }
  // No credential goes to a machine that only names itself (design section 5).
  if (device && !device.trusted) {
    return { decision: 'refuse', reason: 'it is known only from what it says of itself: pushpoint device import FILE' };
  }
  if (device?.type === 'dc' && !wish.includeDcs) return { decision: 'skip', reason: 'it is a domain controller: --include-dcs' };
  if (device?.client.installed && isHeard(device, facts) && !wish.forced && !wish.reinstall && !wish.inspectOnly) {
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
    reason: parts.filter(Boolean).join('; ') || (wish.inspectOnly ? 'is looked at, nothing is installed' : 'gets the client'),
  };
}
