import * as Type from 'typebox';
import { layout, readJson, writeJson, type TargetHost } from '#client/host';

/** AgentStatus is what the agent says of itself to whoever asks on the machine. */
export const AgentStatus = Type.Object({
  state: Type.Union([
    Type.Literal('starting'),
    Type.Literal('unassigned'),
    Type.Literal('registered'),
    Type.Literal('unregistered'),
    Type.Literal('blocked'),
    Type.Literal('stopped'),
  ]),
  /** Of the package. */
  version: Type.String(),
  /** Of the agent itself, which the site's version is compared with. */
  product: Type.Optional(Type.String()),
  /** The assigned site; empty while there is none. */
  site: Type.String(),
  siteVersion: Type.Optional(Type.String()),
  assignment: Type.Optional(
    Type.Object({
      /** SMSSITECODE, or the site of mobileclient.tcf. */
      wanted: Type.String(),
      /** State id of topic 800: 500, 601 … 608 or 700. */
      stateId: Type.Integer(),
      why: Type.Optional(Type.String()),
      at: Type.String(),
    }),
  ),
  guid: Type.Optional(Type.String()),
  approval: Type.Optional(Type.String()),
  /** The one that answered last. */
  managementPoint: Type.Optional(Type.String()),
  managementPoints: Type.Optional(Type.Array(Type.String())),
  proxyManagementPoints: Type.Optional(Type.Array(Type.String())),
  policyRevision: Type.Optional(Type.String()),
  /** How large the cache of what a package brings may be: SMSCACHESIZE, or what the site set. The client has none itself. */
  cacheMegabytes: Type.Optional(Type.Integer()),
  lastPolicyAt: Type.Optional(Type.String()),
  startedAt: Type.Optional(Type.String()),
  registeredAt: Type.Optional(Type.String()),
  lastHeartbeatAt: Type.Optional(Type.String()),
  nextContactAt: Type.Optional(Type.String()),
  lastError: Type.Optional(Type.String()),
});
export type AgentStatus = Type.Static<typeof AgentStatus>;

/** status reads what the agent of this host last said; undefined when there is none. */
export function status(host: TargetHost): Promise<AgentStatus | undefined> {
  return readJson(host, layout.status, AgentStatus);
}

/** writeStatus tells it; a full disk does not stop an agent. */
export async function writeStatus(host: TargetHost, value: AgentStatus): Promise<void> {
  try {
    await writeJson(host, layout.status, value);
  } catch {
    // The status is for people; the site hears the heartbeat.
  }
}

/** statusLines is the status as a person reads it. */
export function statusLines(value: AgentStatus): string[] {
  return Object.entries(value).map(([key, one]) => {
    if (Array.isArray(one)) return `${key}: ${one.join('; ')}`;
    if (typeof one !== 'object') return `${key}: ${one}`;
    const { wanted, stateId, why } = one;
    return `${key}: ${wanted}, state ${stateId}${why === undefined ? '' : `: ${why}`}`;
  });
}
