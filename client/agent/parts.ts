import { Contact, isProof } from '#client/contact';
import type { TargetHost } from '#client/host';
import type { Identity } from '#client/identity';
import { PointChoice } from './choice.ts';
import type { AgentConfig } from './config.ts';
import type { Logs } from './logs.ts';
import { State } from './state.ts';

/** AgentParts is what all works of the agent share. */
export interface AgentParts {
  readonly host: TargetHost;
  readonly logs: Logs;
  readonly config: AgentConfig;
  readonly identity: Identity;
  readonly contact: Contact;
  readonly choice: PointChoice;
  readonly state: State;
}

/** makeParts puts them together. */
export function makeParts(host: TargetHost, logs: Logs, config: AgentConfig, identity: Identity): AgentParts {
  const choice = new PointChoice(host.clock, host.random, logs.services);
  const contact = new Contact(host, config.tcf.certificatePins, {
    heard: (point, answered) => choice.heard(point, answered),
    proves: (point) => provesSite({ config, identity }, point),
    warn: (line) => logs.exec.warn(line),
  });
  const parts = { host, logs, config, identity, contact, choice, state: new State(host, identity, config) };
  refreshChoice(parts);
  return parts;
}

/** usable drops what a pinned client never speaks to. */
function usable({ config }: Pick<AgentParts, 'config'>, points: readonly string[]): string[] {
  return config.tcf.certificatePins === undefined ? [...points] : points.filter((point) => point.startsWith('https:'));
}

/** anchors are the management points that came with the installation. They are of the site of mobileclient.tcf. */
export function anchors(parts: Pick<AgentParts, 'config'>): string[] {
  const { properties, tcf } = parts.config;
  // SMSMP is a name only, of a point whose whole address stands in the file as a rule.
  const hosts = new Set(tcf.managementPoints.map((point) => new URL(point).hostname));
  return usable(parts, [...tcf.managementPoints, ...properties.points.filter((point) => !hosts.has(new URL(point).hostname))]);
}

/**
 * provesSite tells whether TLS alone shows that a point is the site's: it has a pinned certificate, or it is one that the installation or a
 * proven policy named. Any other https address may have been told by somebody between client and site, who has a good certificate for it.
 */
export function provesSite(parts: Pick<AgentParts, 'config'> & { identity: Pick<Identity, 'memory'> }, point: string): boolean {
  const isPinned = parts.config.tcf.certificatePins !== undefined;
  return isProof(point, isPinned, [...anchors(parts), ...(parts.identity.memory.provenPoints ?? [])]);
}

/** refreshChoice tells the choice which points there are now. */
export function refreshChoice(parts: Pick<AgentParts, 'choice' | 'config' | 'identity'>): void {
  const { memory } = parts.identity;
  const assigned = usable(parts, memory.managementPoints ?? []);
  // In another site nobody at the points of the installation would know this client.
  const isElsewhere = memory.site !== undefined && memory.site !== parts.config.tcf.site && assigned.length > 0;
  parts.choice.set({
    proxy: usable(parts, memory.proxyPoints ?? []),
    local: usable(parts, memory.localPoints ?? []),
    assigned,
    anchors: isElsewhere ? [] : anchors(parts),
    proven: usable(parts, memory.provenPoints ?? []),
  });
}

/** fallbackPoints are where state messages go that nobody can sign. */
export function fallbackPoints({ config, identity }: Pick<AgentParts, 'config' | 'identity'>): string[] {
  const all = [identity.memory.fallbackStatusPoint, config.properties.fallbackStatusPoint, config.tcf.fallbackStatusPoint];
  return [...new Set(all.filter((point) => point !== undefined))];
}
