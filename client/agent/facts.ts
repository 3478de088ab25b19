import * as Type from 'typebox';
import { layout, readJson, type TargetHost } from '#client/host';
import type { Heartbeat } from '#messages';

/** machineFacts is what registration and heartbeat both tell of the machine. */
export function machineFacts(host: TargetHost, clientVersion: string) {
  const facts: Omit<Heartbeat, 'guid' | 'sequence' | 'startedAt' | 'sentAt'> = {
    name: host.name,
    domain: host.domain,
    fqdn: host.fqdn,
    addresses: host.addresses().slice(0, 32),
    os: host.os,
    hardwareId: host.hardwareId,
    clientVersion,
  };
  if (host.architecture !== undefined) facts.architecture = host.architecture;
  return facts;
}

const TokenFile = Type.Object({ tokenId: Type.String(), token: Type.String(), expires: Type.String() });
export type TokenFile = Type.Static<typeof TokenFile>;

/** readToken gives the one-time token that ccmsetup left, unless it is over. */
export async function readToken(host: TargetHost, now: Date): Promise<TokenFile | undefined> {
  const token = await readJson(host, layout.token, TokenFile);
  if (token && new Date(token.expires).getTime() > now.getTime()) return token;
  // Nothing that is over, damaged or half written needs to lie there; ccmsetup writes a new one when it comes again.
  await host.remove(layout.token);
  return undefined;
}
