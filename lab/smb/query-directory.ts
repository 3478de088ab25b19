import type { FileInfo } from '#lab/disk';
import {
  BothDirectoryList,
  decodeBody,
  DirectoryList,
  FILE_INFO,
  FullDirectoryList,
  IdBothDirectoryList,
  IdFullDirectoryList,
  NamesList,
  QUERY_DIRECTORY_FLAG,
  QueryDirectoryRequest,
  QueryDirectoryResponse,
} from '#wire/smb';
import type { Bytes } from '#wire/bytes';
import { STATUS } from '#wire/status';
import { answer, Refusal, type Answer } from './answer.ts';
import { allocationOf, timesOf } from './files.ts';
import type { Request } from './session.ts';

interface Listed {
  fileIndex: number;
  creationTime: bigint;
  lastAccessTime: bigint;
  lastWriteTime: bigint;
  changeTime: bigint;
  endOfFile: bigint;
  allocationSize: bigint;
  fileAttributes: number;
  eaSize: number;
  shortNameLength: number;
  shortName: Bytes;
  reserved2: number;
  fileId: bigint;
  fileName: string;
}

/** Each class writes the fields of Listed that it knows. */
const LISTS: Record<number, { encode(entries: Listed[]): Bytes }> = {
  [FILE_INFO.DIRECTORY]: DirectoryList,
  [FILE_INFO.FULL_DIRECTORY]: FullDirectoryList,
  [FILE_INFO.BOTH_DIRECTORY]: BothDirectoryList,
  [FILE_INFO.NAMES]: NamesList,
  [FILE_INFO.ID_BOTH_DIRECTORY]: IdBothDirectoryList,
  [FILE_INFO.ID_FULL_DIRECTORY]: IdFullDirectoryList,
};

/** Scan is where one open of a folder stands in its listing. */
export interface Scan {
  entries: FileInfo[];
  next: number;
}

const NO_SHORT_NAME = new Uint8Array(24);

function listed(info: FileInfo): Listed {
  return {
    fileIndex: 0,
    ...timesOf(info),
    endOfFile: BigInt(info.size),
    allocationSize: allocationOf(info.size),
    fileAttributes: info.attributes,
    eaSize: 0,
    shortNameLength: 0,
    shortName: NO_SHORT_NAME,
    reserved2: 0,
    fileId: info.id,
    fileName: info.name,
  };
}

/** An upper bound of an entry's octets, so that a buffer is never overrun. */
const sizeOf = (info: FileInfo): number => 112 + 2 * info.name.length;

function fill(scan: Scan, room: number, single: boolean): FileInfo[] {
  const taken: FileInfo[] = [];
  let size = 0;
  while (scan.next < scan.entries.length) {
    const info = scan.entries[scan.next]!;
    size += sizeOf(info);
    if (size > room) break;
    taken.push(info);
    scan.next++;
    if (single) break;
  }
  return taken;
}

/** queryDirectory is QUERY_DIRECTORY, [MS-SMB2] 3.3.5.18. */
export async function queryDirectory(request: Request): Promise<Answer> {
  const asked = decodeBody(request.message, QueryDirectoryRequest);
  const open = request.session.open(request, asked.fileId);
  if (open.kind !== 'file' || !open.file.isDirectory) throw new Refusal(STATUS.INVALID_PARAMETER);
  if (asked.outputBufferLength > request.agreed.maxIoBytes) throw new Refusal(STATUS.INVALID_PARAMETER);
  const list = LISTS[asked.infoClass];
  if (!list) throw new Refusal(STATUS.INVALID_INFO_CLASS);
  const again = asked.flags & (QUERY_DIRECTORY_FLAG.RESTART_SCANS | QUERY_DIRECTORY_FLAG.REOPEN);
  const first = again || !open.scan;
  const scan: Scan = first ? { entries: await open.file.list(asked.pattern), next: 0 } : open.scan!;
  open.scan = scan;
  if (first && scan.entries.length === 0) throw new Refusal(STATUS.NO_SUCH_FILE);
  if (scan.next >= scan.entries.length) throw new Refusal(STATUS.NO_MORE_FILES);
  const taken = fill(scan, asked.outputBufferLength, Boolean(asked.flags & QUERY_DIRECTORY_FLAG.RETURN_SINGLE_ENTRY));
  if (taken.length === 0) throw new Refusal(STATUS.INFO_LENGTH_MISMATCH);
  return answer(QueryDirectoryResponse, { output: list.encode(taken.map(listed)) });
}
