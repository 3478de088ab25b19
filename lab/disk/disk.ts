import type { Clock } from '#base/clock';
import { constants } from 'node:fs';
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { basename, dirname, relative, sep } from 'node:path';
import { ACCESS, ATTRIBUTE, CREATE_ACTION, DISPOSITION } from '#wire/smb';
import { STATUS } from '#wire/status';
import { DiskError, toDiskError } from './disk-error.ts';
import { OpenFile } from './open-file.ts';
import { locate, type Place } from './paths.ts';
import { ShareTable, type Hold } from './share-table.ts';

/** OpenHow is what CREATE asks for, in the terms of [MS-SMB2] 2.2.13. */
export interface OpenHow {
  access: number;
  share: number;
  disposition: number;
  wants?: 'file' | 'directory';
  deleteOnClose?: boolean;
  attributes?: number;
  /** image: the open stands for a running program, see Hold. */
  image?: boolean;
}

/** Found is a file that is there, without opening it. */
export interface Found {
  isDirectory: boolean;
  size: number;
}

const WRITES = ACCESS.WRITE_DATA | ACCESS.APPEND_DATA;
const MAKES = new Set<number>([DISPOSITION.SUPERSEDE, DISPOSITION.CREATE, DISPOSITION.OPEN_IF, DISPOSITION.OVERWRITE_IF]);
const EMPTIES = new Set<number>([DISPOSITION.SUPERSEDE, DISPOSITION.OVERWRITE, DISPOSITION.OVERWRITE_IF]);

/**
 * Disk is drive C: of one lab host: a folder of this machine seen as Windows sees a disk. Names are compared without case, handles
 * share or exclude each other, nothing leads out of the folder, and it is full when `freeBytes` says so. The folder is made and
 * furnished when something first looks at it.
 */
export class Disk {
  readonly folder: string;
  readonly clock: Clock;
  readonly totalBytes: number;
  freeBytes: number;
  readonly shares = new ShareTable();
  /** attributes holds what the host's own file system cannot keep: read-only, hidden and system, by real path. */
  readonly attributes = new Map<string, number>();
  readonly #furnish: (folder: string) => Promise<void>;
  readonly #refuse: (name: string) => number | undefined;
  #furnished: Promise<void> | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: {
    folder: string;
    clock: Clock;
    totalBytes?: number;
    freeBytes?: number;
    furnish?: (folder: string) => Promise<void>;
    /** refuse gives the status by which the opening of a file of that name fails on order. */
    refuse?: (name: string) => number | undefined;
  }) {
    this.folder = options.folder;
    this.clock = options.clock;
    this.totalBytes = options.totalBytes ?? 127 * 2 ** 30;
    this.freeBytes = options.freeBytes ?? 48 * 2 ** 30;
    this.#furnish = options.furnish ?? (async () => {});
    this.#refuse = options.refuse ?? (() => undefined);
  }

  async #ready(): Promise<void> {
    this.#furnished ??= mkdir(this.folder, { recursive: true }).then(() => this.#furnish(this.folder));
    await this.#furnished;
  }

  /** inTurn lets opens, closes and renames run one after the other, so that what was looked at is still so when it is acted on. */
  inTurn<T>(fn: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(fn);
    this.#turn = mine.catch(() => {});
    return mine.catch((error: unknown) => {
      throw toDiskError(error);
    });
  }

  /** take counts octets off the free ones, or gives them back. */
  take(octets: number): void {
    if (octets > Math.max(0, this.freeBytes)) throw new DiskError(STATUS.DISK_FULL);
    this.freeBytes -= octets;
  }

  isReadOnly(real: string): boolean {
    return Boolean((this.attributes.get(real) ?? 0) & ATTRIBUTE.READONLY);
  }

  isEncrypted(real: string): boolean {
    return Boolean((this.attributes.get(real) ?? 0) & ATTRIBUTE.ENCRYPTED);
  }

  /** encrypt marks a file or folder as EFS does; what is made in such a folder later is encrypted too. */
  encrypt(real: string): void {
    this.attributes.set(real, (this.attributes.get(real) ?? 0) | ATTRIBUTE.ENCRYPTED);
  }

  nameOf(real: string): string {
    return real === this.folder ? '' : basename(real);
  }

  pathOf(real: string): string {
    return relative(this.folder, real).split(sep).join('\\');
  }

  async place(names: readonly string[]): Promise<Place> {
    await this.#ready();
    return locate(this.folder, names);
  }

  /** find tells what is at a path, or undefined if nothing is. */
  async find(names: readonly string[]): Promise<Found | undefined> {
    try {
      const { stats } = await this.place(names);
      return stats && { isDirectory: stats.isDirectory(), size: stats.size };
    } catch (error) {
      const refusal = toDiskError(error);
      if (refusal.status === STATUS.OBJECT_PATH_NOT_FOUND) return undefined;
      throw refusal;
    }
  }

  /** open is CREATE of [MS-SMB2] 3.3.5.9 for a path counted from the root of the disk. */
  open(names: readonly string[], how: OpenHow): Promise<OpenFile> {
    return this.inTurn(async () => {
      const refused = this.#refuse(names.at(-1) ?? '');
      if (refused !== undefined) throw new DiskError(refused);
      const place = await this.place(names);
      if (!place.stats) return this.#make(place, how);
      return this.#enter(place, how);
    });
  }

  async #make(place: Place, how: OpenHow): Promise<OpenFile> {
    if (!MAKES.has(how.disposition)) throw new DiskError(STATUS.OBJECT_NAME_NOT_FOUND);
    const made = {
      hold: holdOf(how),
      action: CREATE_ACTION.CREATED,
      deleteOnClose: how.deleteOnClose ?? false,
      isDirectory: how.wants === 'directory',
    };
    if (how.wants === 'directory') {
      await mkdir(place.real);
      return new OpenFile(this, { ...made, node: this.shares.add(place.real, 0, made.hold), handle: undefined });
    }
    if (this.freeBytes <= 0) throw new DiskError(STATUS.DISK_FULL);
    const handle = await open(place.real, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    const file = new OpenFile(this, { ...made, node: this.shares.add(place.real, 0, made.hold), handle });
    await file.stamp();
    file.setAttributes(how.attributes ?? 0);
    if (this.isEncrypted(dirname(place.real))) this.encrypt(place.real);
    return file;
  }

  async #enter(place: Place, how: OpenHow): Promise<OpenFile> {
    const stats = place.stats!;
    if (how.disposition === DISPOSITION.CREATE) throw new DiskError(STATUS.OBJECT_NAME_COLLISION);
    const hold = holdOf(how);
    const made = {
      hold,
      action: CREATE_ACTION.OPENED as number,
      deleteOnClose: how.deleteOnClose ?? false,
      isDirectory: stats.isDirectory(),
    };
    if (stats.isDirectory()) {
      if (how.wants === 'file') throw new DiskError(STATUS.FILE_IS_A_DIRECTORY);
      if (EMPTIES.has(how.disposition)) throw new DiskError(STATUS.OBJECT_NAME_COLLISION);
      this.shares.check(place.real, hold);
      return new OpenFile(this, { ...made, node: this.shares.add(place.real, 0, hold), handle: undefined });
    }
    if (how.wants === 'directory') throw new DiskError(STATUS.NOT_A_DIRECTORY);
    const empties = EMPTIES.has(how.disposition);
    if (empties) hold.access |= ACCESS.WRITE_DATA;
    this.#mayTouch(place.real, hold, made.deleteOnClose);
    this.shares.check(place.real, hold);
    // A thousand lab hosts with running programs would hold a thousand descriptors for nothing.
    const handle = hold.image ? undefined : await this.#handle(place.real, hold, empties);
    const node = this.shares.add(place.real, stats.size, hold);
    if (empties) {
      made.action = how.disposition === DISPOSITION.SUPERSEDE ? CREATE_ACTION.SUPERSEDED : CREATE_ACTION.OVERWRITTEN;
      this.take(-node.size);
      node.size = 0;
    }
    return new OpenFile(this, { ...made, node, handle });
  }

  #mayTouch(real: string, hold: Hold, deleteOnClose: boolean): void {
    if (this.isReadOnly(real) && hold.access & WRITES) throw new DiskError(STATUS.ACCESS_DENIED);
    if (deleteOnClose && (this.isReadOnly(real) || this.shares.isImage(real))) throw new DiskError(STATUS.CANNOT_DELETE);
  }

  #handle(real: string, hold: Hold, empties: boolean): Promise<FileHandle> {
    const mode = hold.access & WRITES ? constants.O_RDWR : constants.O_RDONLY;
    return open(real, mode | constants.O_NOFOLLOW | (empties ? constants.O_TRUNC : 0));
  }
}

function holdOf(how: OpenHow): Hold {
  return { access: how.access, share: how.share, image: how.image ?? false };
}
