import { isLive, type Ccr } from '#records/ccr';
import { nameKey, validName, type Device } from '#records/resource';
import type { Site } from '#records/site';
import { wantedOf, type Wanted } from '../attempt/identity.ts';
import type { Here, Surroundings } from '../work/surroundings.ts';
import type { DoctorParts } from './parts.ts';

/** Patient is the machine that is examined, with what this site knows of it. */
export interface Patient {
  name: string;
  domain: string;
  device: Device | undefined;
  /** Its live CCR, or its newest one. */
  ccr: Ccr | undefined;
  site: Site;
  here: Here;
  /** The site whose boundaries hold it, and which boundary that is. */
  assignedSite: string | undefined;
  boundary: string | undefined;
  /** Whether any boundary assigns machines at all. */
  assigns: boolean;
  wanted: Wanted;
  addresses: string[];
  port: number;
  /** The wish that a push would work with; it is in no table. */
  wish: Ccr;
}

const SMB_PORT = 445;

/** patientOf finds out which machine is meant and what is known of it; it connects to nobody. */
export async function patientOf(parts: DoctorParts, surroundings: Surroundings, host: string): Promise<Patient> {
  const { name, domain, fqdn } = validName(host);
  const here = await surroundings.here();
  const [device] = await parts.resource.find(name, domain || undefined);
  const found = await parts.ccr.find(device?.name ?? name, device?.domain || domain || undefined);
  const ccr = found.find(({ state }) => isLive(state)) ?? found[0];
  const index = await parts.boundary.index();
  const judged = device && index.judge(device);
  const assignedSite = device?.assignedSite ?? (device?.trusted ? judged?.boundary.site : undefined);
  const full = device?.fqdn ?? fqdn;
  const own = device?.domain || domain;
  const wanted = wantedOf(device?.name ?? name, own, [...(full ? [full] : []), ...(ccr?.resourceNames ?? [])]);
  const addresses = [...new Set([...(device?.addresses ?? []), ...(ccr?.addresses ?? [])])];
  const port = device?.smbPort ?? ccr?.smbPort ?? SMB_PORT;
  const now = parts.clock.now();
  return {
    name: device?.name ?? name,
    domain: own,
    device,
    ccr,
    site: here.site,
    here,
    assignedSite,
    boundary: judged && `${judged.boundary.kind}:${judged.boundary.value}`,
    assigns: index.assigns,
    wanted,
    addresses,
    port,
    wish: wishOf({
      name: device?.name ?? name,
      domain: own,
      device,
      machineKey: ccr && isLive(ccr.state) ? ccr.machineKey : undefined,
      addresses,
      port,
      site: here.site.code,
      now,
    }),
  };
}

/** wishOf is a CCR as a push of this machine would make it: by it the same steps decide the same. It looks only. */
function wishOf(o: {
  name: string;
  domain: string;
  device: Device | undefined;
  /** The key of its live CCR, which may be older than its resource: to the stop rules of accounts it must not be a second machine. */
  machineKey: string | undefined;
  addresses: string[];
  port: number;
  site: string;
  now: Date;
}): Ccr {
  const { name, domain, device, machineKey, addresses, port, site, now } = o;
  return {
    id: 0,
    machineKey: machineKey ?? (device ? `R${device.id}` : [name, domain].filter(Boolean).map(nameKey).join('.')),
    resourceId: device?.id,
    name,
    domain,
    addresses,
    resourceNames: device?.fqdn ? [device.fqdn] : [],
    smbPort: port,
    state: 'processing',
    forced: false,
    reinstall: false,
    includeDcs: false,
    inspectOnly: true,
    uninstall: false,
    source: 'push',
    site,
    requestedBy: 'doctor',
    package: undefined,
    wave: 0,
    attempts: 0,
    intervalAttempts: 0,
    firstRequestedAt: now,
    lastRequestedAt: now,
    requestCount: 1,
    initialAttemptAt: undefined,
    retryIntervalStart: undefined,
    lastAttemptAt: undefined,
    nextAttemptAt: undefined,
    lastErrorCode: undefined,
    lastError: undefined,
    lastErrorText: undefined,
    errorEventAt: undefined,
    account: undefined,
    startedAt: undefined,
    verifyCount: 0,
    pausedFrom: undefined,
    fence: 0,
    workerId: undefined,
    capKey: '',
    finishedAt: undefined,
    finishedBy: undefined,
    proof: undefined,
  };
}
