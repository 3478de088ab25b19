import type { Clock } from '#base/clock';
import type { Random } from '#base/random';
import type { ServiceState, ServiceWish, TargetHost } from '#client/host';
import { DiskError, listWhole, makeFolders, readWhole, removeWhole, writeWhole, type Disk } from '#lab/disk';
import { win32Of } from '#lab/rpc';
import { STATUS } from '#wire/status';
import { loopbackFetch } from './loopback-fetch.ts';
import { diskPath } from './programs.ts';

/** Machine is what the programs of a lab host see of it. */
export interface Machine {
  readonly name: string;
  readonly domain: string;
  readonly fqdn: string;
  readonly address: string;
  readonly os: TargetHost['os'];
  readonly architecture: string;
  readonly hardwareId: string;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly mutexes: Map<string, AbortSignal>;
  createService(wish: ServiceWish): Promise<void>;
  startService(name: string): Promise<void>;
  stopService(name: string): Promise<void>;
  removeService(name: string): Promise<void>;
  serviceState(name: string): ServiceState | undefined;
  setRegistry(key: string, values: Record<string, string>): void;
  removeRegistry(key: string): void;
  printed(line: string): void;
  /** runProgram runs a program of its disk that is no service, and gives its exit code. */
  runProgram(commandLine: string, signal: AbortSignal): Promise<number>;
}

const CODE_OF_STATUS = new Map<number, string>([
  [STATUS.DISK_FULL, 'ENOSPC'],
  [STATUS.ACCESS_DENIED, 'EACCES'],
  [STATUS.CANNOT_DELETE, 'EBUSY'],
  [STATUS.SHARING_VIOLATION, 'EBUSY'],
  [STATUS.DELETE_PENDING, 'EBUSY'],
  [STATUS.OBJECT_NAME_NOT_FOUND, 'ENOENT'],
  [STATUS.OBJECT_PATH_NOT_FOUND, 'ENOENT'],
  [STATUS.OBJECT_NAME_INVALID, 'EINVAL'],
  [STATUS.OBJECT_PATH_SYNTAX_BAD, 'EINVAL'],
  [STATUS.FILE_IS_A_DIRECTORY, 'EISDIR'],
  [STATUS.NOT_A_DIRECTORY, 'ENOTDIR'],
  [STATUS.DIRECTORY_NOT_EMPTY, 'ENOTEMPTY'],
]);

/** A program gets errors with Node's codes, whatever Windows called them. */
async function coded<T>(path: string, work: (names: string[]) => Promise<T>): Promise<T> {
  const names = diskPath(path);
  if (!names) throw Object.assign(new Error(`${path} is on no disk of this machine`), { code: 'ENOENT' });
  try {
    return await work(names);
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    throw Object.assign(new Error(`${error.message}: ${path}`, { cause: error }), {
      code: CODE_OF_STATUS.get(error.status) ?? 'EIO',
    });
  }
}

/** What the service manager refuses reaches a program as an error whose code is the Win32 number. */
async function numbered(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    const code = win32Of(error);
    throw code === undefined ? error : Object.assign(new Error(`error ${code}`, { cause: error }), { code });
  }
}

function mutexOf(machine: Machine, run: AbortSignal): TargetHost['mutex'] {
  return (name) => {
    const key = name.toLowerCase();
    const holder = machine.mutexes.get(key);
    if (holder && !holder.aborted) return undefined;
    machine.mutexes.set(key, run);
    return () => {
      if (machine.mutexes.get(key) === run) machine.mutexes.delete(key);
    };
  };
}

/** Run is one run of one program: its file, the signal that tells it to stop, and one that tells that it is over. */
export interface Run {
  modulePath: string;
  signal: AbortSignal;
  /** over aborts when the run has ended, whatever it was doing; what belongs to the run ends with it. */
  over: AbortSignal;
}

/** The disk holds the program of a run a moment longer than the run. */
const HELD_MS = 100;
const TRIES = 50;

/** removeAfter takes a folder away when the program that lies in it has ended. */
function removeAfter({ disk, clock }: Machine, { over }: Run, path: string): void {
  const remove = async () => {
    for (let tries = 0; tries < TRIES; tries++) {
      const gone = await coded(path, (names) => removeWhole(disk, names)).then(
        () => true,
        () => false,
      );
      if (gone) return;
      await clock.sleep(HELD_MS);
    }
  };
  over.addEventListener('abort', () => void remove(), { once: true });
}

/** targetHost is a lab host as one run of a program sees it. */
export function targetHost(machine: Machine, run: Run): TargetHost {
  const { disk } = machine;
  return {
    name: machine.name,
    domain: machine.domain,
    fqdn: machine.fqdn,
    os: machine.os,
    architecture: machine.architecture,
    hardwareId: machine.hardwareId,
    addresses: () => [machine.address],
    modulePath: run.modulePath,
    signal: run.signal,
    clock: machine.clock,
    random: machine.random,
    print: (line) => machine.printed(line),
    readFile: (path) => coded(path, (names) => readWhole(disk, names)),
    // What a program calls secret needs no more here: only administrators reach the disk, and on this machine the files are 0600.
    writeFile: (path, bytes) => coded(path, (names) => writeWhole(disk, names, bytes)),
    appendFile: (path, bytes) => coded(path, (names) => writeWhole(disk, names, bytes, true)),
    mkdir: (path) => coded(path, (names) => makeFolders(disk, names)),
    remove: (path) => coded(path, (names) => removeWhole(disk, names)),
    list: (path) => coded(path, async (names) => (await listWhole(disk, names)).map((info) => info.name)),
    freeBytes: async () => Math.max(0, disk.freeBytes),
    mutex: mutexOf(machine, run.over),
    run: (command, { folder, signal }) => machine.runProgram(`${folder}\\${command}`, signal),
    removeAfter: (path) => removeAfter(machine, run, path),
    services: {
      create: (wish) => numbered(machine.createService(wish)),
      start: (name) => numbered(machine.startService(name)),
      stop: (name) => numbered(machine.stopService(name)),
      remove: (name) => numbered(machine.removeService(name)),
      status: async (name) => machine.serviceState(name),
    },
    registry: {
      set: async (key, values) => machine.setRegistry(key, values),
      remove: async (key) => machine.removeRegistry(key),
    },
    fetch: (url, init) => loopbackFetch(machine.address, run.over, url, init),
  };
}
