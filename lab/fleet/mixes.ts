import type { AccountSpec, ProfileName, Switches } from '#lab/host';

/** Expected is how a push to a host of the fleet ends for now; codes are of the error catalogue, win32 as administrators search for it. */
export interface Expected {
  state: 'complete' | 'skipped' | 'retry' | 'waiting' | 'failed';
  win32?: number;
}

/** Plan is one host of a fleet before it has a name and an address. */
export interface Plan {
  profile: ProfileName;
  /** trouble is what is wrong with it, in words for people. */
  trouble?: string;
  switches?: Partial<Switches>;
  expected: Expected;
  accounts?: AccountSpec[];
}

const COMPLETE: Expected = { state: 'complete' };

const HEALTHY: readonly ProfileName[] = [
  'windows-11',
  'windows-10',
  'windows-11',
  'server-2022',
  'windows-10',
  'server-2019',
  'windows-11',
  'server-2025',
];

/** troubles are one host each of what goes wrong in the field. */
export const troubles: readonly Plan[] = [
  {
    profile: 'windows-10',
    trouble: 'its RemoteRegistry service is disabled, so some of it stays unknown',
    switches: { remoteRegistry: 'disabled' },
    expected: COMPLETE,
  },
  {
    profile: 'windows-11',
    trouble: 'it is switched off',
    switches: { offline: 'closed' },
    expected: { state: 'retry', win32: 53 },
  },
  {
    profile: 'windows-10',
    trouble: 'its address belongs to another machine (stale DNS)',
    switches: { answersAs: 'SOMEONE-ELSE' },
    expected: { state: 'retry', win32: 1396 },
  },
  {
    profile: 'windows-11',
    trouble: 'its disk is full',
    switches: { diskFull: true },
    expected: { state: 'retry', win32: 112 },
  },
  {
    profile: 'windows-10',
    trouble: 'its service manager times out',
    switches: { startTimesOut: true },
    expected: { state: 'retry', win32: 1053 },
  },
  {
    profile: 'windows-11',
    trouble: 'the push account has ordinary rights on it',
    switches: { ordinaryRights: true },
    expected: { state: 'retry', win32: 5 },
  },
  {
    profile: 'windows-10',
    trouble: 'a client is there already',
    switches: { clientInstalled: { version: '99.0.0', site: 'P01' } },
    expected: { state: 'skipped', win32: 120 },
  },
  {
    profile: 'windows-xp',
    trouble: 'its system is not supported any more',
    expected: { state: 'skipped', win32: 1305 },
  },
  { profile: 'nas', trouble: 'it is a NAS and no Windows', expected: { state: 'skipped', win32: 1305 } },
  {
    profile: 'windows-11',
    trouble: 'another site is just installing on it',
    switches: { foreignLock: 'X99' },
    expected: { state: 'waiting' },
  },
  {
    profile: 'windows-10',
    trouble: 'its administrative shares are switched off',
    switches: { adminShare: false },
    expected: { state: 'waiting', win32: 67 },
  },
  {
    profile: 'server-2019',
    trouble: 'it goes down in the middle of the copy',
    switches: { vanishAt: 'copy' },
    expected: { state: 'retry' },
  },
];

const healthyPlan = (index: number): Plan => ({
  profile: HEALTHY[index % HEALTHY.length]!,
  switches: { remoteRegistry: 'running' },
  expected: COMPLETE,
});

/** plan lays out `count` hosts: all healthy, or mixed with one of each trouble, which stand spread among the healthy ones. */
export function plan(count: number, mix: 'healthy' | 'mixed', fraction: () => number): Plan[] {
  const ill = mix === 'mixed' ? troubles.slice(0, Math.floor((count * 3) / 8)) : [];
  const plans = Array.from({ length: count - ill.length }, (_, index) => healthyPlan(index));
  for (const one of ill) plans.splice(Math.floor(fraction() * (plans.length + 1)), 0, one);
  return plans;
}
