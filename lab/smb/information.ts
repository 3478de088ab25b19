import type { Disk, FileInfo, OpenFile } from '#lab/disk';
import { splitPath } from '#lab/disk';
import { toUtf16, Writer, type Bytes } from '#wire/bytes';
import {
  dateOfFileTime,
  decodeBody,
  FILE_INFO,
  FileAllInformation,
  FileBasicInformation,
  FileDispositionInformation,
  FileEndOfFileInformation,
  FileFsFullSizeInformation,
  FileFsSizeInformation,
  FileNetworkOpenInformation,
  FileRenameInformation,
  FileStandardInformation,
  FS_INFO,
  INFO_TYPE,
  QueryInfoRequest,
  QueryInfoResponse,
  SetInfoRequest,
  SetInfoResponse,
} from '#wire/smb';
import { STATUS } from '#wire/status';
import { answer, Refusal, type Answer } from './answer.ts';
import { allocationOf, position, timesOf } from './files.ts';
import type { FileOpen, Request } from './session.ts';

const SECTOR = 512;
const SECTORS_PER_UNIT = 8;

function basicOf(info: FileInfo): { fileAttributes: number } & ReturnType<typeof timesOf> {
  return { ...timesOf(info), fileAttributes: info.attributes };
}

function standardOf(info: FileInfo, file: OpenFile): Parameters<typeof FileStandardInformation.encode>[0] {
  return {
    allocationSize: allocationOf(info.size),
    endOfFile: BigInt(info.size),
    numberOfLinks: 1,
    deletePending: Number(file.deletePending),
    directory: Number(info.isDirectory),
  };
}

const octets = (write: (w: Writer) => void): Bytes => {
  const w = new Writer(64);
  write(w);
  return w.done();
};

/** [MS-FSCC] 2.4: the classes whose answer is a number or two. */
const SMALL: Record<number, (info: FileInfo, file: OpenFile) => Bytes> = {
  [FILE_INFO.INTERNAL]: (info) => octets((w) => w.u64(info.id)),
  [FILE_INFO.EA]: () => octets((w) => w.u32(0)),
  [FILE_INFO.ACCESS]: (_info, file) => octets((w) => w.u32(file.access)),
  [FILE_INFO.POSITION]: () => octets((w) => w.u64(0n)),
  [FILE_INFO.MODE]: () => octets((w) => w.u32(0)),
  [FILE_INFO.ALIGNMENT]: () => octets((w) => w.u32(0)),
  [FILE_INFO.ATTRIBUTE_TAG]: (info) => octets((w) => w.u32(info.attributes).u32(0)),
  // One stream, the unnamed one; a folder has none.
  [FILE_INFO.STREAM]: (info) => {
    if (info.isDirectory) return octets(() => {});
    const name = toUtf16('::$DATA');
    return octets((w) => w.u32(0).u32(name.length).u64(BigInt(info.size)).u64(allocationOf(info.size)).bytes(name));
  },
};

async function fileInformation(infoClass: number, file: OpenFile): Promise<Bytes> {
  const info = await file.info();
  const sizes = { allocationSize: allocationOf(info.size), endOfFile: BigInt(info.size) };
  if (infoClass === FILE_INFO.BASIC) return FileBasicInformation.encode(basicOf(info));
  if (infoClass === FILE_INFO.STANDARD) return FileStandardInformation.encode(standardOf(info, file));
  if (infoClass === FILE_INFO.NETWORK_OPEN) return FileNetworkOpenInformation.encode({ ...basicOf(info), ...sizes });
  if (infoClass === FILE_INFO.ALL) {
    return FileAllInformation.encode({
      basic: basicOf(info),
      standard: standardOf(info, file),
      indexNumber: info.id,
      eaSize: 0,
      accessFlags: file.access,
      currentByteOffset: 0n,
      mode: 0,
      alignmentRequirement: 0,
      fileName: `\\${file.path}`,
    });
  }
  const small = SMALL[infoClass];
  if (!small) throw new Refusal(STATUS.INVALID_INFO_CLASS);
  return small(info, file);
}

/** NTFS with case kept, Unicode names and no case-sensitive search, [MS-FSCC] 2.5.1. */
const NTFS_FLAGS = 0x0000_0006;

function volumeInformation(infoClass: number, disk: Disk): Bytes {
  const unit = SECTOR * SECTORS_PER_UNIT;
  const units = { sectorsPerAllocationUnit: SECTORS_PER_UNIT, bytesPerSector: SECTOR };
  const total = BigInt(Math.floor(disk.totalBytes / unit));
  const free = BigInt(Math.floor(Math.max(0, disk.freeBytes) / unit));
  if (infoClass === FS_INFO.SIZE)
    return FileFsSizeInformation.encode({ totalAllocationUnits: total, availableAllocationUnits: free, ...units });
  if (infoClass === FS_INFO.FULL_SIZE) {
    return FileFsFullSizeInformation.encode({
      totalAllocationUnits: total,
      callerAvailableAllocationUnits: free,
      actualAvailableAllocationUnits: free,
      ...units,
    });
  }
  if (infoClass === FS_INFO.DEVICE) return octets((w) => w.u32(7).u32(0x20)); // a disk, mounted
  const name = toUtf16(infoClass === FS_INFO.ATTRIBUTE ? 'NTFS' : '');
  if (infoClass === FS_INFO.ATTRIBUTE) return octets((w) => w.u32(NTFS_FLAGS).u32(255).u32(name.length).bytes(name));
  if (infoClass === FS_INFO.VOLUME) return octets((w) => w.u64(0n).u32(0x1ab_c0de).u32(name.length).u8(0).u8(0).bytes(name));
  if (infoClass === FS_INFO.SECTOR_SIZE) return octets((w) => w.u32(SECTOR).u32(4096).u32(4096).u32(4096).u32(3).u32(0).u32(0));
  throw new Refusal(STATUS.INVALID_INFO_CLASS);
}

/** queryInfo is QUERY_INFO, [MS-SMB2] 3.3.5.20. */
export async function queryInfo(request: Request): Promise<Answer> {
  const asked = decodeBody(request.message, QueryInfoRequest);
  const open = request.session.open(request, asked.fileId);
  if (asked.outputBufferLength > request.agreed.maxIoBytes) throw new Refusal(STATUS.INVALID_PARAMETER);
  if (open.kind !== 'file') return queryPipe(asked.infoType, asked.infoClass);
  const output = await informationOf(asked.infoType, asked.infoClass, open);
  if (output.length <= asked.outputBufferLength) return answer(QueryInfoResponse, { output });
  const variable = asked.infoClass === FILE_INFO.ALL || asked.infoType === INFO_TYPE.FILESYSTEM;
  if (!variable) throw new Refusal(STATUS.INFO_LENGTH_MISMATCH);
  return answer(QueryInfoResponse, { output: output.subarray(0, asked.outputBufferLength) }, STATUS.BUFFER_OVERFLOW);
}

async function informationOf(infoType: number, infoClass: number, open: FileOpen): Promise<Bytes> {
  if (infoType === INFO_TYPE.FILE) return fileInformation(infoClass, open.file);
  if (infoType === INFO_TYPE.FILESYSTEM) return volumeInformation(infoClass, open.share.disk);
  throw new Refusal(STATUS.NOT_SUPPORTED);
}

function queryPipe(infoType: number, infoClass: number): Answer {
  if (infoType !== INFO_TYPE.FILE || infoClass !== FILE_INFO.STANDARD) throw new Refusal(STATUS.INVALID_INFO_CLASS);
  const pipe = { allocationSize: 4096n, endOfFile: 0n, numberOfLinks: 1, deletePending: 1, directory: 0 };
  return answer(QueryInfoResponse, { output: FileStandardInformation.encode(pipe) });
}

/** Times of 0 and -1 mean: leave it, [MS-FSCC] 2.4.7. */
function dateOrKeep(fileTime: bigint): Date | undefined {
  if (fileTime === 0n || fileTime >= 0x7fff_ffff_ffff_ffffn) return undefined;
  const date = dateOfFileTime(fileTime);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

async function setFile(infoClass: number, input: Bytes, open: FileOpen): Promise<void> {
  const { file, share } = open;
  if (infoClass === FILE_INFO.BASIC) {
    const basic = FileBasicInformation.decode(input);
    await file.setTimes(dateOrKeep(basic.lastAccessTime), dateOrKeep(basic.lastWriteTime));
    if (basic.fileAttributes) file.setAttributes(basic.fileAttributes);
  } else if (infoClass === FILE_INFO.RENAME) {
    const { fileName, replaceIfExists, rootDirectory } = FileRenameInformation.decode(input);
    if (rootDirectory !== 0n) throw new Refusal(STATUS.INVALID_PARAMETER);
    await file.rename([...share.root, ...splitPath(fileName)], replaceIfExists !== 0);
  } else if (infoClass === FILE_INFO.DISPOSITION) {
    await file.setDelete(FileDispositionInformation.decode(input).deletePending !== 0);
  } else if (infoClass === FILE_INFO.END_OF_FILE) {
    await file.truncate(position(FileEndOfFileInformation.decode(input).endOfFile));
  } else if (infoClass === FILE_INFO.ALLOCATION) {
    await setAllocation(file, position(FileEndOfFileInformation.decode(input).endOfFile), share.disk.freeBytes);
  } else throw new Refusal(STATUS.INVALID_INFO_CLASS);
}

/** Space asked for in advance is refused if it is not there; less of it than the file has cuts the file, [MS-FSA] 2.1.5.14.1. */
async function setAllocation(file: OpenFile, wanted: number, free: number): Promise<void> {
  const { size } = await file.info();
  if (wanted < size) await file.truncate(wanted);
  else if (wanted - size > free) throw new Refusal(STATUS.DISK_FULL);
}

/** setInfo is SET_INFO, [MS-SMB2] 3.3.5.21. */
export async function setInfo(request: Request): Promise<Answer> {
  const asked = decodeBody(request.message, SetInfoRequest);
  const open = request.session.open(request, asked.fileId);
  if (open.kind !== 'file' || asked.infoType !== INFO_TYPE.FILE) throw new Refusal(STATUS.NOT_SUPPORTED);
  await setFile(asked.infoClass, asked.input, open);
  return answer(SetInfoResponse, {});
}
