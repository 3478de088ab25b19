import { connect, type Socket } from 'node:net';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';

export interface ConnectOptions {
  /** address is an IP address; names are resolved by the caller, who must know which address it reached. */
  address: string;
  port: number;
  timeoutMs: number;
  clock: Clock;
  signal?: AbortSignal;
}

/** Nobody listens, or a firewall answers for the host. */
const REFUSING = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE']);
/** No packet ever came back. */
const SILENT = new Set(['ETIMEDOUT']);

function explained(error: NodeJS.ErrnoException, { address, port, timeoutMs }: ConnectOptions): Error {
  const params = { address, port, ms: Math.round(timeoutMs) };
  const options = { cause: error, detail: error.code ?? error.message };
  if (REFUSING.has(error.code ?? '')) return raise('PP_NET_REFUSED', params, options);
  if (SILENT.has(error.code ?? '')) return raise('PP_NET_SILENT', params, options);
  // EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL, EACCES and what else a kernel says before a packet leaves
  return raise('PP_NET_UNROUTABLE', params, options);
}

/**
 * connectTcp opens a connection and gives its socket, paused and without delay. It raises PP_NET_REFUSED, PP_NET_SILENT or
 * PP_NET_UNROUTABLE, or rejects with the reason of the signal.
 */
export function connectTcp(options: ConnectOptions): Promise<Socket> {
  const { address, port, timeoutMs, clock, signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const socket = connect({ host: address, port, noDelay: true, autoSelectFamily: false });
    socket.pause();
    const settle = () => {
      cancel();
      signal?.removeEventListener('abort', onAbort);
      socket.removeAllListeners('connect').removeAllListeners('error');
    };
    const fail = (error: Error) => {
      settle();
      socket.on('error', () => {}); // what comes after this is told already
      socket.destroy();
      reject(error);
    };
    const onAbort = () => fail(signal?.reason as Error);
    const cancel = clock.after(timeoutMs, () => fail(raise('PP_NET_SILENT', { address, port, ms: Math.round(timeoutMs) })));
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.once('error', (error) => fail(explained(error, options)));
    socket.once('connect', () => {
      settle();
      resolve(socket);
    });
  });
}

/** probeTcp tells whether something listens, and how long the answer took; nothing is sent. It raises what connectTcp raises. */
export async function probeTcp(options: ConnectOptions): Promise<{ open: true; ms: number }> {
  const from = options.clock.monotonic();
  const socket = await connectTcp(options);
  const ms = options.clock.monotonic() - from;
  socket.on('error', () => {}); // a reset after we hang up is no news
  socket.destroy();
  return { open: true, ms };
}
