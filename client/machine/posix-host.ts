import { resolveSrv } from 'node:dns/promises';
import { statfs } from 'node:fs/promises';
import { arch, hostname } from 'node:os';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { hostFetch } from '#client/fetch';
import type { TargetHost } from '#client/host';
import { addressesOf, hardwareIdOf, systemOf } from './facts.ts';
import { filesOf, mutexes } from './files.ts';
import { placeOf } from './places.ts';
import { Services } from './services.ts';

/** posixHost is this machine as the agent sees it; `root` is a folder that stands for `/`. */
export function posixHost(signal: AbortSignal, root: string): TargetHost {
  const place = (path: string) => placeOf(path, root);
  const whole = hostname();
  return {
    name: (whole.split('.')[0] ?? 'unknown').replace(/[^A-Za-z0-9_-]/g, '-').slice(0, 63) || 'unknown',
    domain: '',
    fqdn: whole.includes('.') ? whole : '',
    os: systemOf(),
    architecture: arch(),
    hardwareId: hardwareIdOf(),
    addresses: addressesOf,
    modulePath: process.argv[1] ?? '',
    signal,
    clock: systemClock,
    random: systemRandom,
    print: (line) => void process.stdout.write(`${line}\n`),
    ...filesOf(place),
    freeBytes: async () => {
      const { bavail, bsize } = await statfs(root || '/');
      return bavail * bsize;
    },
    pathOf: place,
    mutex: mutexes(),
    services: new Services(place),
    fetch: hostFetch,
    srv: (name) => resolveSrv(name),
  };
}
