import type { Sighting } from './look.ts';

/** System is what can be said of a machine's operating system without logging on. */
export interface System {
  os?: string;
  osVersion?: string;
}

/**
 * Builds of Windows that a machine tells in its NTLM challenge. Most are shared by an edition for workstations and one for servers, which look
 * alike from outside.
 */
const BUILDS: [build: number, name: string][] = [
  [6000, 'Windows Vista'],
  [6001, 'Windows Vista or Windows Server 2008'],
  [6002, 'Windows Vista or Windows Server 2008'],
  [7600, 'Windows 7 or Windows Server 2008 R2'],
  [7601, 'Windows 7 or Windows Server 2008 R2'],
  [9200, 'Windows 8 or Windows Server 2012'],
  [9600, 'Windows 8.1 or Windows Server 2012 R2'],
  [14393, 'Windows 10 or Windows Server 2016'],
  [17763, 'Windows 10 or Windows Server 2019'],
  [20348, 'Windows Server 2022'],
  [25398, 'Windows Server, version 23H2'],
  [26100, 'Windows 11 or Windows Server 2025'],
];

function windows(build: number): string {
  const exact = BUILDS.find(([one]) => one === build);
  if (exact) return exact[1];
  if (build >= 22_000) return 'Windows 11';
  return build >= 10_240 ? 'Windows 10' : 'Windows';
}

/** Distributions that name themselves in the identification of their SSH server. */
const DISTRIBUTIONS = ['Debian', 'Ubuntu', 'Raspbian', 'FreeBSD', 'NetBSD'];

/** systemOf tells the system of a machine as far as it showed it. Samba has no build number, which keeps NAS boxes from passing for Windows. */
export function systemOf({ smb, banner }: Sighting): System {
  const version = smb?.peer?.osVersion;
  if (version && version.build > 0) {
    const { major, minor, build } = version;
    return { os: windows(build), osVersion: `${major}.${minor}.${build}` };
  }
  if (banner?.includes('for_Windows')) return { os: 'Windows' };
  const distribution = DISTRIBUTIONS.find((one) => banner?.includes(one));
  if (distribution)
    return { os: distribution === 'Debian' || distribution === 'Ubuntu' ? `${distribution} Linux` : distribution };
  return smb?.peer ? { os: 'Samba' } : {};
}
