import type { Clock } from '#base/clock';
import { isCode, raise } from '#base/errors';
import type { Bytes } from '#wire/bytes';
import { STATUS } from '#wire/status';
import {
  ACCESS,
  ATTRIBUTE,
  COMMAND,
  CREATE_OPTION,
  dateOfFileTime,
  DISPOSITION,
  FILE_INFO,
  FileDispositionInformation,
  FileFsFullSizeInformation,
  FileRenameInformation,
  FS_INFO,
  INFO_TYPE,
  SHARE_ACCESS,
  TreeDisconnect,
} from './messages/index.ts';
import { listed, listFolder, type Listed } from './listing.ts';
import { checkedName, checkedPath, parentsOf } from './names.ts';
import { listAtOnce, openAndClose, queryAtOnce, readAtOnce, writeAtOnce } from './one-trip.ts';
import { openFile, openOr, refusedOr, type OpenFile, type Opening, type Place } from './open-file.ts';
import { SmbPipe } from './pipe.ts';
import { pipeRefusal } from './refusal.ts';

const ABSENT = [STATUS.OBJECT_NAME_NOT_FOUND, STATUS.OBJECT_PATH_NOT_FOUND, STATUS.NO_SUCH_FILE] as const;
const SHARE_ALL = SHARE_ACCESS.READ | SHARE_ACCESS.WRITE | SHARE_ACCESS.DELETE;

const TO_LOOK: Opening = { access: ACCESS.READ_ATTRIBUTES, share: SHARE_ALL, disposition: DISPOSITION.OPEN, options: 0 };
const TO_READ: Opening = {
  access: ACCESS.READ_DATA | ACCESS.READ_ATTRIBUTES | ACCESS.SYNCHRONIZE,
  share: SHARE_ALL,
  disposition: DISPOSITION.OPEN,
  options: CREATE_OPTION.NON_DIRECTORY_FILE,
};
const TO_WRITE: Opening = {
  access: ACCESS.WRITE_DATA | ACCESS.APPEND_DATA | ACCESS.READ_ATTRIBUTES | ACCESS.WRITE_ATTRIBUTES | ACCESS.SYNCHRONIZE,
  share: SHARE_ACCESS.READ,
  disposition: DISPOSITION.OVERWRITE_IF,
  options: CREATE_OPTION.NON_DIRECTORY_FILE | CREATE_OPTION.SEQUENTIAL_ONLY,
  attributes: ATTRIBUTE.NORMAL,
};
const TO_CHANGE: Opening = {
  access: ACCESS.DELETE | ACCESS.READ_ATTRIBUTES | ACCESS.SYNCHRONIZE,
  share: SHARE_ALL,
  disposition: DISPOSITION.OPEN,
  options: CREATE_OPTION.OPEN_REPARSE_POINT,
};
const FOLDER: Opening = {
  access: ACCESS.READ_DATA | ACCESS.READ_ATTRIBUTES | ACCESS.SYNCHRONIZE,
  share: SHARE_ALL,
  disposition: DISPOSITION.OPEN,
  options: CREATE_OPTION.DIRECTORY_FILE,
};
const PIPE: Opening = {
  access: 0x0012_019f, // FILE_GENERIC_READ and FILE_GENERIC_WRITE, as Windows opens pipes
  share: SHARE_ACCESS.READ | SHARE_ACCESS.WRITE,
  disposition: DISPOSITION.OPEN,
  options: 0,
};

/** A service that starts when its pipe is opened (RemoteRegistry) is there about a second later. */
const PIPE_TRIES = 4;
const PIPE_PAUSE_MS = 700;

/** The size of FILE_RENAME_INFORMATION with its alignment: a name of one letter must not make it shorter. */
const LEAST_RENAME = 24;

/** Stat is what a machine knows of a file without opening its content. */
export interface Stat {
  size: bigint;
  isDirectory: boolean;
  modifiedAt: Date;
  createdAt: Date;
  attributes: number;
}

/** SmbTree is one connected share. Paths use '\\' and count from the share. */
export class SmbTree {
  readonly name: string;
  readonly #place: Place;
  readonly #clock: Clock;
  readonly #onDisconnect: () => void;

  constructor(place: Place, clock: Clock, onDisconnect: () => void) {
    this.name = place.shareName;
    this.#place = place;
    this.#clock = clock;
    this.#onDisconnect = onDisconnect;
  }

  /** readFile reads a whole file; one of more than `maxBytes` is refused with PP_SMB_TOO_BIG before anything is read. */
  async readFile(path: string, options: { maxBytes: number }): Promise<Bytes> {
    const small = await readAtOnce(this.#place, checkedPath(path), TO_READ, options.maxBytes);
    if (small) return small;
    const file = await openFile(this.#place, checkedPath(path), TO_READ);
    try {
      const size = file.found.endOfFile;
      if (size > BigInt(options.maxBytes)) {
        throw raise('PP_SMB_TOO_BIG', { host: this.#place.connection.host, size: String(size), most: options.maxBytes });
      }
      return await file.readAll(Number(size));
    } finally {
      file.release();
    }
  }

  /** writeFile writes a whole file over what may be there; when it returns, the machine has it and holds it open no more. */
  async writeFile(path: string, data: Uint8Array): Promise<void> {
    if (await writeAtOnce(this.#place, checkedPath(path), TO_WRITE, data)) return;
    await this.#write(await openFile(this.#place, path, TO_WRITE), data);
  }

  /** createNew writes a file that must not be there yet; false if it is. Of several who try at once, one gets true. */
  async createNew(path: string, data: Uint8Array): Promise<boolean> {
    const opening = { ...TO_WRITE, disposition: DISPOSITION.CREATE };
    const once = writeAtOnce(this.#place, checkedPath(path), opening, data).then((done) => (done ? 'done' : 'too long'));
    const tried = await refusedOr(once, [STATUS.OBJECT_NAME_COLLISION]);
    if (tried !== 'too long') return tried === 'done';
    const file = await openOr(this.#place, path, opening, [STATUS.OBJECT_NAME_COLLISION]);
    if (!file) return false;
    await this.#write(file, data);
    return true;
  }

  async #write(file: OpenFile, data: Uint8Array): Promise<void> {
    try {
      await file.writeAll(data);
    } catch (error) {
      file.release();
      throw error;
    }
    await file.close(); // waited for: what starts the program next must not find it open for writing
  }

  /** mkdir makes a folder and those above it; one that is there is fine. */
  async mkdir(path: string): Promise<void> {
    const opening = { ...FOLDER, disposition: DISPOSITION.OPEN_IF };
    // Mostly the folder above is there: try the last one first, and go down from the top only if it is not.
    const made = openAndClose(this.#place, checkedPath(path), opening).then((done) => (done ? 'made' : 'no credits'));
    const tried = await refusedOr(made, [STATUS.OBJECT_PATH_NOT_FOUND]);
    if (tried === 'made') return;
    for (const folder of [...parentsOf(path), path]) (await openFile(this.#place, folder, opening)).release();
  }

  /** remove deletes a file or an empty folder; false if there was none. */
  async remove(path: string): Promise<boolean> {
    const options = TO_CHANGE.options | CREATE_OPTION.NON_DIRECTORY_FILE | CREATE_OPTION.DELETE_ON_CLOSE;
    try {
      const opening = { ...TO_CHANGE, options };
      const gone = openAndClose(this.#place, checkedPath(path), opening).then((done) => (done ? 'gone' : 'no credits'));
      const tried = await refusedOr(gone, ABSENT);
      if (tried !== 'no credits') return tried === 'gone';
      const file = await openOr(this.#place, path, opening, ABSENT);
      await file?.close();
      return file !== undefined;
    } catch (error) {
      if (!(isCode(error, 'PP_SMB_EXISTS') && error.ntstatus === STATUS.FILE_IS_A_DIRECTORY)) throw error;
    }
    // A folder that is not empty survives DELETE_ON_CLOSE in silence; asked this way it says so.
    const folder = await openOr(this.#place, path, TO_CHANGE, ABSENT);
    if (!folder) return false;
    await this.#change(folder, () => folder.set(FILE_INFO.DISPOSITION, FileDispositionInformation, { deletePending: 1 }));
    return true;
  }

  /** rename moves a file or folder within the share. */
  async rename(from: string, to: string, options: { replace: boolean }): Promise<void> {
    const fileName = checkedPath(to);
    const file = await openFile(this.#place, checkedPath(from), TO_CHANGE);
    const value = { replaceIfExists: options.replace ? 1 : 0, rootDirectory: 0n, fileName };
    await this.#change(file, () => file.set(FILE_INFO.RENAME, FileRenameInformation, value, LEAST_RENAME));
  }

  async #change(file: OpenFile, change: () => Promise<void>): Promise<void> {
    try {
      await change();
    } catch (error) {
      file.release();
      throw error;
    }
    await file.close();
  }

  /** list gives what stands in a folder, without `.` and `..`; a pattern that nothing fits gives nothing. */
  async list(path: string, pattern = '*'): Promise<Listed[]> {
    const entries = await listAtOnce(this.#place, checkedPath(path), FOLDER, pattern);
    if (entries) return listed(entries);
    const folder = await openFile(this.#place, checkedPath(path), FOLDER);
    try {
      return await listFolder(folder, pattern);
    } finally {
      folder.release();
    }
  }

  /** stat tells about a file or folder; undefined if there is none. */
  async stat(path: string): Promise<Stat | undefined> {
    const file = await openOr(this.#place, checkedPath(path), TO_LOOK, ABSENT);
    if (!file) return undefined;
    file.release();
    const { endOfFile, fileAttributes, lastWriteTime, creationTime } = file.found;
    return {
      size: endOfFile,
      isDirectory: (fileAttributes & ATTRIBUTE.DIRECTORY) !== 0,
      modifiedAt: dateOfFileTime(lastWriteTime),
      createdAt: dateOfFileTime(creationTime),
      attributes: fileAttributes,
    };
  }

  /** freeBytes is the room left for this account on the share's disk; undefined if the machine does not tell. */
  async freeBytes(): Promise<bigint | undefined> {
    try {
      const what = { infoType: INFO_TYPE.FILESYSTEM, infoClass: FS_INFO.FULL_SIZE, body: FileFsFullSizeInformation };
      const size = await queryAtOnce(this.#place, '', FOLDER, what);
      return size && size.callerAvailableAllocationUnits * BigInt(size.sectorsPerAllocationUnit) * BigInt(size.bytesPerSector);
    } catch (error) {
      if (isCode(error, 'PP_SMB_REFUSED')) return undefined;
      throw error;
    }
  }

  /** openPipe opens a named pipe of IPC$, without `\PIPE\`; PP_SMB_NO_PIPE means that the service behind it does not run. */
  async openPipe(name: string): Promise<SmbPipe> {
    checkedName(name);
    for (let left = PIPE_TRIES; ; left--) {
      try {
        return new SmbPipe(name, await openFile(this.#place, name, PIPE), this.#place);
      } catch (error) {
        if (left <= 1 || !isCode(error, 'PP_SMB_PIPE_BUSY'))
          throw pipeRefusal(error, { host: this.#place.connection.host, pipe: name });
        await this.#clock.sleep(PIPE_PAUSE_MS);
      }
    }
  }

  /** disconnect gives the share back; LOGOFF does it too. */
  async disconnect(): Promise<void> {
    this.#onDisconnect();
    const { connection, treeId, shareName } = this.#place;
    const doing = `leaving ${shareName}`;
    await connection.request({ command: COMMAND.TREE_DISCONNECT, body: TreeDisconnect, value: {}, treeId, doing });
  }
}
