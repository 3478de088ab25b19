import { PushpointError } from '#base/errors';
import { previewPush, type Preview, type PushWish } from '#records/ccr';
import { nameKey, validName, type Device } from '#records/resource';
import { excludedBy, pointsFor } from '#records/site';
import type { ConsoleParts } from './server.ts';
import { choicesOf } from './shapes.ts';

/** Planned is what a push would do with one name. */
export interface Planned {
  name: string;
  decision: Preview['decision'];
  reason: string;
  /** The site that pushes. */
  site: string;
  /** The site that the machine belongs to by its boundaries. */
  assignedSite?: string | undefined;
  managementPoint?: string | undefined;
  account?: string | undefined;
  /** The machine that is meant, where the decision is to push. */
  machine?: Machine;
}

/** Machine is a name taken apart, with what discovery knows of it. */
interface Machine {
  name: string;
  domain: string;
  device: Device | undefined;
}

/** Plan is what a push would do with each name, and what is to be said of all of them. */
export interface Plan {
  items: Planned[];
  /** Whether the site takes up no CCR now, so that those made wait (`ccr pause --all`). */
  held: boolean;
  /** How many of the machines have a CCR that is paused, and stays so. */
  paused: number;
  notes: string[];
}

const NO_BOUNDARY =
  'no site boundary is configured, so every machine counts as one of this site; pushpoint boundary add KIND:VALUE tells sites apart';

/** planPush decides for every name what a push would do, with one look-up of each kind however many names there are. It connects to nobody. */
export async function planPush(parts: ConsoleParts, names: readonly string[], wish: PushWish): Promise<Plan> {
  const branch = await parts.site.branch();
  const site = branch.here;
  const pointsOf = (assigned: string | undefined) => pointsFor('mp', branch, assigned).map((p) => p.address);
  const wanted = site.settings.push.package;
  const pack = wanted === undefined ? await parts.package.defaultFor('windows') : await parts.package.get(wanted);
  const { machines, others } = await machinesOf(parts, names);
  const accounts = await parts.account.chooseForMany(machines.map(({ machine }) => accountMachine(machine)));
  const live = await parts.ccr.findLive(machines.map(({ machine }) => accountMachine(machine)));
  const boundaries = await parts.boundary.index();
  const siteOf = (device: Device | undefined) =>
    device?.assignedSite ?? (device?.trusted ? boundaries.judge(device)?.site : undefined);
  const common = {
    site: site.code,
    boundaries: boundaries.assigns,
    package: pack?.name,
    heartbeatMinutes: site.settings.client.heartbeatMinutes,
    now: parts.clock.now(),
  };
  const planned = new Map(others.map((other): [string, Planned] => [other.name, { ...other, site: site.code }]));
  let paused = 0;
  machines.forEach(({ text, machine }, i) => {
    const account = accounts[i]![0]?.name;
    const assignedSite = siteOf(machine.device);
    const managementPoints = pointsOf(assignedSite);
    const preview = previewPush(wish, {
      ...common,
      managementPoints,
      device: machine.device,
      assignedSite,
      isRemoved: assignedSite !== undefined && boundaries.removed.has(assignedSite),
      excludedBy: excludedBy(site.settings, {
        name: machine.name,
        domain: machine.device?.domain || machine.domain,
        others: machine.device?.fqdn ? [machine.device.fqdn] : [],
      }),
      account,
      live: live[i]![0]?.state,
    });
    if (preview.decision === 'push' && live[i]![0]?.state === 'paused') paused += 1;
    planned.set(text, {
      name: text,
      ...preview,
      site: site.code,
      assignedSite,
      managementPoint: managementPoints[0],
      account,
      machine,
    });
  });
  return {
    items: names.map((name) => planned.get(name)!),
    held: site.settings.ccr.held,
    paused,
    notes: boundaries.assigns ? [] : [NO_BOUNDARY],
  };
}

function accountMachine({ name, domain, device }: Machine) {
  return { name, domain: device?.domain || domain || undefined, addresses: device?.addresses, resourceId: device?.id };
}

interface Sorted {
  machines: { text: string; machine: Machine }[];
  others: { name: string; decision: 'skip' | 'refuse'; reason: string }[];
}

/** machinesOf finds out which machine each name means; names that mean none or several are refused, and a machine is pushed to once. */
async function machinesOf(parts: ConsoleParts, names: readonly string[]): Promise<Sorted> {
  const sorted: Sorted = { machines: [], others: [] };
  const refuse = (name: string, reason: string) => sorted.others.push({ name, decision: 'refuse', reason });
  const right: { text: string; name: string; domain: string }[] = [];
  for (const text of names) {
    try {
      right.push({ text, ...validName(text) });
    } catch (error) {
      if (!(error instanceof PushpointError)) throw error;
      refuse(text, error.message);
    }
  }
  const found = await parts.resource.findMany(right.map(({ name, domain }) => ({ name, domain: domain || undefined })));
  const first = new Map<string, string>();
  right.forEach(({ text, name, domain }, i) => {
    const [device, ...more] = found[i]!;
    const key = device ? `R${device.id}` : nameKey(domain === '' ? name : `${name}.${domain}`);
    const same = first.get(key);
    if (device && more.length > 0) refuse(text, `${more.length + 1} machines have this name: ${choicesOf(found[i]!)}`);
    else if (same !== undefined)
      sorted.others.push({ name: text, decision: 'skip', reason: `it is the same machine as ${same}` });
    else {
      first.set(key, text);
      sorted.machines.push({ text, machine: { name, domain, device } });
    }
  });
  return sorted;
}
