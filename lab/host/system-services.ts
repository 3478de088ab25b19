import type { Profile, RemoteRegistryState } from './profiles.ts';

/** SystemService is one of those every Windows has; they run no program of the lab. */
export interface SystemService {
  name: string;
  displayName: string;
  binaryPath: string;
  startType: 'auto' | 'demand' | 'disabled';
  isRunning: boolean;
}

const SVCHOST = 'C:\\Windows\\system32\\svchost.exe -k netsvcs';
/** REMOTE_REGISTRY is the service behind the winreg pipe. */
export const REMOTE_REGISTRY = 'RemoteRegistry';

const running = (name: string, displayName: string, binaryPath = SVCHOST): SystemService => ({
  name,
  displayName,
  binaryPath,
  startType: 'auto',
  isRunning: true,
});

const START_TYPE: Record<RemoteRegistryState, SystemService['startType']> = {
  running: 'auto',
  trigger: 'auto',
  stopped: 'demand',
  disabled: 'disabled',
};

/** systemServices are the services of a fresh machine of that kind. */
export function systemServices(profile: Profile, remoteRegistry: RemoteRegistryState): SystemService[] {
  const common = [
    running('EventLog', 'Windows Event Log'),
    running('LanmanServer', 'Server'),
    running('LanmanWorkstation', 'Workstation'),
    running('Schedule', 'Task Scheduler'),
    running('Spooler', 'Print Spooler', 'C:\\Windows\\System32\\spoolsv.exe'),
    running('Winmgmt', 'Windows Management Instrumentation'),
    { ...running('wuauserv', 'Windows Update'), startType: 'demand' as const, isRunning: false },
    {
      ...running(REMOTE_REGISTRY, 'Remote Registry', 'C:\\Windows\\system32\\svchost.exe -k localService'),
      startType: START_TYPE[remoteRegistry],
      isRunning: remoteRegistry === 'running',
    },
  ];
  if (profile.productType !== 'LanmanNT') return common;
  return [
    ...common,
    running('NTDS', 'Active Directory Domain Services', 'C:\\Windows\\System32\\lsass.exe'),
    running('Kdc', 'Kerberos Key Distribution Center', 'C:\\Windows\\System32\\lsass.exe'),
    running('Netlogon', 'Netlogon', 'C:\\Windows\\system32\\lsass.exe'),
  ];
}
