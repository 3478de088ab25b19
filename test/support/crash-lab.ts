/**
 * The machines of the crash rounds, in a process of their own that nobody kills: it starts them as it is told, says what stands on them when
 * it is asked, and ends when its parent hangs up.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock, type Clock } from '#base/clock';
import { systemRandom } from '#base/random';
import { startFleet, type Fleet } from '#lab/fleet';

type FleetHost = Fleet['hosts'][number];

/** CrashLabOrder is what the parent asks for first; each host takes its own time for each request. */
export interface CrashLabOrder {
  folder: string;
  slowMs: number[];
  mix: 'healthy' | 'mixed';
  seed: number;
}

/** CrashLabReady answers it. */
export interface CrashLabReady {
  csv: string;
  account: { username: string; password: string };
  names: string[];
}

/** HostSeen is what a host's own records say. */
export interface HostSeen {
  name: string;
  expected: FleetHost['expected'];
  /** reachable: it can be cleaned up; one that is off keeps what was left on it. */
  reachable: boolean;
  /** runs are those of the bootstrap: whether each put an agent into its place, and whether it came to a good end. */
  runs: { installed: boolean; succeeded: boolean }[];
  agent: string | undefined;
  setup: string | undefined;
  /** Own locks (of site P01) with their age. */
  locks: { name: string; ageMs: number }[];
  refusedLogons: number;
}

/** Clients wait minutes for a management point that does not answer; here they wait a moment. Limits of time stay what they are. */
const hasty: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic(),
  after: (ms, fn) => systemClock.after(ms, fn),
  sleep: (ms, signal) => systemClock.sleep(ms > 1000 && ms <= 3_600_000 ? 300 : ms, signal),
};

function runsIn(log: string): HostSeen['runs'] {
  return log
    .split('==========[ ccmsetup started')
    .slice(1)
    .map((run) => ({ installed: run.includes('Starting service CcmExec'), succeeded: run.includes('Installation succeeded') }));
}

async function locksIn(folder: string): Promise<HostSeen['locks']> {
  const names = await readdir(folder).catch(() => []);
  const own = names.filter((name) => /^SMSClientInstall\.P01$/i.test(name));
  const now = systemClock.now().getTime();
  const found = own.map(async (name) => {
    const there = await stat(join(folder, name)).catch(() => undefined);
    return there && { name, ageMs: now - there.mtimeMs };
  });
  return (await Promise.all(found)).filter((one) => one !== undefined);
}

async function seen(folder: string, { host, expected }: FleetHost, username: string): Promise<HostSeen> {
  const windows = join(folder, host.name, 'Windows');
  const log = await readFile(join(windows, 'ccmsetup', 'logs', 'ccmsetup.log'), 'utf8').catch(() => '');
  return {
    name: host.name,
    expected,
    reachable: host.switches.offline === false,
    runs: runsIn(log),
    agent: host.profile.isWindows ? host.machine.serviceState('CcmExec') : undefined,
    setup: host.profile.isWindows ? host.machine.serviceState('ccmsetup') : undefined,
    locks: await locksIn(windows),
    refusedLogons: host.logons.of(username).failed,
  };
}

let fleet: Fleet | undefined;
let order: CrashLabOrder | undefined;

async function answer(message: CrashLabOrder | 'look' | 'quick'): Promise<unknown> {
  if (message === 'look') {
    const all: HostSeen[] = [];
    for (const one of fleet!.hosts) all.push(await seen(order!.folder, one, fleet!.account.username));
    return all;
  }
  if (message === 'quick') {
    for (const { host } of fleet!.hosts) await host.set({ slowMs: 0 });
    return 'quick';
  }
  order = message;
  const { folder, slowMs, mix, seed } = message;
  fleet = await startFleet({ windows: slowMs.length, mix, folder, seed, clock: hasty, random: systemRandom });
  for (const [index, { host }] of fleet.hosts.entries()) await host.set({ slowMs: slowMs[index]! });
  const ready: CrashLabReady = { csv: fleet.csv(), account: fleet.account, names: fleet.hosts.map(({ host }) => host.name) };
  return ready;
}

if (process.send) {
  process.on(
    'message',
    (message: CrashLabOrder | 'look' | 'quick') => void answer(message).then((found) => process.send!(found as object)),
  );
  process.once('disconnect', () => void fleet?.stop().finally(() => process.exit(0)));
}
