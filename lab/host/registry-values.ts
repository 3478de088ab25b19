import type { Profile } from './profiles.ts';

/** RegistryText is one value that a fresh machine has: key below HKLM, name, and text or number. */
export interface RegistryText {
  key: string;
  name: string;
  value: string | number;
}

const VERSION = 'SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion';
const CONTROL = 'SYSTEM\\CurrentControlSet\\Control';
/** CLIENT_KEY is where a client of SMS leaves its version and site. */
export const CLIENT_KEY = 'SOFTWARE\\Microsoft\\SMS\\Mobile Client';

/** registryValues are those by which a machine is told apart: what it runs, which kind it is, what it is called. */
export function registryValues(profile: Profile, names: { name: string; dnsDomain: string }): RegistryText[] {
  const { major, minor, build } = profile.version;
  const modern = major >= 10;
  const under = (key: string, values: Record<string, string | number>): RegistryText[] =>
    Object.entries(values).map(([name, value]) => ({ key, name, value }));
  return [
    ...under(VERSION, {
      ProductName: profile.productName,
      // 6.3 is where Windows stopped counting in this value.
      CurrentVersion: modern ? '6.3' : `${major}.${minor}`,
      CurrentBuild: String(build),
      CurrentBuildNumber: String(build),
      SystemRoot: 'C:\\Windows',
      PathName: 'C:\\Windows',
      ...(profile.editionId && { EditionID: profile.editionId }),
      ...(profile.csdVersion && { CSDVersion: profile.csdVersion }),
      ...(modern && { CurrentMajorVersionNumber: major, CurrentMinorVersionNumber: minor, UBR: 1 }),
    }),
    ...under(`${CONTROL}\\ProductOptions`, { ProductType: profile.productType }),
    ...under(`${CONTROL}\\Session Manager\\Environment`, {
      PROCESSOR_ARCHITECTURE: profile.architecture,
      NUMBER_OF_PROCESSORS: '2',
      OS: 'Windows_NT',
    }),
    ...under(`${CONTROL}\\ComputerName\\ComputerName`, { ComputerName: names.name }),
    ...under('SYSTEM\\CurrentControlSet\\Services\\Tcpip\\Parameters', { Hostname: names.name, Domain: names.dnsDomain }),
  ];
}
