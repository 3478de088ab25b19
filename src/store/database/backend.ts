import { mkdir, readFile, realpath } from 'node:fs/promises';
import path from 'node:path';
import { PushpointError, raise } from '#base/errors';
import { writeAtomic } from '#store/inbox';

type Kind = 'managed' | 'external';

/** databaseFolder is `<data>/database`, made if needed, without links in its path. */
export async function databaseFolder(dataDir: string): Promise<string> {
  const folder = path.join(dataDir, 'database');
  // Root's server runs as another user, who has to get through to his own folders below; nothing can be listed on the way.
  const mode = process.getuid?.() === 0 ? 0o711 : 0o700;
  return await usable(folder, async () => {
    await mkdir(folder, { recursive: true, mode });
    return await realpath(folder);
  });
}

async function usable<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof PushpointError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw raise('PP_STORE_FOLDER', { folder, why: code ?? message }, { cause: error });
  }
}

async function settled(file: string): Promise<Kind | undefined> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return /"backend"\s*:\s*"(managed|external)"/.exec(text)?.[1] as Kind | undefined;
}

/**
 * settleBackend opens the store of the kind that is asked for, and writes to the data folder which kind it was, at the first start that
 * succeeds. From then on the other kind is refused: a forgotten `--database` would show an empty site and push everything again.
 */
export async function settleBackend<T>(dataDir: string, kind: Kind, open: () => Promise<T>): Promise<T> {
  const folder = await databaseFolder(dataDir);
  const file = path.join(folder, 'backend.json');
  const found = await usable(folder, () => settled(file));
  if (found !== undefined && found !== kind) throw raise('PP_STORE_BACKEND', { file, found, wanted: kind });
  const opened = await open();
  if (found === undefined) await usable(folder, () => writeAtomic(file, `${JSON.stringify({ backend: kind })}\n`, 0o644));
  return opened;
}

/** changeBackend writes down that the site works with the other kind from now on; the caller has brought its data there. */
export async function changeBackend(dataDir: string, kind: Kind): Promise<void> {
  const folder = await databaseFolder(dataDir);
  await usable(folder, () => writeAtomic(path.join(folder, 'backend.json'), `${JSON.stringify({ backend: kind })}\n`, 0o644));
}
