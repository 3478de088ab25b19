import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { raise } from '#base/errors';

type Kind = 'managed' | 'external';

/**
 * settleBackend writes to the data folder which kind of store the site has, at its first start, and refuses the other kind from then on: a
 * forgotten `--database` would otherwise show an empty site and push everything again.
 */
export async function settleBackend(dataDir: string, kind: Kind): Promise<void> {
  const folder = path.join(dataDir, 'database');
  const file = path.join(folder, 'backend.json');
  await mkdir(folder, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 });
  await writeFile(file, `${JSON.stringify({ backend: kind })}\n`, { flag: 'wx', mode: 0o644 }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    },
  );
  const text = await readFile(file, 'utf8');
  const found = /"backend"\s*:\s*"(managed|external)"/.exec(text)?.[1];
  // An empty file is what a crash between making and writing it leaves; nothing was stored yet.
  if (found === undefined) return await writeFile(file, `${JSON.stringify({ backend: kind })}\n`);
  if (found !== kind) throw raise('PP_STORE_BACKEND', { file, found, wanted: kind });
}
