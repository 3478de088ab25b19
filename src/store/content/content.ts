import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, stat, statfs, unlink } from 'node:fs/promises';
import path from 'node:path';
import type { Random } from '#base/random';
import { raise } from '#base/errors';

/** Stored names a content: the SHA-256 of its bytes, and how many there are. */
export interface Stored {
  sha256: string;
  size: number;
}

const SHA256 = /^[0-9a-f]{64}$/;

function missing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

const compare = (a: string, b: string): number => (a < b ? -1 : 1);

/** What the system says of a folder or disk that takes no files; anything else is a defect. */
const FOLDER = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT', 'ENOTDIR', 'EEXIST', 'EIO']);

/** hashOf reads a whole file. */
async function hashOf(file: string): Promise<Stored> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { sha256: hash.digest('hex'), size };
}

/** Room is what a file system has left, in octets. */
export interface Room {
  free: number;
  size: number;
}

const MIB = 1024 * 1024;
/** So much of the data folder's disk is not filled with packages: a database that cannot write does no work at all. */
const RESERVE = 256 * MIB;
/** Small disks keep a tenth. */
const RESERVE_SHARE = 0.1;
/** The disk is asked again after so many octets of a file whose size nobody knows beforehand. */
const ASK_EVERY = 8 * MIB;

/** roomAt asks the file system of a folder. */
export async function roomAt(folder: string): Promise<Room> {
  const { bavail, blocks, bsize } = await statfs(folder);
  return { free: bavail * bsize, size: blocks * bsize };
}

/** lowDisk gives the error to tell when a disk has less than its reserve and what is `wanted`, or nothing. */
export function lowDisk(folder: string, { free, size }: Room, wanted = 0): Error | undefined {
  const reserve = Math.min(RESERVE, size * RESERVE_SHARE);
  if (free - wanted >= reserve) return undefined;
  return raise('PP_STORE_DISK_LOW', { folder, free: Math.floor(free / MIB), reserve: Math.ceil(reserve / MIB) });
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * ContentStore keeps files under the SHA-256 of their bytes: `<dir>/ab/abcdef…`. A file that is there under its name is whole, because it
 * was written elsewhere, brought to the disk and renamed.
 */
export class ContentStore {
  readonly #dir: string;
  readonly #random: Random;
  readonly #room: (folder: string) => Promise<Room>;

  constructor(o: { dir: string; random: Random; room?: (folder: string) => Promise<Room> }) {
    this.#dir = o.dir;
    this.#random = o.random;
    this.#room = o.room ?? roomAt;
  }

  /** checkRoom refuses to fill the disk up to its end. */
  async #checkRoom(wanted: number): Promise<void> {
    const low = lowDisk(this.#dir, await this.#room(this.#dir), wanted);
    if (low) throw low;
  }

  /** path is where a content lies, or would lie. */
  path(sha256: string): string {
    // What is no hash could lead out of the folder.
    if (!SHA256.test(sha256)) throw raise('PP_STORE_CONTENT_NAME');
    return path.join(this.#dir, sha256.slice(0, 2), sha256);
  }

  /** put stores bytes, a stream of them, or the file at a path; one that is here already is fine, a damaged one is replaced. */
  async put(source: Uint8Array | AsyncIterable<Uint8Array> | string, expected?: string): Promise<Stored> {
    return this.#told(() => this.#put(source, expected));
  }

  /**
   * fetch brings a content here whose hash and size are known from elsewhere. What has come stays in `incoming` when `read` fails or the
   * process ends, and is gone on with the next time; what does not have its hash in the end is thrown away.
   */
  async fetch(wanted: Stored, read: (from: number) => AsyncIterable<Uint8Array>): Promise<Stored> {
    return this.#told(async () => {
      const part = this.#part(wanted.sha256);
      await mkdir(path.dirname(part), { recursive: true });
      const { sha256, size } = await this.#goOn(part, wanted, read);
      if (sha256 !== wanted.sha256 || size !== wanted.size) {
        await unlink(part);
        throw raise('PP_STORE_CONTENT_MISMATCH', { expected: wanted.sha256, sha256 });
      }
      await this.#place(part, sha256);
      return wanted;
    });
  }

  async #goOn(part: string, { size }: Stored, read: (from: number) => AsyncIterable<Uint8Array>): Promise<Stored> {
    const had = await stat(part).catch(() => undefined);
    if (had && had.size > size) await unlink(part);
    const hash = createHash('sha256');
    const handle = await open(part, 'a+', 0o640);
    try {
      let from = 0;
      for await (const chunk of handle.createReadStream({ start: 0, autoClose: false }) as AsyncIterable<Buffer>) {
        hash.update(chunk);
        from += chunk.length;
      }
      await this.#checkRoom(size - from);
      if (from < size)
        for await (const chunk of read(from)) {
          hash.update(chunk);
          for (let at = 0; at < chunk.length;) at += (await handle.write(chunk, at, chunk.length - at)).bytesWritten;
          from += chunk.length;
        }
      await handle.sync();
      return { sha256: hash.digest('hex'), size: from };
    } finally {
      await handle.close();
    }
  }

  #part(sha256: string): string {
    return path.join(this.#dir, 'incoming', `${path.basename(this.path(sha256))}.part`);
  }

  /** keepParts throws away what came of contents that nobody wants any more. */
  async keepParts(wanted: readonly string[]): Promise<void> {
    const incoming = path.join(this.#dir, 'incoming');
    for (const name of await readdir(incoming).catch(() => []))
      if (name.endsWith('.part') && !wanted.includes(name.slice(0, -'.part'.length))) await unlink(path.join(incoming, name));
  }

  async #told<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const { code, path: at } = error as NodeJS.ErrnoException;
      // A write that fails names no path; a file that was handed in and cannot be read is not the folder's fault.
      if (!FOLDER.has(code ?? '') || (at !== undefined && !at.startsWith(this.#dir))) throw error;
      throw raise('PP_STORE_CONTENT_FOLDER', { folder: this.#dir, why: code! }, { cause: error });
    }
  }

  async #put(source: Uint8Array | AsyncIterable<Uint8Array> | string, expected: string | undefined): Promise<Stored> {
    const incoming = path.join(this.#dir, 'incoming');
    await mkdir(incoming, { recursive: true });
    const temporary = path.join(incoming, Buffer.from(this.#random.bytes(12)).toString('hex'));
    try {
      const stored = await this.#write(temporary, source);
      if (expected !== undefined && stored.sha256 !== expected)
        throw raise('PP_STORE_CONTENT_MISMATCH', { expected, sha256: stored.sha256 });
      if (!(await this.#whole(stored))) await this.#place(temporary, stored.sha256);
      return stored;
    } finally {
      await unlink(temporary).catch(() => {});
    }
  }

  async #place(temporary: string, sha256: string): Promise<void> {
    const file = this.path(sha256);
    await mkdir(path.dirname(file), { recursive: true });
    await rename(temporary, file);
    await syncFolder(path.dirname(file));
    await syncFolder(this.#dir);
  }

  async #write(file: string, source: Uint8Array | AsyncIterable<Uint8Array> | string): Promise<Stored> {
    const hash = createHash('sha256');
    let size = 0;
    const handle = await open(file, 'wx', 0o640);
    let asked = 0;
    try {
      await this.#checkRoom(source instanceof Uint8Array ? source.length : 0);
      // Opened only when it is read: a stream that fails with nobody at it would end the process.
      const chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array> =
        typeof source === 'string' ? createReadStream(source) : source instanceof Uint8Array ? [source] : source;
      for await (const chunk of chunks) {
        hash.update(chunk);
        size += chunk.length;
        if (size - asked >= ASK_EVERY) {
          asked = size;
          await this.#checkRoom(chunk.length);
        }
        for (let at = 0; at < chunk.length;) at += (await handle.write(chunk, at, chunk.length - at)).bytesWritten;
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    return { sha256: hash.digest('hex'), size };
  }

  async #whole({ sha256, size }: Stored): Promise<boolean> {
    const there = await this.stat(sha256);
    return there?.size === size && (await hashOf(this.path(sha256))).sha256 === sha256;
  }

  /** stat tells the size of a content, or undefined when it is not here. */
  async stat(sha256: string): Promise<Stored | undefined> {
    try {
      const found = await stat(this.path(sha256));
      return { sha256, size: found.size };
    } catch (error) {
      if (missing(error)) return undefined;
      throw error;
    }
  }

  /** read gives the bytes of a content after checking them. */
  async read(sha256: string): Promise<Uint8Array> {
    const file = this.path(sha256);
    let bytes: Buffer;
    try {
      bytes = await readFile(file);
    } catch (error) {
      if (missing(error)) throw raise('PP_STORE_CONTENT_MISSING', { sha256 }, { cause: error });
      throw error;
    }
    if (createHash('sha256').update(bytes).digest('hex') !== sha256) throw raise('PP_STORE_CONTENT_CORRUPT', { sha256 });
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** check reads a content and raises when it is missing or is no longer what it was. */
  async check(sha256: string): Promise<Stored> {
    let found: Stored;
    try {
      found = await hashOf(this.path(sha256));
    } catch (error) {
      if (missing(error)) throw raise('PP_STORE_CONTENT_MISSING', { sha256 }, { cause: error });
      throw error;
    }
    if (found.sha256 !== sha256) throw raise('PP_STORE_CONTENT_CORRUPT', { sha256 });
    return found;
  }

  /** list names all contents that are here, in the order of their names. */
  async *list(): AsyncGenerator<string> {
    const entries = async (folder: string) =>
      await readdir(folder).catch((error: unknown) => {
        if (missing(error)) return [];
        throw error;
      });
    for (const prefix of (await entries(this.#dir)).sort(compare))
      if (/^[0-9a-f]{2}$/.test(prefix))
        for (const name of (await entries(path.join(this.#dir, prefix))).sort(compare))
          if (SHA256.test(name) && name.startsWith(prefix)) yield name;
  }

  /** remove deletes a content; false when it was not here. */
  async remove(sha256: string): Promise<boolean> {
    try {
      await unlink(this.path(sha256));
      return true;
    } catch (error) {
      if (missing(error)) return false;
      throw error;
    }
  }
}
