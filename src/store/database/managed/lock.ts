import { stat } from 'node:fs/promises';
import net from 'node:net';

/**
 * The lock on a database folder is an abstract Unix socket: the kernel gives it to one process and takes it back when that process ends,
 * however it ends, so no stale lock file can exist. Processes that find it held stay connected to it; thus the holder knows how many are
 * attached and they know when it has gone. Nothing said on it is believed beyond that, since any local user can listen on a name.
 */
export interface Held {
  /** attached is how many other processes use the server. */
  attached(): number;
  /** release gives the lock to whoever is quickest. */
  release(): Promise<void>;
}

export interface Attached {
  /** gone resolves when the holder has released the lock or ended. */
  gone: Promise<void>;
  /** check asks the holder to look whether the server still runs. */
  check(): void;
  /** leave says goodbye; 'alone' means the holder ended before it took note, so this process has to look after the server. */
  leave(): Promise<'noted' | 'alone'>;
}

/** lockName is one name per folder, whichever path leads to it. */
export async function lockName(folder: string): Promise<string> {
  const { dev, ino } = await stat(folder, { bigint: true });
  return `\0pushpoint-database-${dev.toString(16)}-${ino.toString(16)}`;
}

function listening(server: net.Server, path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(false) : reject(error)));
    server.listen({ path }, () => resolve(true));
  });
}

/** tryHold takes the lock if nobody has it; `onCheck` runs when an attached process finds the server dead. */
export async function tryHold(name: string, onCheck: () => void): Promise<Held | undefined> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (data) => {
      const said = data.toString('latin1');
      if (said.includes('b')) {
        sockets.delete(socket);
        socket.end('n');
      } else if (said.includes('c')) onCheck();
    });
    // A process that only waits on the lock is not kept alive by it.
    socket.unref();
  });
  if (!(await listening(server, name))) return undefined;
  server.unref();
  return {
    attached: () => sockets.size,
    release: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** attach connects to the holder of the lock; undefined when there is none (any more). */
export function attach(name: string): Promise<Attached | undefined> {
  return new Promise((resolve) => {
    const socket = net.connect({ path: name });
    let noted = false;
    socket.unref();
    const gone = new Promise<void>((end) => socket.once('close', () => end()));
    socket.on('error', () => {});
    socket.on('data', () => (noted = true));
    void gone.then(() => resolve(undefined));
    socket.once('connect', () =>
      resolve({
        gone,
        check: () => void socket.write('c'),
        async leave() {
          socket.ref();
          socket.write('b');
          await gone;
          return noted ? 'noted' : 'alone';
        },
      }),
    );
  });
}
