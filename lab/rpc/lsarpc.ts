import { lsarpc } from '#wire/rpc';
import { offer, serve, type Offer } from './offer.ts';

/** DomainFacts is what the Local Security Authority tells of a machine. */
export interface DomainFacts {
  name: string;
  domain: string;
  dnsDomain: string;
}

/** PolicyHandle is the open policy, with the access that was asked for. */
class PolicyHandle {
  readonly access: number;
  constructor(access: number) {
    this.access = access;
  }
}

/** A SID that belongs to no real domain and is the same for one name each time. */
function sidOf(name: string): string {
  let hash = 2166136261;
  for (const character of name) hash = Math.imul(hash ^ character.charCodeAt(0), 16777619) >>> 0;
  return `S-1-5-21-${hash}-${(hash * 31) >>> 0}-${(hash * 131) >>> 0}`;
}

/** lsarpcOffer is as much of the Local Security Authority as stock clients ask before they do anything else. */
export function lsarpcOffer(facts: () => DomainFacts): Offer {
  const information = (level: number) => {
    const { name, domain, dnsDomain } = facts();
    if (level === 5) return { level: 5 as const, info: { name, sid: sidOf(name) } };
    if (level === 12) {
      return {
        level: 12 as const,
        info: { name: domain, dnsDomain, dnsForest: dnsDomain, guid: new Uint8Array(16), sid: dnsDomain ? sidOf(domain) : null },
      };
    }
    return { level: 3 as const, info: { name: domain, sid: dnsDomain ? sidOf(domain) : null } };
  };
  return offer(lsarpc.LSARPC, [
    serve(lsarpc.lsarOpenPolicy, (request, call) => ({
      policy: call.handles.open(new PolicyHandle(request.desiredAccess)),
      status: 0,
    })),
    serve(lsarpc.lsarOpenPolicy2, (request, call) => ({
      policy: call.handles.open(new PolicyHandle(request.desiredAccess)),
      status: 0,
    })),
    serve(lsarpc.lsarQueryInformationPolicy, (request, call) => {
      call.handles.get(request.policy, PolicyHandle);
      return { information: information(request.level), status: 0 };
    }),
    serve(lsarpc.lsarQueryInformationPolicy2, (request, call) => {
      call.handles.get(request.policy, PolicyHandle);
      return { information: information(request.level), status: 0 };
    }),
    serve(lsarpc.lsarClose, (request, call) => {
      call.handles.close(request.handle);
      return { handle: new Uint8Array(20), status: 0 };
    }),
  ]);
}
