import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { raise } from '#base/errors';
import type { DataFolder } from './data-folder.ts';
import { readRunning } from './running.ts';
import type { Role } from './roles.ts';

/** Of these roles a data folder has one process each: two inboxes would take each other's files, two consoles one file of their address, two
 * hierarchies the line from each other. */
const SINGLE: readonly Role[] = ['console', 'inbox', 'hierarchy'];

/**
 * holdRoles takes the roles that only one process of a data folder may have, or says who has them. Each is an abstract Unix socket, which
 * the kernel takes back when the process ends, however it ends: no lock file can be left over.
 */
export async function holdRoles(folder: DataFolder, roles: ReadonlySet<Role>): Promise<() => void> {
  const held: (() => void)[] = [];
  for (const role of SINGLE.filter((one) => roles.has(one))) {
    const release = await holdFolder(folder.path, role);
    if (!release) {
      for (const other of held) other();
      const pid = readRunning(folder.path)?.pid;
      const who = pid === undefined ? 'another process' : `process ${pid}`;
      throw raise('PP_SITE_RUNNING', { data: folder.path, why: `${who} has the role ${role}` });
    }
    held.push(release);
  }
  return () => held.splice(0).forEach((release) => release());
}

/** holdFolder takes a folder for one process and one purpose until that process ends; undefined where another one has it. */
export async function holdFolder(path: string, purpose: string): Promise<(() => void) | undefined> {
  const { dev, ino } = await stat(path, { bigint: true });
  return hold(`\0pushpoint-${purpose}-${dev.toString(16)}-${ino.toString(16)}`);
}

function hold(name: string): Promise<(() => void) | undefined> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error)));
    server.listen({ path: name }, () => {
      server.unref();
      resolve(() => server.close());
    });
  });
}
