import type { ExitCodes } from '#lab/rpc';
import type { Point } from '#lab/smb';
import type { RemoteRegistryState } from './profiles.ts';

/** Switches are what can be wrong with a lab host; each may be thrown while it runs. */
export interface Switches {
  /** offline: 'closed' refuses connections, 'silent' takes them and says nothing. */
  offline: false | 'closed' | 'silent';
  /** vanishAt: the machine goes offline the moment a client has come that far. */
  vanishAt: Point | undefined;
  /** slowMs is added to each request. */
  slowMs: number;
  /** smb1Only: hangs up on everything newer, as a real Windows XP does, and answers a greeting of SMB1. */
  smb1Only: boolean;
  /** remoteRegistry overrides the profile's. */
  remoteRegistry: RemoteRegistryState | undefined;
  diskFull: boolean;
  /** adminShare: false takes ADMIN$ and C$ away (AutoShareWks = 0). */
  adminShare: boolean;
  /** encryptShares asks for encryption on ADMIN$ and C$; encryptAll for all of every session. */
  encryptShares: boolean;
  encryptAll: boolean;
  /** ordinaryRights: no account of the domain is an administrator here. */
  ordinaryRights: boolean;
  /** answersAs: NTLM names of another machine, as when a stale DNS record leads here. */
  answersAs: string | undefined;
  /** clockOffMinutes: its clock is so far ahead, or behind where it is negative. */
  clockOffMinutes: number;
  /** refusesNtlm: a policy takes no NTLM from anybody; it tells no names either. */
  refusesNtlm: boolean;
  /** startTimesOut: no service answers the service manager in time (1053). */
  startTimesOut: boolean;
  /** oldSetupRunning: a ccmsetup of an earlier try runs and holds its file; a 'stuck' one does not stop when it is told to. */
  oldSetupRunning: false | 'stoppable' | 'stuck';
  /** clientInstalled: an agent is there and runs. */
  clientInstalled: { version: string; site: string } | undefined;
  /** foreignLock: another site holds a fresh SMSClientInstall lock. */
  foreignLock: string | undefined;
  /** refuses: NTSTATUS codes that are answered at `logon`, `share:ADMIN$`, `pipe:svcctl`, or when a file of that name is opened, `file:ccmsetup.exe`. */
  refuses: Readonly<Record<string, number>>;
  /** encryptedSetup: somebody encrypted the folder the bootstrap goes to (EFS), so that SYSTEM cannot read what is laid there. */
  encryptedSetup: boolean;
  /** bootstrapFails: the pushed program starts, and ends with this code at once; the second form is a service's own code, beside 1066. */
  bootstrapFails: number | ExitCodes | undefined;
}

/** healthy is a machine with nothing wrong. */
export const healthy: Switches = {
  offline: false,
  vanishAt: undefined,
  slowMs: 0,
  smb1Only: false,
  remoteRegistry: undefined,
  diskFull: false,
  adminShare: true,
  encryptShares: false,
  encryptAll: false,
  ordinaryRights: false,
  answersAs: undefined,
  clockOffMinutes: 0,
  refusesNtlm: false,
  startTimesOut: false,
  oldSetupRunning: false,
  clientInstalled: undefined,
  foreignLock: undefined,
  refuses: {},
  encryptedSetup: false,
  bootstrapFails: undefined,
};
