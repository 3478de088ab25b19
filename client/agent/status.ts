import * as Type from 'typebox';
import { layout, readJson, writeJson, type TargetHost } from '#client/host';

/** AgentStatus is what the agent says of itself to whoever asks on the machine. */
export const AgentStatus = Type.Object({
  state: Type.Union([
    Type.Literal('starting'),
    Type.Literal('registered'),
    Type.Literal('unregistered'),
    Type.Literal('blocked'),
    Type.Literal('stopped'),
  ]),
  version: Type.String(),
  site: Type.String(),
  guid: Type.Optional(Type.String()),
  approval: Type.Optional(Type.String()),
  managementPoint: Type.Optional(Type.String()),
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
  return Object.entries(value).map(([key, text]) => `${key}: ${text}`);
}
