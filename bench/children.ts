import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LabFound, LabOrder } from './push-lab.ts';

/** child starts a file of this folder in a process of its own. */
export function child(name: string): ChildProcess {
  return fork(fileURLToPath(new URL(name, import.meta.url)));
}

/** ask gives a child its order and waits for its answer. */
export async function ask<T>(process: ChildProcess, order: unknown): Promise<T> {
  process.send(order as object);
  const ended = once(process, 'exit').then(([code]) =>
    Promise.reject(new Error(`a process of the benchmark ended with ${code}`)),
  );
  const [answer] = (await Promise.race([once(process, 'message'), ended])) as [T];
  ended.catch(() => {});
  return answer;
}

async function end(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const gone = once(process, 'exit');
  if (process.connected) process.disconnect();
  await gone;
}

/** withLab starts lab hosts and takes them away again when the work with them is done. */
export async function withLab<T>(
  order: Omit<LabOrder, 'folder'>,
  work: (lab: LabFound, folder: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(path.join(tmpdir(), 'pushpoint-bench-'));
  // Started by root, the database runs as another user, who has to pass through here.
  await chmod(folder, 0o711);
  const lab = child('push-lab.ts');
  try {
    return await work(await ask<LabFound>(lab, { ...order, folder: path.join(folder, 'hosts') } satisfies LabOrder), folder);
  } finally {
    await end(lab);
    await rm(folder, { recursive: true, force: true });
  }
}
