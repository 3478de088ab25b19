import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Log } from '#base/log';
import { refuseLine } from './unreadable.ts';

const MOST = 30_000;
const FEWEST = 256;
/** Files and connections of everything else in the process. */
const OTHERS = 1000;
/** So many more are told why they are sent away; beyond those a connection is closed without a word. */
const TOLD = 256;
/** Who was sent away comes again after this time, spread over as long again. */
const RETRY_SECONDS = 15;
const MINUTE_MS = 60_000;

/** roomForConnections is how many connections a listener holds: what the limit of open files leaves, and no more than one process serves well. */
export function roomForConnections(limits = '/proc/self/limits'): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync(limits, 'utf8'))?.[1];
    return soft === undefined ? MOST : Math.max(FEWEST, Math.min(MOST, Number(soft) - OTHERS));
  } catch {
    return MOST;
  }
}

/** holdConnections lets a server have so many connections. Who comes beyond that hears 503 with Retry-After, and the log says it once a minute. */
export function holdConnections<S extends Server>(server: S, most: number, parts: { clock: Clock; log: Log }): S {
  const { clock, log } = parts;
  const plain = !('setSecureContext' in server);
  let open = 0;
  let leaving = 0;
  let away = 0;
  let said = -Infinity;
  const turnAway = (socket: Socket): void => {
    away++;
    if (clock.monotonic() - said >= MINUTE_MS) {
      said = clock.monotonic();
      const what =
        'more connections than this process holds: run the role mp in more processes, or raise `ulimit -n` (LimitNOFILE= of systemd)';
      log.warn(what, { holds: most, turnedAway: away });
      away = 0;
    }
    // Before TLS nothing can be said.
    if (!plain || leaving >= TOLD) return void socket.destroy();
    leaving++;
    socket.once('close', () => leaving--);
    socket.resume();
    const seconds = RETRY_SECONDS + ((leaving + away) % RETRY_SECONDS);
    refuseLine(socket, raise('PP_HTTP_FULL', { limit: most, seconds }), clock);
  };
  const listeners = server.listeners('connection') as ((this: unknown, socket: Socket) => void)[];
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    if (open >= most) return turnAway(socket);
    open++;
    socket.once('close', () => open--);
    for (const listener of listeners) listener.call(server, socket);
  });
  return server;
}
