import {
  bytes,
  lengthOf,
  located,
  Reader,
  reserved,
  struct,
  u16,
  u32,
  u64,
  u8,
  utf16Rest,
  type Bytes,
  type Codec,
  type Of,
  Writer,
} from '#wire/bytes';

/** FILETIME counts 100 ns from 1601-01-01; 0 means that there is none. */
const EPOCH_1601 = 116_444_736_000_000_000n;

/** dateOfFileTime turns a FILETIME into a date, in milliseconds. */
export function dateOfFileTime(fileTime: bigint): Date {
  return new Date(Number((fileTime - EPOCH_1601) / 10_000n));
}

/** fileTimeOfDate turns a date into a FILETIME. */
export function fileTimeOfDate(date: Date): bigint {
  return BigInt(date.getTime()) * 10_000n + EPOCH_1601;
}

const times = { creationTime: u64, lastAccessTime: u64, lastWriteTime: u64, changeTime: u64 };

/** [MS-FSCC] 2.4.7 FileBasicInformation */
export const FileBasicInformation = struct('FileBasicInformation', { ...times, fileAttributes: u32, reserved: reserved(4) });

/** [MS-FSCC] 2.4.47 FileStandardInformation */
export const FileStandardInformation = struct('FileStandardInformation', {
  allocationSize: u64,
  endOfFile: u64,
  numberOfLinks: u32,
  deletePending: u8,
  directory: u8,
  reserved: reserved(2),
});

/** [MS-FSCC] 2.4.33 FileNetworkOpenInformation */
export const FileNetworkOpenInformation = struct('FileNetworkOpenInformation', {
  ...times,
  allocationSize: u64,
  endOfFile: u64,
  fileAttributes: u32,
  reserved: reserved(4),
});

/** [MS-FSCC] 2.4.2 FileAllInformation */
export const FileAllInformation = struct('FileAllInformation', {
  basic: FileBasicInformation,
  standard: FileStandardInformation,
  indexNumber: u64,
  eaSize: u32,
  accessFlags: u32,
  currentByteOffset: u64,
  mode: u32,
  alignmentRequirement: u32,
  fileNameLength: lengthOf('fileName', u32),
  fileName: located(utf16Rest),
});

/** [MS-FSCC] 2.4.11 FileDispositionInformation */
export const FileDispositionInformation = struct('FileDispositionInformation', { deletePending: u8 });

/** [MS-FSCC] 2.4.42.2 FileRenameInformation for SMB2 */
export const FileRenameInformation = struct('FileRenameInformation', {
  replaceIfExists: u8,
  reserved: reserved(7),
  rootDirectory: u64,
  fileNameLength: lengthOf('fileName', u32),
  fileName: located(utf16Rest),
});

/** [MS-FSCC] 2.4.14 FileEndOfFileInformation */
export const FileEndOfFileInformation = struct('FileEndOfFileInformation', { endOfFile: u64 });

/** [MS-FSCC] 2.5.8 FileFsSizeInformation */
export const FileFsSizeInformation = struct('FileFsSizeInformation', {
  totalAllocationUnits: u64,
  availableAllocationUnits: u64,
  sectorsPerAllocationUnit: u32,
  bytesPerSector: u32,
});

/** [MS-FSCC] 2.5.4 FileFsFullSizeInformation */
export const FileFsFullSizeInformation = struct('FileFsFullSizeInformation', {
  totalAllocationUnits: u64,
  callerAvailableAllocationUnits: u64,
  actualAvailableAllocationUnits: u64,
  sectorsPerAllocationUnit: u32,
  bytesPerSector: u32,
});

const listed = {
  fileIndex: u32,
  ...times,
  endOfFile: u64,
  allocationSize: u64,
  fileAttributes: u32,
  fileNameLength: lengthOf('fileName', u32),
};
const shortName = { shortNameLength: u8, reserved1: reserved(1), shortName: bytes(24) };

/** [MS-FSCC] 2.4.10 FileDirectoryInformation, one entry behind its NextEntryOffset */
const DirectoryEntry = struct('FileDirectoryInformation', { ...listed, fileName: located(utf16Rest) });

/** [MS-FSCC] 2.4.14 FileFullDirectoryInformation, one entry behind its NextEntryOffset */
const FullDirectoryEntry = struct('FileFullDirectoryInformation', { ...listed, eaSize: u32, fileName: located(utf16Rest) });

/** [MS-FSCC] 2.4.18 FileIdFullDirectoryInformation, one entry behind its NextEntryOffset */
const IdFullDirectoryEntry = struct('FileIdFullDirectoryInformation', {
  ...listed,
  eaSize: u32,
  reserved: reserved(4),
  fileId: u64,
  fileName: located(utf16Rest),
});

/** [MS-FSCC] 2.4.28 FileNamesInformation, one entry behind its NextEntryOffset */
const NamesEntry = struct('FileNamesInformation', {
  fileIndex: u32,
  fileNameLength: lengthOf('fileName', u32),
  fileName: located(utf16Rest),
});

/** [MS-FSCC] 2.4.8 FileBothDirectoryInformation, one entry behind its NextEntryOffset */
const BothDirectoryEntry = struct('FileBothDirectoryInformation', {
  ...listed,
  eaSize: u32,
  ...shortName,
  fileName: located(utf16Rest),
});

/** [MS-FSCC] 2.4.17 FileIdBothDirectoryInformation, one entry behind its NextEntryOffset */
const IdBothDirectoryEntry = struct('FileIdBothDirectoryInformation', {
  ...listed,
  eaSize: u32,
  ...shortName,
  reserved2: u16,
  fileId: u64,
  fileName: located(utf16Rest),
});
export type IdBothDirectoryEntry = Of<typeof IdBothDirectoryEntry>;

/** EntryList reads and writes the octets of a QUERY_DIRECTORY answer. */
export interface EntryList<T> {
  decode(octets: Uint8Array): T[];
  encode(entries: T[]): Bytes;
}

const NEXT_SIZE = 4;

/** Entries stand 8-aligned, each with the distance to the next in front of it, [MS-FSCC] 2.4. */
function entryList<T>(name: string, entry: Codec<T>): EntryList<T> {
  return {
    decode(octets) {
      const list: T[] = [];
      let at = 0;
      while (at < octets.length) {
        const r = new Reader(octets, name, { at, base: 0 });
        r.field = 'nextEntryOffset';
        const next = r.u32();
        if (next !== 0 && (next <= NEXT_SIZE || at + next > octets.length))
          throw r.fail(`the next entry cannot begin ${next} octets further on`, at);
        const part = new Reader(octets, name, { at: at + NEXT_SIZE, end: next === 0 ? octets.length : at + next, base: 0 });
        list.push(entry.read(part));
        if (next === 0) break;
        at += next;
      }
      return list;
    },
    encode(entries) {
      const w = new Writer(128 * entries.length + 64);
      entries.forEach((one, index) => {
        const at = w.at;
        w.u32(0);
        entry.write(w, one);
        if (index === entries.length - 1) return;
        w.align(8, 0);
        const next = w.at - at;
        w.patch(at, () => w.u32(next));
      });
      return w.done();
    },
  };
}

/** DirectoryList is the answer to class 1. */
export const DirectoryList = entryList('FileDirectoryInformation', DirectoryEntry);
/** BothDirectoryList is the answer to class 3. */
export const BothDirectoryList = entryList('FileBothDirectoryInformation', BothDirectoryEntry);
/** IdBothDirectoryList is the answer to class 37. */
export const IdBothDirectoryList = entryList('FileIdBothDirectoryInformation', IdBothDirectoryEntry);
/** FullDirectoryList is the answer to class 2. */
export const FullDirectoryList = entryList('FileFullDirectoryInformation', FullDirectoryEntry);
/** NamesList is the answer to class 12. */
export const NamesList = entryList('FileNamesInformation', NamesEntry);
/** IdFullDirectoryList is the answer to class 38. */
export const IdFullDirectoryList = entryList('FileIdFullDirectoryInformation', IdFullDirectoryEntry);
