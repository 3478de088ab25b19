import { isIP } from 'node:net';
import type { Place } from './compile.ts';

/** Network is a network as a filter names it. */
export interface Network {
  address: string;
  length: number;
  family: 4 | 6;
}

/** networkOf reads ADDRESS/LENGTH; undefined when it is none. */
export function networkOf(text: string): Network | undefined {
  const [address, length, ...rest] = text.split('/');
  if (!address || length === undefined || rest.length > 0 || !/^\d{1,3}$/.test(length)) return undefined;
  const family = address.includes('%') ? 0 : isIP(address);
  if (family === 0 || Number(length) > (family === 4 ? 32 : 128)) return undefined;
  return { address, length: Number(length), family: family as 4 | 6 };
}

const MOST_KEYS = 256;

/**
 * keysOf gives what resource_networks() has for the addresses of an IPv4 network: 10.1.2. for those of a /24, or 10.1. for a /16, several of
 * them where the length lies between. Undefined when there would be too many.
 */
function keysOf({ address, length }: Network): string[] | undefined {
  const [a, b, c] = address.split('.').map(Number) as [number, number, number];
  const bits = length > 16 ? 24 : 16;
  const count = 2 ** Math.max(bits - length, 0);
  if (count > MOST_KEYS) return undefined;
  const whole = bits === 24 ? a * 65_536 + b * 256 + c : a * 256 + b;
  const first = whole - (whole % count);
  return Array.from({ length: count }, (_, i) => {
    const n = first + i;
    return bits === 24
      ? `${Math.floor(n / 65_536)}.${Math.floor(n / 256) % 256}.${n % 256}.`
      : `${Math.floor(n / 256)}.${n % 256}.`;
  });
}

/** networkTest is true when an address of the machine lies in the network; the index finds the neighbourhood, each address is looked at then. */
export function networkTest(network: Network, place: Place): string {
  const keys = network.family === 4 ? keysOf(network) : undefined;
  const near = keys && `resource_networks(r.addresses) && ${place(keys, 'text[]')}`;
  // The keys of a /24, or of what is larger, are all of it.
  if (near && network.length <= 24) return near;
  const wanted = place(`${network.address}/${network.length}`, 'inet');
  const exact = `exists (select from unnest(r.addresses) as e(v) where e.v::inet <<= ${wanted})`;
  if (network.family === 4) {
    return near ? `(${near} and ${exact})` : exact;
  }
  if (network.length < 48) return exact;
  const bits = network.length < 64 ? 48 : 64;
  return `(resource_networks(r.addresses) @> array[host(network(set_masklen(${wanted}, ${bits}))) || '/${bits}'] and ${exact})`;
}
