import { createServer } from 'node:net';
import { once } from 'node:events';

/** Places is where the hosts of a fleet stand: each on an address of its own and one common port, or on one address with a port each. */
export interface Places {
  address(index: number): string;
  /** port is 0 where each host takes its own. */
  port: number;
}

const FIRST = '127.20.0.1';
const TRIES = 20;

const number = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);

/** addressAt is the address `index` places after `first`, passing over those that end in 0 or 255. */
export function addressAt(first: string, index: number): string {
  let at = number(first);
  for (let left = index; ; at++) {
    const last = at % 256;
    if (last === 0 || last === 255) continue;
    if (left-- === 0) break;
  }
  return [at >>> 24, (at >>> 16) & 255, (at >>> 8) & 255, at & 255].join('.');
}

async function listens(address: string, port: number): Promise<number | undefined> {
  const server = createServer();
  server.listen({ host: address, port });
  try {
    await once(server, 'listening');
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code;
    if (errno === 'EADDRINUSE' || errno === 'EADDRNOTAVAIL') return undefined;
    throw error;
  }
  const at = server.address();
  server.close();
  await once(server, 'close');
  return typeof at === 'object' && at ? at.port : undefined;
}

/**
 * findPlaces looks for a port that is free on all addresses. Where this machine has only 127.0.0.1 (macOS and others, unless aliases
 * were added), all hosts share that address and each takes a port of its own.
 */
export async function findPlaces(count: number, options: { first?: string; port?: number }): Promise<Places> {
  const first = options.first ?? FIRST;
  if (!/^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(first)) throw new RangeError(`${first} is not in 127.0.0.0/8`);
  if ((await listens(addressAt(first, count - 1), 0)) === undefined) return { address: () => '127.0.0.1', port: 0 };
  for (let tries = 0; tries < TRIES; tries++) {
    const port = options.port || (await listens(first, 0));
    if (port === undefined) break;
    // The first and last stand for all: nobody else uses this range, and a port in use fails when the host starts.
    if ((await listens(first, port)) && (await listens(addressAt(first, count - 1), port)))
      return { address: (index) => addressAt(first, index), port };
    if (options.port) break;
  }
  if (options.port) throw new Error(`port ${options.port} is in use on ${first}`);
  return { address: () => '127.0.0.1', port: 0 };
}
