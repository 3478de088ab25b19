import type { Stats } from 'node:fs';
import { lstat, readdir, rename, rmdir, unlink, utimes, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ACCESS, ATTRIBUTE } from '#wire/smb';
import { STATUS } from '#wire/status';
import type { Disk } from './disk.ts';
import { DiskError, toDiskError } from './disk-error.ts';
import { matches } from './paths.ts';
import type { FileNode, Hold } from './share-table.ts';

/** FileInfo is what Windows tells of a file. */
export interface FileInfo {
  name: string;
  size: number;
  isDirectory: boolean;
  createdAt: Date;
  readAt: Date;
  writtenAt: Date;
  changedAt: Date;
  /** id tells files of one disk apart. */
  id: bigint;
  attributes: number;
}

/** infoOf turns what the host's own file system knows into what Windows tells. */
export function infoOf(name: string, stats: Stats, attributes: number): FileInfo {
  const isDirectory = stats.isDirectory();
  return {
    name,
    size: isDirectory ? 0 : stats.size,
    isDirectory,
    createdAt: stats.birthtime,
    readAt: stats.atime,
    writtenAt: stats.mtime,
    changedAt: stats.ctime,
    id: BigInt(stats.ino),
    attributes: attributes | (isDirectory ? ATTRIBUTE.DIRECTORY : ATTRIBUTE.ARCHIVE),
  };
}

/** OpenFile is one open of a file or folder, with the rights it was opened with; every refusal is a DiskError. */
export class OpenFile {
  /** action is what CREATE answers: superseded, opened, created or overwritten. */
  readonly action: number;
  readonly isDirectory: boolean;
  readonly access: number;
  deleteOnClose: boolean;
  readonly #disk: Disk;
  readonly #node: FileNode;
  readonly #hold: Hold;
  readonly #handle: FileHandle | undefined;
  #closed = false;
  #written = false;

  constructor(
    disk: Disk,
    made: {
      node: FileNode;
      hold: Hold;
      handle: FileHandle | undefined;
      action: number;
      deleteOnClose: boolean;
      isDirectory: boolean;
    },
  ) {
    this.#disk = disk;
    this.#node = made.node;
    this.#hold = made.hold;
    this.#handle = made.handle;
    this.action = made.action;
    this.access = made.hold.access;
    this.deleteOnClose = made.deleteOnClose;
    this.isDirectory = made.isDirectory;
  }

  #file(access: number): FileHandle {
    if (this.#closed) throw new DiskError(STATUS.FILE_CLOSED);
    if (!this.#handle) throw new DiskError(STATUS.INVALID_DEVICE_REQUEST);
    if (!(this.access & access)) throw new DiskError(STATUS.ACCESS_DENIED);
    return this.#handle;
  }

  /** stamp gives the file the time of the lab's clock, which in a test is not that of this machine. */
  async stamp(): Promise<void> {
    const now = this.#disk.clock.now();
    await this.#handle?.utimes(now, now);
  }

  /** name is the last part of the path as it stands on the disk. */
  get name(): string {
    return this.#disk.nameOf(this.#node.real);
  }

  /** path is where the file is, from the root of the disk, with backslashes. */
  get path(): string {
    return this.#disk.pathOf(this.#node.real);
  }

  get deletePending(): boolean {
    return this.#node.deletePending;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const handle = this.#file(ACCESS.READ_DATA | ACCESS.EXECUTE);
    const buffer = new Uint8Array(Math.max(0, Math.min(length, this.#node.size - offset)));
    if (buffer.length === 0) return buffer;
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset);
    return buffer.subarray(0, bytesRead);
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    const append = !(this.access & ACCESS.WRITE_DATA);
    const handle = this.#file(ACCESS.WRITE_DATA | ACCESS.APPEND_DATA);
    const at = append ? this.#node.size : offset;
    this.#written = true;
    this.#grow(Math.max(this.#node.size, at + data.length));
    let done = 0;
    while (done < data.length) done += (await handle.write(data, done, data.length - done, at + done)).bytesWritten;
  }

  /** The new size is counted before the disk is written, so that two writes at once cannot both take the last octets. */
  #grow(size: number): void {
    this.#disk.take(size - this.#node.size);
    this.#node.size = size;
  }

  async truncate(size: number): Promise<void> {
    const handle = this.#file(ACCESS.WRITE_DATA);
    this.#grow(size);
    await handle.truncate(size);
  }

  async flush(): Promise<void> {
    if (this.#handle) await this.#file(ACCESS.WRITE_DATA | ACCESS.APPEND_DATA).datasync();
  }

  async info(): Promise<FileInfo> {
    const stats = await lstat(this.#node.real);
    const info = infoOf(this.name, stats, this.#disk.attributes.get(this.#node.real) ?? 0);
    return this.isDirectory ? info : { ...info, size: this.#node.size };
  }

  /** list gives the entries that fit the pattern, `.` and `..` first if they do; links and other strange things are not shown. */
  async list(pattern: string): Promise<FileInfo[]> {
    if (!this.isDirectory) throw new DiskError(STATUS.INVALID_PARAMETER);
    const own = await lstat(this.#node.real);
    const entries = ['.', '..'].filter((dots) => matches(dots, pattern)).map((dots) => infoOf(dots, own, 0));
    const names = (await readdir(this.#node.real)).filter((name) => matches(name, pattern)).sort();
    for (const name of names) {
      const real = join(this.#node.real, name);
      const stats = await lstat(real).catch(() => undefined);
      if (stats && (stats.isFile() || stats.isDirectory()))
        entries.push(infoOf(name, stats, this.#disk.attributes.get(real) ?? 0));
    }
    return entries;
  }

  async setTimes(readAt: Date | undefined, writtenAt: Date | undefined): Promise<void> {
    this.#written = false; // what is set now stays
    const stats = await lstat(this.#node.real);
    if (readAt ?? writtenAt) await utimes(this.#node.real, readAt ?? stats.atime, writtenAt ?? stats.mtime);
  }

  setAttributes(attributes: number): void {
    const kept = attributes & (ATTRIBUTE.READONLY | ATTRIBUTE.HIDDEN | ATTRIBUTE.SYSTEM);
    if (kept) this.#disk.attributes.set(this.#node.real, kept);
    else this.#disk.attributes.delete(this.#node.real);
  }

  /** setDelete marks the file to go with its last handle, or takes that back. */
  async setDelete(wanted: boolean): Promise<void> {
    if (!(this.access & ACCESS.DELETE)) throw new DiskError(STATUS.ACCESS_DENIED);
    if (wanted) {
      if (this.#disk.shares.isImage(this.#node.real) || this.#disk.isReadOnly(this.#node.real))
        throw new DiskError(STATUS.CANNOT_DELETE);
      if (this.isDirectory && (await readdir(this.#node.real)).length > 0) throw new DiskError(STATUS.DIRECTORY_NOT_EMPTY);
    }
    this.#node.deletePending = wanted;
  }

  /** rename moves the file to a path counted from the root of the disk. */
  rename(to: readonly string[], replace: boolean): Promise<void> {
    if (!(this.access & ACCESS.DELETE)) throw new DiskError(STATUS.ACCESS_DENIED);
    return this.#disk.inTurn(async () => {
      const from = this.#node.real;
      if (this.isDirectory && this.#disk.shares.opensBelow(from)) throw new DiskError(STATUS.ACCESS_DENIED);
      const place = await this.#disk.place(to);
      const last = to.at(-1);
      if (last === undefined) throw new DiskError(STATUS.OBJECT_NAME_INVALID);
      const same = place.real === from; // only the case of the name changes
      if (place.stats && !same) {
        if (!replace) throw new DiskError(STATUS.OBJECT_NAME_COLLISION);
        if (place.stats.isDirectory() || this.#disk.shares.node(place.real)) throw new DiskError(STATUS.ACCESS_DENIED);
        this.#disk.take(-place.stats.size);
      }
      const real = same ? join(dirname(from), last) : place.real;
      await rename(from, real);
      this.#disk.attributes.delete(from);
      this.#disk.shares.move(this.#node, real);
    });
  }

  /** close ends this open; the file goes now if it was to be deleted and nobody else has it open. It may be called twice. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (this.#written) await this.stamp();
      await this.#handle?.close();
    } finally {
      await this.#disk.inTurn(() => this.#release());
    }
  }

  async #release(): Promise<void> {
    if (this.deleteOnClose) this.#node.deletePending = true;
    const { real, deletePending } = this.#node;
    if (!this.#disk.shares.remove(this.#node, this.#hold) || !deletePending) return;
    this.#disk.attributes.delete(real);
    try {
      if (this.isDirectory) await rmdir(real);
      else {
        await unlink(real);
        this.#disk.take(-this.#node.size);
      }
    } catch (error) {
      // Somebody may have tidied the folder on this machine meanwhile; then it is gone, as was wanted.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw toDiskError(error);
    }
  }
}
