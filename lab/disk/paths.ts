import type { Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { STATUS } from '#wire/status';
import { DiskError } from './disk-error.ts';

const LONGEST_NAME = 255;
const LONGEST_PATH = 32_767;
// eslint-disable-next-line no-control-regex
const FORBIDDEN = /[\u0000-\u001f"*/:<>?|]/;

/** foldCase is how Windows compares names: each UTF-16 unit in upper case, never changing the length. */
export function foldCase(name: string): string {
  let folded = '';
  for (let i = 0; i < name.length; i++) {
    const upper = name.charAt(i).toUpperCase();
    folded += upper.length === 1 ? upper : name.charAt(i);
  }
  return folded;
}

/**
 * splitPath takes a path relative to a share apart, [MS-FSCC] 2.1.5. `.` and `..` are no names on the wire, so no path leads out of
 * the root; a colon would name a stream, which this disk does not have.
 */
export function splitPath(path: string): string[] {
  if (path.length > LONGEST_PATH) throw new DiskError(STATUS.OBJECT_NAME_INVALID);
  const parts = path.split('\\');
  if (parts[0] === '') parts.shift();
  if (parts.at(-1) === '') parts.pop();
  for (const part of parts) {
    if (part === '.' || part === '..') throw new DiskError(STATUS.OBJECT_PATH_SYNTAX_BAD);
    if (part === '' || FORBIDDEN.test(part) || !part.isWellFormed()) throw new DiskError(STATUS.OBJECT_NAME_INVALID);
    if (part.length > LONGEST_NAME || Buffer.byteLength(part) > LONGEST_NAME) throw new DiskError(STATUS.OBJECT_NAME_INVALID);
    // Win32 drops trailing blanks and dots; over SMB they would make files that no program there can open.
    if (/[. ]$/.test(part)) throw new DiskError(STATUS.OBJECT_NAME_INVALID);
  }
  return parts;
}

/** Place is where a path leads: the file that is there, or where it would be made. */
export interface Place {
  /** real is the path on this machine's disk. */
  real: string;
  /** stats is undefined if the last name is missing in a folder that is there. */
  stats: Stats | undefined;
}

async function statsOf(real: string): Promise<Stats | undefined> {
  try {
    return await lstat(real);
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code;
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** One name in a folder, whatever its case; a symbolic link is refused, so that nothing leads out of the folder. */
async function step(folder: string, name: string): Promise<Place> {
  let real = join(folder, name);
  let stats = await statsOf(real);
  if (!stats) {
    const wanted = foldCase(name);
    const same = (await readdir(folder)).find((entry) => foldCase(entry) === wanted);
    if (same !== undefined) {
      real = join(folder, same);
      stats = await statsOf(real);
    }
  }
  if (stats && !stats.isFile() && !stats.isDirectory()) throw new DiskError(STATUS.ACCESS_DENIED);
  return { real, stats };
}

/** locate walks from the root along the names, comparing them as Windows does on a disk that tells upper from lower case. */
export async function locate(root: string, names: readonly string[]): Promise<Place> {
  let place: Place = { real: root, stats: await statsOf(root) };
  for (const name of names) {
    if (!place.stats?.isDirectory()) throw new DiskError(STATUS.OBJECT_PATH_NOT_FOUND);
    place = await step(place.real, name);
  }
  return place;
}

const many = (c: string) => c === '*' || c === '<';
const one = (c: string, wanted: string) => wanted === '?' || wanted === '>' || wanted === c || (wanted === '"' && c === '.');

/**
 * matches tells whether a name fits a DOS pattern, [MS-FSA] 2.1.4.4: `*` and `?`, and `<`, `>` and `"` in which clients rewrite them.
 * It goes back to the last `*` only, so that no pattern takes longer than name times pattern.
 */
export function matches(name: string, pattern: string): boolean {
  if (pattern === '' || pattern === '*' || pattern === '*.*') return true;
  const text = foldCase(name);
  const wanted = foldCase(pattern);
  let at = 0;
  let w = 0;
  let star = -1;
  let resume = 0;
  while (at < text.length) {
    if (w < wanted.length && many(wanted[w]!)) {
      star = w++;
      resume = at;
    } else if (w < wanted.length && one(text[at]!, wanted[w]!)) {
      at++;
      w++;
    } else if (star >= 0) {
      w = star + 1;
      at = ++resume;
    } else return false;
  }
  while (w < wanted.length && (many(wanted[w]!) || wanted[w] === '>' || wanted[w] === '"')) w++;
  return w === wanted.length;
}
