import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { systemClock } from '#base/clock';
import { raise } from '#base/errors';
import { systemRandom } from '#base/random';
import { labPackage, startFleet, type Fleet } from '#lab/fleet';

/** The port that all lab hosts answer SMB on: 445 needs root. */
const LAB_PORT = 4450;

export interface LabWish {
  windows: number;
  mix: 'healthy' | 'mixed';
  folder: string;
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

/** A repair is asked for by a file of the host's name in the lab's folder, because the lab has no port of its own. */
function watchRepairs(folder: string, fleet: Fleet): () => void {
  const asked = join(folder, 'repair');
  mkdirSync(asked, { recursive: true, mode: 0o700 });
  let cancel: () => void = () => {};
  const look = () => {
    for (const name of readdirSync(asked)) {
      const done = fleet.find(name) ? fleet.repair(name) : Promise.resolve();
      void done.finally(() => rmSync(join(asked, name), { force: true }));
    }
    cancel = systemClock.after(LOOK_MS, look);
  };
  look();
  return () => cancel();
}

/** askRepair asks the lab that runs in a folder to repair hosts, and waits until it has. */
export async function askRepair(folder: string, names: readonly string[], limitMs = 10_000): Promise<void> {
  const asked = join(resolve(folder), 'repair');
  if (!existsSync(asked)) throw raise('PP_CLI_FILE', { file: resolve(folder), why: 'no lab runs there' });
  const files = names.map((name) => join(asked, name.toUpperCase()));
  for (const file of files) writeFileSync(file, '');
  const until = systemClock.monotonic() + limitMs;
  while (files.some((file) => existsSync(file))) {
    if (systemClock.monotonic() > until)
      throw raise('PP_CLI_FILE', { file: resolve(folder), why: 'the lab there does not answer; does it run?' });
    await systemClock.sleep(LOOK_MS);
  }
}

/** startLab starts lab hosts and writes their import list, the password of their push account and the package for them into the folder. */
export async function startLab(wish: LabWish): Promise<{ fleet: Fleet; ready: LabReady; stop(): Promise<void> }> {
  const folder = resolve(wish.folder);
  try {
    mkdirSync(join(folder, 'hosts'), { recursive: true, mode: 0o700 });
    mkdirSync(join(folder, 'package'), { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw raise('PP_CLI_FILE', { file: folder, why: 'the folder of the lab cannot be made' }, { cause });
  }
  const fleet = await startFleet({
    windows: wish.windows,
    mix: wish.mix,
    folder: join(folder, 'hosts'),
    port: wish.port ?? LAB_PORT,
    clock: systemClock,
    random: systemRandom,
  });
  const ready: LabReady = {
    hosts: fleet.hosts.length,
    csv: join(folder, 'devices.csv'),
    username: fleet.account.username,
    passwordFile: join(folder, 'password'),
    package: join(folder, 'package', 'package.json'),
  };
  const made = await labPackage();
  for (const file of made.files) writeFileSync(join(folder, 'package', file.name), file.bytes);
  writeFileSync(ready.package, `${JSON.stringify(made.definition, undefined, 2)}\n`);
  writeFileSync(ready.csv, fleet.csv());
  writeFileSync(ready.passwordFile, `${fleet.account.password}\n`, { mode: 0o600 });
  const unwatch = watchRepairs(folder, fleet);
  return {
    fleet,
    ready,
    async stop() {
      unwatch();
      await fleet.stop();
    },
  };
}

/** untilSignal resolves with the name of the signal that asks this process to end. */
export function untilSignal(): Promise<string> {
  return new Promise((done) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => done(signal));
  });
}

/** runLab keeps a lab up until a signal comes. */
export async function runLab(wish: LabWish): Promise<{ ready: LabReady; stopped: Promise<void> }> {
  const { ready, stop } = await startLab(wish);
  return { ready, stopped: untilSignal().then(stop) };
}
