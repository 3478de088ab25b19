import { resolveSrv } from 'node:dns/promises';
import { appendFile, chmod, mkdir, open, readFile, readdir, rename, rm, statfs } from 'node:fs/promises';
import { arch, hostname } from 'node:os';
import { dirname } from 'node:path';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { hostFetch } from '#client/fetch';
import type { TargetHost } from '#client/host';
import { addressesOf, hardwareIdOf, systemOf } from './facts.ts';
import { placeOf } from './places.ts';
import { Services } from './services.ts';

const OWNER_ONLY = 0o600;
const FOLDER = 0o700;

const absent = (error: unknown) => ['ENOENT', 'ENOTDIR'].includes((error as { code?: string }).code ?? '');

/** replace writes beside the file and moves it over, after the bytes are on the disk: whoever reads it sees the old or the new, never half. */
async function replace(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: FOLDER });
  const beside = `${path}.${process.pid}.new`;
  const file = await open(beside, 'w', OWNER_ONLY);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  await chmod(beside, OWNER_ONLY);
  await rename(beside, path);
}

/** posixHost is this machine as the agent sees it; `root` is a folder that stands for `/`. */
export function posixHost(signal: AbortSignal, root: string): TargetHost {
  const place = (path: string) => placeOf(path, root);
  const whole = hostname();
  const held = new Set<string>();
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
    readFile: async (path) => {
      try {
        return new Uint8Array(await readFile(place(path)));
      } catch (error) {
        if (absent(error)) return undefined;
        throw error;
      }
    },
    writeFile: (path, bytes) => replace(place(path), bytes),
    appendFile: async (path, bytes) => {
      await mkdir(dirname(place(path)), { recursive: true, mode: FOLDER });
      await appendFile(place(path), bytes, { mode: OWNER_ONLY });
    },
    mkdir: async (path) => void (await mkdir(place(path), { recursive: true, mode: FOLDER })),
    remove: async (path) => {
      try {
        await rm(place(path), { recursive: true });
        return true;
      } catch (error) {
        if (absent(error)) return false;
        throw error;
      }
    },
    removeAfter: (path) =>
      void process.once('exit', () => process.getBuiltinModule('node:fs').rmSync(place(path), { recursive: true, force: true })),
    list: (path) => readdir(place(path)).catch(() => []),
    freeBytes: async () => {
      const { bavail, bsize } = await statfs(root || '/');
      return bavail * bsize;
    },
    mutex: (name) => {
      if (held.has(name)) return undefined;
      held.add(name);
      return () => void held.delete(name);
    },
    services: new Services(place),
    fetch: hostFetch,
    srv: (name) => resolveSrv(name),
  };
}
