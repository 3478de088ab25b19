import { raise } from '#base/errors';
import type { PeerNames } from '#wire/auth';

/** Wanted is the machine that a CCR means. */
export interface Wanted {
  name: string;
  domain?: string;
  /** Every name it is known by: short, full, and those the requester listed. */
  names: string[];
}

/** wantedOf puts the names together that a machine may give of itself. */
export function wantedOf(name: string, domain: string, others: readonly string[]): Wanted {
  const names = [name, ...(domain.includes('.') ? [`${name}.${domain}`] : []), ...others];
  return { name, ...(domain ? { domain } : {}), names: [...new Set(names)] };
}

const upper = (text: string) => text.replace(/\.$/, '').toUpperCase();
const short = (name: string) => upper(name).split('.', 1)[0]!;

/** A NetBIOS name has at most 15 characters: a longer DNS label is cut in the challenge. */
const netbios = (name: string) => short(name).slice(0, 15);

function sameDomain(wanted: string, peer: PeerNames): boolean {
  const mine = upper(wanted);
  const claimed = [peer.netbiosDomain, peer.dnsDomain].filter((d): d is string => d !== undefined && d !== '').map(upper);
  // A machine in no domain names itself as its domain ([MS-NLMP] 2.2.2.1 MsvAvNbDomainName); a workgroup cannot be compared.
  const own = netbios(peer.netbiosComputer ?? peer.dnsComputer ?? '');
  const real = claimed.filter((d) => short(d) !== own && d !== 'WORKGROUP');
  return real.length === 0 || real.some((d) => d === mine || short(d) === short(mine));
}

/**
 * checkIdentity throws PP_LOGON_WRONG_HOST when the names a host gives of itself are not those of the wanted machine. It is called
 * between the host's challenge and our answer, so that a stale DNS record costs an error and not a credential (design, trust).
 */
export function checkIdentity(wanted: Wanted, peer: PeerNames): void {
  const computer = [peer.netbiosComputer, peer.dnsComputer].filter((n): n is string => n !== undefined && n !== '');
  const found = peer.dnsComputer ?? peer.netbiosComputer ?? 'nothing';
  const called = new Set(wanted.names.concat(wanted.name).map(netbios));
  const named = computer.length > 0 && computer.every((name) => called.has(netbios(name)));
  if (!named) throw raise('PP_LOGON_WRONG_HOST', { wanted: wanted.name, found });
  if (wanted.domain && !sameDomain(wanted.domain, peer))
    throw raise('PP_LOGON_WRONG_HOST', {
      wanted: `${wanted.name} of domain ${wanted.domain}`,
      found: `${found} of domain ${peer.netbiosDomain ?? peer.dnsDomain ?? 'nothing'}`,
    });
}
