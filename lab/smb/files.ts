import type { FileInfo, OpenFile } from '#lab/disk';
import {
  ACCESS,
  CLOSE_POSTQUERY_ATTRIB,
  CloseRequest,
  CloseResponse,
  CREATE_OPTION,
  CreateRequest,
  CreateResponse,
  decodeBody,
  DISPOSITION,
  fileTimeOfDate,
  FlushRequest,
  FlushResponse,
  ReadRequest,
  ReadResponse,
  WriteRequest,
  WriteResponse,
  type CreateContext,
} from '#wire/smb';
import type { Of } from '#wire/bytes';
import { STATUS } from '#wire/status';
import { answer, Refusal, type Answer } from './answer.ts';
import { splitPath } from '#lab/disk';
import type { Share } from './backend.ts';
import type { FileOpen, Request } from './session.ts';

type DiskShare = Extract<Share, { kind: 'disk' }>;
type Asked = Of<typeof CreateRequest>;

const FILE_ALL_ACCESS = 0x001f_01ff;
const CLUSTER = 4096;
const SMALL_FILE = 32_768;

/** allocationOf is the size a file takes on a disk with clusters of 4 KiB. */
export const allocationOf = (size: number): bigint => BigInt(Math.ceil(size / CLUSTER) * CLUSTER);

/** timesOf gives the four times of a file as they stand in most answers. */
export function timesOf(info: FileInfo): {
  creationTime: bigint;
  lastAccessTime: bigint;
  lastWriteTime: bigint;
  changeTime: bigint;
} {
  return {
    creationTime: fileTimeOfDate(info.createdAt),
    lastAccessTime: fileTimeOfDate(info.readAt),
    lastWriteTime: fileTimeOfDate(info.writtenAt),
    changeTime: fileTimeOfDate(info.changedAt),
  };
}

/** The generic bits become those they stand for on files, [MS-SMB2] 2.2.13.1.1. */
function grantedAccess(asked: number): number {
  if (asked & (ACCESS.GENERIC_ALL | ACCESS.MAXIMUM_ALLOWED)) return FILE_ALL_ACCESS;
  let access = asked & FILE_ALL_ACCESS;
  if (asked & ACCESS.GENERIC_READ) access |= 0x0012_0089;
  if (asked & ACCESS.GENERIC_WRITE) access |= 0x0012_0116;
  if (asked & 0x2000_0000) access |= 0x0012_00a0; // GENERIC_EXECUTE
  return access;
}

function checkCreate(asked: Asked): void {
  const { createOptions: options, createDisposition: disposition } = asked;
  if (asked.impersonationLevel > 3) throw new Refusal(STATUS.BAD_IMPERSONATION_LEVEL);
  if (disposition > DISPOSITION.OVERWRITE_IF || asked.shareAccess & ~7) throw new Refusal(STATUS.INVALID_PARAMETER);
  if (asked.desiredAccess === 0) throw new Refusal(STATUS.ACCESS_DENIED);
  if (asked.name.startsWith('\\')) throw new Refusal(STATUS.INVALID_PARAMETER);
  const folder = Boolean(options & CREATE_OPTION.DIRECTORY_FILE);
  if (folder && options & CREATE_OPTION.NON_DIRECTORY_FILE) throw new Refusal(STATUS.INVALID_PARAMETER);
  const empties = disposition === DISPOSITION.SUPERSEDE || disposition >= DISPOSITION.OVERWRITE;
  if (folder && empties) throw new Refusal(STATUS.INVALID_PARAMETER);
}

/** The two contexts that stock clients ask for: maximal access and the file's id on disk, [MS-SMB2] 2.2.14.2. */
function answeredContexts(asked: CreateContext[], info: FileInfo): CreateContext[] {
  const list: CreateContext[] = [];
  for (const { name } of asked) {
    const data = new Uint8Array(name === 'QFid' ? 32 : 8);
    const view = new DataView(data.buffer);
    if (name === 'MxAc') view.setUint32(4, FILE_ALL_ACCESS, true);
    else if (name === 'QFid') view.setBigUint64(0, info.id, true);
    else continue;
    list.push({ name, data });
  }
  return list;
}

/** createFile is CREATE on a disk share, [MS-SMB2] 3.3.5.9. */
export async function createFile(request: Request, share: DiskShare): Promise<Answer> {
  const asked = decodeBody(request.message, CreateRequest);
  checkCreate(asked);
  const access = grantedAccess(asked.desiredAccess);
  const deleteOnClose = Boolean(asked.createOptions & CREATE_OPTION.DELETE_ON_CLOSE);
  if (deleteOnClose && !(access & ACCESS.DELETE)) throw new Refusal(STATUS.ACCESS_DENIED);
  const { session } = request;
  session.roomForOpen();
  const file = await share.disk.open([...share.root, ...splitPath(asked.name)], {
    access,
    share: asked.shareAccess,
    disposition: asked.createDisposition,
    wants: wanted(asked.createOptions),
    deleteOnClose,
    attributes: asked.fileAttributes,
  });
  const open: FileOpen = { kind: 'file', file, share };
  if (session.closed) {
    await file.close();
    throw new Refusal(STATUS.USER_SESSION_DELETED);
  }
  const fileId = session.addOpen(request, open);
  const info = await file.info();
  return answer(CreateResponse, {
    oplockLevel: 0,
    flags: 0,
    createAction: file.action,
    ...timesOf(info),
    allocationSize: allocationOf(info.size),
    endOfFile: BigInt(info.size),
    fileAttributes: info.attributes,
    fileId,
    contexts: answeredContexts(asked.contexts, info),
  });
}

function wanted(options: number): 'file' | 'directory' | undefined {
  if (options & CREATE_OPTION.DIRECTORY_FILE) return 'directory';
  return options & CREATE_OPTION.NON_DIRECTORY_FILE ? 'file' : undefined;
}

const NO_TIMES = { creationTime: 0n, lastAccessTime: 0n, lastWriteTime: 0n, changeTime: 0n };

/** close is CLOSE of a file or a pipe, [MS-SMB2] 3.3.5.10. */
export async function close(request: Request): Promise<Answer> {
  const asked = decodeBody(request.message, CloseRequest);
  const open = request.session.takeOpen(request, asked.fileId);
  const wantsInfo = Boolean(asked.flags & CLOSE_POSTQUERY_ATTRIB);
  const info = wantsInfo && open.kind === 'file' ? await open.file.info() : undefined;
  await request.session.closeOpen(open);
  return answer(CloseResponse, {
    flags: info ? CLOSE_POSTQUERY_ATTRIB : 0,
    ...(info ? timesOf(info) : NO_TIMES),
    allocationSize: info ? allocationOf(info.size) : 0n,
    endOfFile: BigInt(info?.size ?? 0),
    fileAttributes: info?.attributes ?? 0,
  });
}

/** flush is FLUSH, [MS-SMB2] 3.3.5.11. */
export async function flush(request: Request): Promise<Answer> {
  const open = request.session.open(request, decodeBody(request.message, FlushRequest).fileId);
  if (open.kind === 'file') await open.file.flush();
  return answer(FlushResponse, {});
}

const BEYOND = 2n ** 53n - 1n;

/** position is an offset in a file as a number; beyond what a disk can have it is refused. */
export function position(offset: bigint): number {
  if (offset > BEYOND) throw new Refusal(STATUS.INVALID_PARAMETER);
  return Number(offset);
}

/** readFile is READ on a disk share, [MS-SMB2] 3.3.5.12. */
export async function readFile(request: Request, file: OpenFile, asked: Of<typeof ReadRequest>): Promise<Answer> {
  if (asked.length > request.agreed.maxIoBytes) throw new Refusal(STATUS.INVALID_PARAMETER);
  const data = await file.read(position(asked.offset), asked.length);
  if (data.length < asked.minimumCount || (data.length === 0 && asked.length > 0)) throw new Refusal(STATUS.END_OF_FILE);
  return answer(ReadResponse, { dataRemaining: 0, flags: 0, data: data as Uint8Array<ArrayBuffer> });
}

/** writeFile is WRITE on a disk share, [MS-SMB2] 3.3.5.13. */
export async function writeFile(request: Request, file: OpenFile, asked: Of<typeof WriteRequest>): Promise<Answer> {
  if (asked.data.length > request.agreed.maxIoBytes) throw new Refusal(STATUS.INVALID_PARAMETER);
  await file.write(position(asked.offset), asked.data);
  // Lock files and settings are small; what is longer is a program on its way.
  if (position(asked.offset) + asked.data.length > SMALL_FILE) request.backend.reached('copy');
  return answer(WriteResponse, { count: asked.data.length, remaining: 0 });
}
