import { open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';

let drafts = 0;

/** syncFolder has the entries of a folder (what is new, renamed, removed) reach the disk; Windows does that by itself. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** openDraft opens a new file beside the final one; a number that a process of the same id left behind before a crash is skipped. */
async function openDraft(file: string, mode: number) {
  for (;;) {
    const draft = path.join(path.dirname(file), `.${process.pid}-${drafts++}.tmp`);
    try {
      return { draft, handle: await open(draft, 'wx', mode) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

/**
 * writeAtomic writes a file so that, whatever happens, its name leads to the old content or to the whole new one, and that the new one is
 * on the disk when the promise resolves. Inboxes do not look at the draft: its name begins with a dot. `lasting: false` leaves it to the
 * system when the disk has it: for files that are made anew at each start.
 */
export async function writeAtomic(
  file: string,
  content: Uint8Array | string,
  mode = 0o600,
  { lasting = true } = {},
): Promise<void> {
  const { draft, handle } = await openDraft(file, mode);
  try {
    try {
      await handle.writeFile(content);
      if (lasting) await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  if (lasting) await syncFolder(path.dirname(file));
}

const DRAFT = /^\.\d+-\d+\.tmp$/;

/** removeDrafts takes away what killed processes left half written in a folder that nobody else writes to just now. */
export async function removeDrafts(folder: string): Promise<void> {
  for (const name of await readdir(folder)) if (DRAFT.test(name)) await rm(path.join(folder, name), { force: true });
}
