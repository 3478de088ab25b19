import { isIP } from 'node:net';
import { raise } from '#base/errors';
import type { PeerNames } from '#wire/auth';

const FORBIDDEN = /[\u0000-\u001f"*/:<>?|]/;
const LONGEST_PART = 255;
const LONGEST_PATH = 32_000;

/** checkedPath gives a path below a share as it goes on the wire, or raises PP_SMB_BAD_PATH; '' is the share itself. */
export function checkedPath(path: string): string {
  if (path === '') return path;
  const isWrong = (part: string) =>
    part === '' || part.length > LONGEST_PART || FORBIDDEN.test(part) || /^\.{1,2}$|[. ]$/.test(part);
  if (path.length > LONGEST_PATH || path.split('\\').some(isWrong))
    throw raise('PP_SMB_BAD_PATH', { path: JSON.stringify(path) });
  return path;
}

/** checkedName gives a share's, a pipe's or a file's name, or raises PP_SMB_BAD_PATH. */
export function checkedName(name: string): string {
  if (name === '' || name.includes('\\')) throw raise('PP_SMB_BAD_PATH', { path: JSON.stringify(name) });
  return checkedPath(name);
}

/** parentsOf gives the folders above a path, the topmost first. */
export function parentsOf(path: string): string[] {
  const parts = path.split('\\');
  return parts.slice(0, -1).map((_, i) => parts.slice(0, i + 1).join('\\'));
}

const NETBIOS_LENGTH = 15;
const same = (a: string, b: string) => a.toUpperCase() === b.toUpperCase();

/**
 * expectHost makes the check that stops a logon at a machine that has taken over somebody's address (PP_LOGON_WRONG_HOST): the name
 * that the machine gives of itself, in full or up to its first dot or as NetBIOS cuts it, must be the wanted one. An IP address as `host` wants nobody.
 */
export function expectHost(host: string): (peer: PeerNames) => void {
  const wanted = host.replace(/\.$/, '');
  const short = wanted.split('.')[0] ?? wanted;
  return (peer) => {
    if (isIP(wanted) !== 0) return;
    const { dnsComputer, netbiosComputer } = peer;
    if (dnsComputer !== undefined && same(dnsComputer, wanted)) return;
    const isFull = wanted.includes('.') && dnsComputer?.includes('.');
    const fits = netbiosComputer !== undefined && same(netbiosComputer, short.slice(0, NETBIOS_LENGTH));
    // Two full names that differ in their domains are two machines, even if their first labels agree.
    if (!isFull && (fits || (dnsComputer !== undefined && same(dnsComputer.split('.')[0] ?? '', short)))) return;
    throw raise('PP_LOGON_WRONG_HOST', { wanted, found: dnsComputer ?? netbiosComputer ?? '(no name)' });
  };
}
