import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { systemClock } from '#base/clock';
import { PushpointError, raise } from '#base/errors';
import { systemRandom } from '#base/random';
import { holdFolder, makeFolder } from '#executive';
import type { Fleet } from '#lab/fleet';
import { note } from './output.ts';

export interface LabWish {
  windows: number;
  mix: 'healthy' | 'mixed';
  folder: string;
  /** Any port that is free where none is given: 445 needs root, and the import list tells the site which one it is. */
  port?: number | undefined;
}

/** LabReady is where the lab left what a site needs to push to it. */
export interface LabReady {
  hosts: number;
  csv: string;
  username: string;
  passwordFile: string;
  package: string;
}

/** How often a running lab looks whether somebody asks it to repair a host. */
const LOOK_MS = 300;

const requests = (folder: string) => join(folder, 'repair');
const listOf = (folder: string) => join(folder, 'devices.csv');

/** A repair is asked for by a file of the host's name in the lab's folder, because the lab has no port of its own. */
function watchRepairs(folder: string, fleet: Fleet): () => void {
  const asked = requests(folder);
  rmSync(asked, { recursive: true, force: true });
  makeFolder(asked, 0o700);
  let cancel: () => void = () => {};
  let closed = false;
  const look = async () => {
    for (const name of names(asked)) {
      await fleet.repair(name).catch((error: unknown) => note(`${name} could not be repaired: ${String(error)}`));
      rmSync(join(asked, name), { force: true });
    }
    if (!closed) cancel = systemClock.after(LOOK_MS, () => void look());
  };
  void look();
  return () => {
    closed = true;
    cancel();
    // Without the folder `lab repair` knows that nobody listens.
    rmSync(asked, { recursive: true, force: true });
  };
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // somebody removed the folder of the lab: then nobody asks for anything
  }
}

function hostsOf(folder: string): Set<string> {
  try {
    readdirSync(requests(folder));
    const [, ...rows] = readFileSync(listOf(folder), 'utf8').trim().split(/\r?\n/);
    return new Set(rows.map((row) => row.split(',', 1)[0]!));
  } catch (cause) {
    throw raise('PP_CLI_LAB', { folder, why: 'no lab runs there' }, { cause });
  }
}

/** askRepair asks the lab that runs in a folder to repair hosts, and waits until it has. Names that it does not have stop it before the first. */
export async function askRepair(where: string, given: readonly string[], limitMs = 10_000): Promise<void> {
  const folder = resolve(where);
  const hosts = hostsOf(folder);
  const wanted = given.map((name) => name.toUpperCase());
  const strange = wanted.filter((name) => !hosts.has(name));
  if (strange.length > 0) throw raise('PP_CLI_LAB', { folder, why: `it has no host ${strange.join(', ')}` });
  const asked = requests(folder);
  for (const name of wanted) writeFileSync(join(asked, name), '');
  const isOpen = () => names(asked).some((name) => wanted.includes(name));
  const until = systemClock.monotonic() + limitMs;
  while (isOpen()) {
    if (systemClock.monotonic() > until) {
      rmSync(asked, { recursive: true, force: true });
      throw raise('PP_CLI_LAB', { folder, why: 'the lab there does not answer; it has ended without saying so' });
    }
    await systemClock.sleep(LOOK_MS);
  }
}

async function writeLists(folder: string, fleet: Fleet): Promise<LabReady> {
  const { labPackage } = await import('#lab/fleet');
  const ready: LabReady = {
    hosts: fleet.hosts.length,
    csv: listOf(folder),
    username: fleet.account.username,
    passwordFile: join(folder, 'password'),
    package: join(folder, 'package', 'package.json'),
  };
  const made = await labPackage();
  for (const file of made.files) writeFileSync(join(folder, 'package', file.name), file.bytes);
  writeFileSync(ready.package, `${JSON.stringify(made.definition, undefined, 2)}\n`);
  writeFileSync(ready.csv, fleet.csv());
  writeFileSync(ready.passwordFile, `${fleet.account.password}\n`, { mode: 0o600 });
  return ready;
}

/** startLab starts lab hosts and writes their import list, the password of their push account and the package for them into the folder. */
export async function startLab(wish: LabWish): Promise<{ fleet: Fleet; ready: LabReady; stop(): Promise<void> }> {
  const folder = resolve(wish.folder);
  const { startFleet } = await import('#lab/fleet');
  let fleet: Fleet | undefined;
  let release: (() => void) | undefined;
  try {
    for (const part of ['hosts', 'package']) makeFolder(join(folder, part), 0o700);
    // Two labs in one folder would be two machines with one disk.
    release = await holdFolder(folder, 'lab');
    if (!release) throw raise('PP_CLI_LAB', { folder, why: 'a lab runs there already' });
    fleet = await startFleet({
      windows: wish.windows,
      mix: wish.mix,
      folder: join(folder, 'hosts'),
      ...(wish.port !== undefined && { port: wish.port }),
      clock: systemClock,
      random: systemRandom,
    });
    const ready = await writeLists(folder, fleet);
    const unwatch = watchRepairs(folder, fleet);
    const started = fleet;
    return {
      fleet,
      ready,
      async stop() {
        unwatch();
        await started.stop();
        release?.();
      },
    };
  } catch (cause) {
    await fleet?.stop();
    release?.();
    if (cause instanceof PushpointError) throw cause;
    throw raise('PP_CLI_LAB', { folder, why: (cause as Error).message }, { cause });
  }
}

/** untilSignal resolves with the name of the signal that asks this process to end. */
export function untilSignal(): Promise<string> {
  return new Promise((done) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => done(signal));
  });
}

/** runLab keeps a lab up until a signal comes. */
export async function runLab(wish: LabWish): Promise<{ ready: LabReady; stopped: Promise<void> }> {
  const ended = untilSignal();
  const lab = await startLab(wish);
  return { ready: lab.ready, stopped: ended.then(() => lab.stop()) };
}
