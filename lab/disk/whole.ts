import { ACCESS, DISPOSITION, SHARE_ACCESS } from '#wire/smb';
import { STATUS } from '#wire/status';
import type { Disk } from './disk.ts';
import { DiskError } from './disk-error.ts';
import type { FileInfo } from './open-file.ts';

const SHARE_ALL = SHARE_ACCESS.READ | SHARE_ACCESS.WRITE | SHARE_ACCESS.DELETE;
const GONE = new Set<number>([STATUS.OBJECT_NAME_NOT_FOUND, STATUS.OBJECT_PATH_NOT_FOUND]);

/** orUndefined turns "it is not there" into undefined and lets every other refusal pass. */
export async function orUndefined<T>(wanted: Promise<T>): Promise<T | undefined> {
  try {
    return await wanted;
  } catch (error) {
    if (error instanceof DiskError && GONE.has(error.status)) return undefined;
    throw error;
  }
}

/** readWhole gives the octets of a file, as a program on the machine reads them; undefined if it is not there. */
export async function readWhole(disk: Disk, names: readonly string[]): Promise<Uint8Array | undefined> {
  const how = { access: ACCESS.READ_DATA, share: SHARE_ALL, disposition: DISPOSITION.OPEN, wants: 'file' } as const;
  const file = await orUndefined(disk.open(names, how));
  if (!file) return undefined;
  try {
    return await file.read(0, (await file.info()).size);
  } finally {
    await file.close();
  }
}

/** makeFolders makes a folder and those above it. */
export async function makeFolders(disk: Disk, names: readonly string[]): Promise<void> {
  const how = { access: ACCESS.READ_ATTRIBUTES, share: SHARE_ALL, disposition: DISPOSITION.OPEN_IF, wants: 'directory' } as const;
  for (let depth = 1; depth <= names.length; depth++) {
    const folder = await disk.open(names.slice(0, depth), how);
    await folder.close();
  }
}

/** writeWhole replaces a file, or adds to its end, making the folders it lies in. */
export async function writeWhole(disk: Disk, names: readonly string[], data: Uint8Array, append = false): Promise<void> {
  await makeFolders(disk, names.slice(0, -1));
  const file = await disk.open(names, {
    access: append ? ACCESS.APPEND_DATA : ACCESS.WRITE_DATA,
    share: SHARE_ACCESS.READ | (append ? SHARE_ACCESS.WRITE : 0),
    disposition: append ? DISPOSITION.OPEN_IF : DISPOSITION.OVERWRITE_IF,
    wants: 'file',
  });
  try {
    await file.write(0, data);
  } finally {
    await file.close();
  }
}

/** listWhole gives what lies in a folder, without `.` and `..`; nothing if it is not there. */
export async function listWhole(disk: Disk, names: readonly string[]): Promise<FileInfo[]> {
  const how = { access: ACCESS.READ_DATA, share: SHARE_ALL, disposition: DISPOSITION.OPEN, wants: 'directory' } as const;
  const folder = await orUndefined(disk.open(names, how));
  if (!folder) return [];
  try {
    return (await folder.list('*')).filter(({ name }) => name !== '.' && name !== '..');
  } finally {
    await folder.close();
  }
}

/** removeWhole takes away a file, or a folder with all in it; false if there was nothing. */
export async function removeWhole(disk: Disk, names: readonly string[]): Promise<boolean> {
  const found = await disk.find(names);
  if (!found) return false;
  if (found.isDirectory) for (const { name } of await listWhole(disk, names)) await removeWhole(disk, [...names, name]);
  const file = await orUndefined(disk.open(names, { access: ACCESS.DELETE, share: SHARE_ALL, disposition: DISPOSITION.OPEN }));
  if (!file) return false;
  try {
    await file.setDelete(true);
  } finally {
    await file.close();
  }
  return true;
}
