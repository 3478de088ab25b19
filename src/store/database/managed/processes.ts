import { readdir, readFile, readlink, stat } from 'node:fs/promises';

/**
 * What /proc tells about server processes of a cluster. A PostgreSQL process works in its cluster's folder all its life, so the folder it
 * works in tells whose it is; the process id in postmaster.pid alone tells nothing after a restart of the machine or the container.
 */
export interface ServerProcess {
  pid: number;
  /** leads is true for the postmaster, which the others are children of. */
  parent: number;
}

async function statusOf(pid: number): Promise<{ state: string; parent: number } | undefined> {
  try {
    // `pid (name) state parent …`, where the name may hold blanks and brackets.
    const text = await readFile(`/proc/${pid}/stat`, 'latin1');
    const [state, parent] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: state!, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

/** isZombie tells whether a process has ended and only waits for its parent to take note. */
export async function isZombie(pid: number): Promise<boolean> {
  return (await statusOf(pid))?.state === 'Z';
}

/** serverProcesses lists the living processes that work in the cluster's folder and belong to its owner. */
export async function serverProcesses(cluster: string): Promise<ServerProcess[]> {
  const owner = await stat(cluster).catch(() => undefined);
  if (!owner) return [];
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found: ServerProcess[] = [];
  for (const pid of pids) {
    if (pid === process.pid) continue;
    // Another user's process cannot be looked into, and a zombie has no folder: both are no server of ours.
    const folder = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
    if (folder !== cluster || (await stat(`/proc/${pid}`).catch(() => undefined))?.uid !== owner.uid) continue;
    const status = await statusOf(pid);
    if (status && status.state !== 'Z') found.push({ pid, parent: status.parent });
  }
  return found;
}

/** postmasterOf picks the process that the others are children of. */
export function postmasterOf(processes: ServerProcess[]): number | undefined {
  const pids = new Set(processes.map(({ pid }) => pid));
  return processes.find(({ parent }) => !pids.has(parent))?.pid;
}

/** signal sends a signal; false when the process is gone. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}
