import { constants, type Stats } from 'node:fs';
import { lstat, mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PushpointError, raise } from '#base/errors';
import { isDraft, plainName } from './names.ts';

/** Dropped is a file in the inbox; its name is kept as octets, because it need not be text. */
export interface Dropped {
  /** key tells files apart. */
  key: string;
  octets: Buffer;
  /** name is what it is called from here on. */
  name: string;
  stats: Stats;
}

function whyOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

/** Folders is the inbox on disk: the folder to drop into, `inproc` for what is being worked and `bad` for what cannot be. */
export class Folders {
  readonly dir: string;
  readonly #inproc: string;
  readonly #bad: string;
  readonly #limit: number;
  readonly #own: Set<string>;
  /** What the last listing showed that is no plain file, and is therefore left alone. */
  odd: ReadonlySet<string> = new Set();

  constructor(dir: string, limit: number, bad: string) {
    this.dir = dir;
    this.#inproc = path.join(dir, 'inproc');
    this.#bad = path.join(dir, bad);
    this.#limit = limit;
    this.#own = new Set(['inproc', bad]);
  }

  /** ready makes what is missing; it tells the folder's number, by which a deleted and re-made folder is known. */
  async ready(): Promise<bigint> {
    try {
      for (const folder of [this.#inproc, this.#bad]) {
        await mkdir(folder, { recursive: true, mode: 0o700 });
        // A link here would let whoever may drop files have them moved anywhere.
        if (!(await lstat(folder)).isDirectory()) throw new Error(`${path.basename(folder)} is no folder`);
      }
      return (await lstat(this.dir, { bigint: true })).ino;
    } catch (error) {
      throw this.failure(error);
    }
  }

  failure(error: unknown): PushpointError {
    if (error instanceof PushpointError) return error;
    return raise('PP_STORE_INBOX_FOLDER', { folder: this.dir, why: whyOf(error) }, { cause: error });
  }

  /** dropped lists the plain files in the inbox; folders, links, pipes and other people's drafts are left alone. */
  async dropped(): Promise<Dropped[]> {
    const entries = await readdir(this.dir, { withFileTypes: true, encoding: 'buffer' });
    const found: Dropped[] = [];
    const odd = new Set<string>();
    for (const entry of entries) {
      const octets = Buffer.from(entry.name);
      const name = plainName(octets);
      if (!entry.isFile()) {
        if (!this.#own.has(name) && !isDraft(name)) odd.add(name);
        continue;
      }
      if (isDraft(name)) continue;
      // What vanished since the listing was somebody's change of mind.
      const stats = await lstat(this.#path(octets)).catch(() => undefined);
      if (stats?.isFile()) found.push({ key: octets.toString('latin1'), octets, name, stats });
    }
    this.odd = odd;
    return found;
  }

  #path(octets: Buffer): Buffer {
    return Buffer.concat([Buffer.from(`${this.dir}/`), octets]);
  }

  async inWork(): Promise<string[]> {
    const entries = await readdir(this.#inproc, { withFileTypes: true });
    return entries.filter((entry) => entry.isFile() && !isDraft(entry.name)).map((entry) => entry.name);
  }

  inWorkPath(name: string): string {
    return path.join(this.#inproc, name);
  }

  /** take moves a file to inproc; false when it vanished. */
  async take({ octets, name }: Dropped): Promise<boolean> {
    try {
      await rename(this.#path(octets), this.inWorkPath(name));
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  /** read gives the content, or 'changed' when somebody still writes to it, or undefined when it vanished. */
  async read(name: string): Promise<Uint8Array | 'changed' | undefined> {
    // Not through a link, and not waiting for the writer of a pipe, should one have been put there.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const handle = await open(this.inWorkPath(name), flags).catch((error: NodeJS.ErrnoException) => {
      if (isMissing(error)) return undefined;
      if (['EACCES', 'EPERM', 'ELOOP'].includes(error.code ?? ''))
        throw raise('PP_STORE_INBOX_UNREADABLE', { name, why: whyOf(error) }, { cause: error });
      throw error;
    });
    if (!handle) return undefined;
    try {
      const before = await handle.stat();
      if (!before.isFile()) throw raise('PP_STORE_INBOX_UNREADABLE', { name, why: 'no plain file' });
      if (before.size > this.#limit) throw raise('PP_STORE_INBOX_TOO_BIG', { name, size: before.size, limit: this.#limit });
      const bytes = new Uint8Array(before.size);
      const { bytesRead } = before.size > 0 ? await handle.read(bytes, 0, before.size, 0) : { bytesRead: 0 };
      const now = await handle.stat();
      return now.size === before.size && now.mtimeMs === before.mtimeMs && bytesRead === before.size ? bytes : 'changed';
    } finally {
      await handle.close();
    }
  }

  async done(name: string): Promise<void> {
    await rm(this.inWorkPath(name), { force: true });
  }

  /** reject moves a file to `bad`, never over another one, with the reason beside it; it gives the name it has there. */
  async reject(name: string, reason: string): Promise<string> {
    let free = name;
    for (let n = 2; await this.#taken(free); n++) free = `${name}.${n}`;
    // The reason first: a file in `bad` without one explains nothing. On a full disk the file is moved all the same.
    await writeFile(path.join(this.#bad, `${free}.reason`), reason, { mode: 0o600 }).catch(() => {});
    await rename(this.inWorkPath(name), path.join(this.#bad, free)).catch((error: unknown) => {
      if (!isMissing(error)) throw error;
    });
    return free;
  }

  async #taken(name: string): Promise<boolean> {
    return await lstat(path.join(this.#bad, name)).then(
      () => true,
      () => false,
    );
  }
}
