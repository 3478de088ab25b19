import { CIPHER, DIALECT, SIGNING } from '#wire/smb';
import type { Speech } from '#lab/smb';

/** RemoteRegistryState is how the service behind the winreg pipe stands: with 'trigger' the first look starts it. */
export type RemoteRegistryState = 'running' | 'stopped' | 'disabled' | 'trigger';

/** Profile is a kind of machine: what it says of itself and what it speaks. */
export interface Profile {
  /** title is what people call it; productName what it says in its registry, which is not always the same. */
  title: string;
  productName: string;
  version: { major: number; minor: number; build: number };
  /** csdVersion is the service pack, which systems before Windows 8 show. */
  csdVersion: string;
  productType: 'WinNT' | 'ServerNT' | 'LanmanNT';
  editionId: string;
  architecture: 'AMD64' | 'x86';
  /** isWindows is false for what only speaks SMB: no ADMIN$, no services, no registry. */
  isWindows: boolean;
  remoteRegistry: RemoteRegistryState;
  /** serverType holds the bits of srvsvc, [MS-SRVS] 2.2.2.7. */
  serverType: number;
  speech: Partial<Speech>;
}

const SV = { WORKSTATION: 0x1, SERVER: 0x2, DOMAIN_CTRL: 0x8, TIME_SOURCE: 0x20, UNIX: 0x800, NT: 0x1000, SERVER_NT: 0x8000 };
const WORKSTATION = SV.WORKSTATION | SV.SERVER | SV.NT;
const SERVER = WORKSTATION | SV.SERVER_NT;

const { SMB202, SMB210, SMB300, SMB302, SMB311 } = DIALECT;
const oldSpeech: Partial<Speech> = { dialects: [SMB202, SMB210], ciphers: [], signings: [], maxIoBytes: 2 ** 20 };
/** Up to Windows 10 21H2 and Server 2019: AES-128 ciphers, and no SIGNING context, so AES-CMAC. */
const speech2019: Partial<Speech> = {
  dialects: [SMB202, SMB210, SMB300, SMB302, SMB311],
  ciphers: [CIPHER.AES_128_GCM, CIPHER.AES_128_CCM],
  signings: [],
};
const speech2022: Partial<Speech> = { dialects: [SMB202, SMB210, SMB300, SMB302, SMB311] };
/** The administrator can raise the least dialect from Windows 11 24H2 and Server 2025 on; this one did. */
const speech2025: Partial<Speech> = { dialects: [SMB300, SMB302, SMB311] };
const sambaSpeech: Partial<Speech> = {
  dialects: [SMB202, SMB210, SMB300, SMB302, SMB311],
  ciphers: [CIPHER.AES_128_GCM, CIPHER.AES_128_CCM, CIPHER.AES_256_GCM, CIPHER.AES_256_CCM],
  signings: [SIGNING.AES_GMAC, SIGNING.AES_CMAC, SIGNING.HMAC_SHA256],
};

const modern = { csdVersion: '', architecture: 'AMD64', isWindows: true } as const;
const client = { ...modern, productType: 'WinNT', remoteRegistry: 'disabled', serverType: WORKSTATION } as const;
const server = { ...modern, productType: 'ServerNT', remoteRegistry: 'trigger', serverType: SERVER } as const;
// Real ones speak SMB1 only and hang up on anything newer (switch `smb1Only`); here they can be looked into, so that the filter by system is seen at work.
const ancient = { architecture: 'x86', isWindows: true, remoteRegistry: 'running', speech: oldSpeech } as const;

/** profiles are the kinds of machines the lab can play. */
export const profiles = {
  'windows-10': {
    ...client,
    title: 'Windows 10 Enterprise',
    productName: 'Windows 10 Enterprise',
    version: { major: 10, minor: 0, build: 19_045 },
    editionId: 'Enterprise',
    speech: speech2019,
  },
  'windows-11': {
    ...client,
    title: 'Windows 11 Enterprise',
    productName: 'Windows 10 Enterprise',
    version: { major: 10, minor: 0, build: 26_100 },
    editionId: 'Enterprise',
    speech: speech2022,
  },
  'server-2016': {
    ...server,
    title: 'Windows Server 2016 Standard',
    productName: 'Windows Server 2016 Standard',
    version: { major: 10, minor: 0, build: 14_393 },
    editionId: 'ServerStandard',
    speech: speech2019,
  },
  'server-2019': {
    ...server,
    title: 'Windows Server 2019 Standard',
    productName: 'Windows Server 2019 Standard',
    version: { major: 10, minor: 0, build: 17_763 },
    editionId: 'ServerStandard',
    speech: speech2019,
  },
  'server-2022': {
    ...server,
    title: 'Windows Server 2022 Standard',
    productName: 'Windows Server 2022 Standard',
    version: { major: 10, minor: 0, build: 20_348 },
    editionId: 'ServerStandard',
    speech: speech2022,
  },
  'server-2025': {
    ...server,
    title: 'Windows Server 2025 Datacenter',
    productName: 'Windows Server 2025 Datacenter',
    version: { major: 10, minor: 0, build: 26_100 },
    editionId: 'ServerDatacenter',
    speech: speech2025,
  },
  'domain-controller': {
    ...server,
    title: 'Windows Server 2022 Standard',
    productName: 'Windows Server 2022 Standard',
    version: { major: 10, minor: 0, build: 20_348 },
    editionId: 'ServerStandard',
    productType: 'LanmanNT',
    serverType: SERVER | SV.DOMAIN_CTRL | SV.TIME_SOURCE,
    speech: speech2022,
  },
  'windows-7': {
    ...client,
    title: 'Windows 7 Enterprise',
    productName: 'Windows 7 Enterprise',
    version: { major: 6, minor: 1, build: 7601 },
    csdVersion: 'Service Pack 1',
    editionId: 'Enterprise',
    speech: oldSpeech,
  },
  'windows-xp': {
    ...ancient,
    title: 'Windows XP',
    productName: 'Microsoft Windows XP',
    version: { major: 5, minor: 1, build: 2600 },
    csdVersion: 'Service Pack 3',
    productType: 'WinNT',
    editionId: 'Professional',
    serverType: WORKSTATION,
  },
  'windows-2000': {
    ...ancient,
    title: 'Windows 2000',
    productName: 'Microsoft Windows 2000',
    version: { major: 5, minor: 0, build: 2195 },
    csdVersion: 'Service Pack 4',
    productType: 'WinNT',
    editionId: 'Professional',
    serverType: WORKSTATION,
  },
  nas: {
    title: 'Samba 4.17.12',
    productName: 'Samba 4.17.12',
    version: { major: 6, minor: 1, build: 0 },
    csdVersion: '',
    productType: 'ServerNT',
    editionId: '',
    architecture: 'AMD64',
    isWindows: false,
    remoteRegistry: 'disabled',
    serverType: 0x80_9a03,
    speech: sambaSpeech,
  },
} as const satisfies Record<string, Profile>;

export type ProfileName = keyof typeof profiles;

/** typeOf is the system type as discovery calls it. */
export function typeOf(profile: Profile): 'workstation' | 'server' | 'dc' | 'unknown' {
  if (!profile.isWindows) return 'unknown';
  if (profile.productType === 'LanmanNT') return 'dc';
  return profile.productType === 'ServerNT' ? 'server' : 'workstation';
}
