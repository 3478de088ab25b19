import { connect, type Socket } from 'node:net';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import { Line } from './line.ts';

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
 * What comes in is read into one room for all connections and handed on as a copy of its own length. Node would make room for 64 KiB for each
 * read of each connection, and most of them bring a few hundred octets.
 */
const ROOM = Buffer.alloc(65_536);

/**
 * connectTcp opens a connection and gives its socket, paused and without delay. It raises PP_NET_REFUSED, PP_NET_SILENT or
 * PP_NET_UNROUTABLE, or rejects with the reason of the signal.
 */
export function connectTcp(options: ConnectOptions): Promise<Socket> {
  const { address, port, timeoutMs, clock, signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const callback = (length: number): boolean => {
      socket.emit('data', Buffer.copyBytesFrom(ROOM, 0, length));
      return true;
    };
    const onread = { buffer: ROOM, callback };
    const socket: Socket = connect({ host: address, port, noDelay: true, autoSelectFamily: false, onread });
    socket.pause();
    let isSettled = false;
    const settle = () => {
      isSettled = true;
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
    // A process that was kept waiting finds its timers due first; what has come in the meantime is heard before it is taken for silence.
    const cancel = clock.after(timeoutMs, () => setImmediate(onSilence));
    const onSilence = () => isSettled || fail(raise('PP_NET_SILENT', { address, port, ms: Math.round(timeoutMs) }));
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.once('error', (error) => fail(explained(error, options)));
    socket.once('connect', () => {
      settle();
      resolve(socket);
    });
  });
}

/** NotReached says why there is no connection; `code` is what the system says. `ended`: the caller did not want to wait any longer. */
export interface NotReached {
  why: 'refused' | 'silent' | 'unroutable' | 'ended';
  code?: string | undefined;
}

export interface ReachOptions {
  address: string;
  port: number;
  timeoutMs: number;
  clock: Clock;
  /** While it is under way, what ends it stands in here. */
  ends: Set<() => void>;
}

/**
 * reachTcp does what connectTcp does for those who try very many addresses, of which most do not answer: it makes no error for each, and does not
 * hang on a signal that thousands of others hang on.
 */
export function reachTcp({ address, port, timeoutMs, clock, ends }: ReachOptions): Promise<Socket | NotReached> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, noDelay: true, autoSelectFamily: false });
    socket.pause();
    let isSettled = false;
    const settle = (result: Socket | NotReached) => {
      if (isSettled) return;
      isSettled = true;
      cancel();
      ends.delete(end);
      if (result !== socket) socket.destroy();
      resolve(result);
    };
    const end = () => settle({ why: 'ended' });
    ends.add(end);
    // As in connectTcp: what has come in the meantime is heard before it is taken for silence.
    const cancel = clock.after(timeoutMs, () => setImmediate(settle, { why: 'silent' }));
    // The listener stays: what goes wrong later is told by whoever speaks on the connection.
    socket.on('error', ({ code }: NodeJS.ErrnoException) => settle({ why: whyOf(code), code }));
    socket.once('connect', () => settle(socket));
  });
}

function whyOf(code: string | undefined): NotReached['why'] {
  if (REFUSING.has(code ?? '')) return 'refused';
  return SILENT.has(code ?? '') ? 'silent' : 'unroutable';
}

/** Probed is what a probe found; `line` is its connection, where the caller asked to keep it. */
export interface Probed {
  open: true;
  ms: number;
  line: Line | undefined;
}

/**
 * probeTcp tells whether something listens, and how long the answer took; nothing is sent. It hangs up again, or keeps the line for who will
 * speak on it. It raises what connectTcp raises.
 */
export async function probeTcp(options: ConnectOptions & { keep?: boolean }): Promise<Probed> {
  const from = options.clock.monotonic();
  const line = new Line(await connectTcp(options), options.clock);
  const ms = options.clock.monotonic() - from;
  if (!options.keep) line.drop();
  return { open: true, ms, line: options.keep ? line : undefined };
}
