import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '#base/clock';
import type { Log } from '#base/log';

export const POLL_MS = 25;
/** A killed server's last processes end within this time. */
export const REST_MS = 5_000;
/** A fast shutdown that takes longer is made an immediate one; the next start recovers. */
const STOP_MS = 30_000;

/** Postmaster is what a server writes into its cluster about itself. */
export interface Postmaster {
  pid: number;
  /** ready is true when it takes connections. */
  ready: boolean;
}

/** postmasterFile reads postmaster.pid: the process id stands in its first line, the state in its eighth. */
export async function postmasterFile(cluster: string): Promise<Postmaster | undefined> {
  const text = await readFile(path.join(cluster, 'postmaster.pid'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const lines = text.split('\n');
  return { pid: Number.parseInt(lines[0]!, 10) || 0, ready: lines[7]?.trim() === 'ready' };
}

/** isZombie tells whether a process has ended and only waits for its parent to take note. */
async function isZombie(pid: number): Promise<boolean> {
  // `pid (name) state parent …`, where the name may hold blanks and brackets.
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  return text.slice(text.lastIndexOf(')') + 2).startsWith('Z');
}

/**
 * serverProcesses lists the living processes of a cluster's server. A PostgreSQL process works in its cluster's folder all its life, so
 * that tells whose it is; the id in postmaster.pid alone tells nothing after a restart of the machine or the container.
 */
export async function serverProcesses(cluster: string): Promise<number[]> {
  const own = await stat(cluster).catch(() => undefined);
  if (!own) return [];
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    const pid = /^\d+$/.test(name) ? Number(name) : process.pid;
    if (pid === process.pid) continue;
    // Another user's process cannot be looked into, and a zombie has no folder: both are no server of ours.
    const folder = await stat(`/proc/${pid}/cwd`).catch(() => undefined);
    if (folder?.ino !== own.ino || folder.dev !== own.dev) continue;
    if ((await stat(`/proc/${pid}`).catch(() => undefined))?.uid === own.uid && !(await isZombie(pid))) found.push(pid);
  }
  return found;
}

/** runningPostmaster is the id of the cluster's living postmaster, if there is one. */
export async function runningPostmaster(cluster: string): Promise<number | undefined> {
  const said = await postmasterFile(cluster);
  return said && (await serverProcesses(cluster)).includes(said.pid) ? said.pid : undefined;
}

/** signal sends a signal; false when the process is gone. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

/** stopServer ends a cluster's server in order, with what runs rolled back, and waits until it is gone; false when there was none. */
export async function stopServer(cluster: string, clock: Clock, log: Log): Promise<boolean> {
  const started = clock.monotonic();
  let asked = false;
  let pressed = false;
  for (;;) {
    const pid = await runningPostmaster(cluster);
    // It removes its lock file a moment before it is gone.
    if (pid === undefined && (!asked || (await serverProcesses(cluster)).length === 0)) return asked;
    const waited = clock.monotonic() - started;
    if (waited > STOP_MS + REST_MS) return await endProcesses(cluster, clock);
    if (pid !== undefined && !asked) asked = signal(pid, 'SIGINT');
    if (pid !== undefined && !pressed && waited > STOP_MS) {
      log.warn('database server did not stop in time', { pid });
      pressed = signal(pid, 'SIGQUIT');
    }
    await clock.sleep(POLL_MS);
  }
}

/** endProcesses ends all processes of a cluster without ceremony, as after the death of the postmaster. */
export async function endProcesses(cluster: string, clock: Clock): Promise<true> {
  const deadline = clock.monotonic() + REST_MS;
  for (let left = await serverProcesses(cluster); left.length > 0; left = await serverProcesses(cluster)) {
    for (const pid of left) signal(pid, clock.monotonic() > deadline ? 'SIGKILL' : 'SIGQUIT');
    await clock.sleep(POLL_MS);
  }
  return true;
}
