import { appendFile, chmod, mkdir, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemClock } from '#base/clock';
import type { TargetHost } from '#client/host';

const OWNER_ONLY = 0o600;
const FOLDER = 0o700;
/** What Windows says of a file that somebody has open at this moment, a virus scanner as a rule. */
const BUSY = ['EPERM', 'EACCES', 'EBUSY'];
const BUSY_TRIES = 5;
const BUSY_MS = 100;

const codeOf = (error: unknown) => (error as { code?: string }).code ?? '';
const absent = (error: unknown) => ['ENOENT', 'ENOTDIR'].includes(codeOf(error));

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
  await over(beside, path);
}

async function over(beside: string, path: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await rename(beside, path);
    } catch (error) {
      if (tries === BUSY_TRIES || !BUSY.includes(codeOf(error))) {
        await rm(beside, { force: true });
        throw error;
      }
      await systemClock.sleep(BUSY_MS);
    }
  }
}

/** filesOf is the file part of a host whose paths lie where `place` says. Who may read a file is for the folder it lies in to say. */
export function filesOf(place: (path: string) => string) {
  return {
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
  } satisfies Partial<TargetHost>;
}

/** mutexes are the names that this process holds: nobody else runs as this agent. */
export function mutexes(): TargetHost['mutex'] {
  const held = new Set<string>();
  return (name) => {
    if (held.has(name)) return undefined;
    held.add(name);
    return () => void held.delete(name);
  };
}
