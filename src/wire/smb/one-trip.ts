import { Reader, type Bytes, type Of, type Struct } from '#wire/bytes';
import { STATUS } from '#wire/status';
import { linkOf, writing, type Link } from './call.ts';
import { CREDIT_SIZE } from './credits.ts';
import {
  CloseRequest,
  COMMAND,
  CreateResponse,
  decodeBody,
  FILE_INFO,
  IdBothDirectoryList,
  NO_FILE,
  QUERY_DIRECTORY_FLAG,
  QueryDirectoryRequest,
  QueryDirectoryResponse,
  QueryInfoRequest,
  QueryInfoResponse,
  ReadRequest,
  ReadResponse,
  WriteResponse,
  type FileId,
} from './messages/index.ts';
import { chunkSize, createCall, OpenFile, type Opening, type Place } from './open-file.ts';
import type { Answer } from './outstanding.ts';
import { operationRefusal } from './refusal.ts';

/** The file id of a request that means the file which the one before it in the frame opened, [MS-SMB2] 3.2.4.1.4. */
const CHAINED: FileId = NO_FILE;

const LIST_BUFFER = CREDIT_SIZE;
const QUERY_BUFFER = 4096;

interface Trip {
  found: Of<typeof CreateResponse>;
  answers: Answer[];
  /** closed waits until the machine has the file closed; mostly it has already. */
  closed(): Promise<void>;
}

/** trip opens a file, does what `middle` says with it and closes it, all in one frame and one turn-around; undefined where credits do not allow it. */
async function trip(place: Place, path: string, opening: Opening, middle: readonly Link[]): Promise<Trip | undefined> {
  const { connection, treeId } = place;
  const create = createCall(place, path, opening);
  const close = {
    command: COMMAND.CLOSE,
    body: CloseRequest,
    value: { flags: 0, fileId: CHAINED },
    treeId,
    doing: `closing ${path}`,
  };
  const links = [linkOf(create), ...middle, linkOf(close)];
  if (!connection.affords(links)) return undefined;
  const settled = await Promise.allSettled(connection.chain(links));
  const answers = settled.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
  const [opened, ...rest] = answers as [Answer, ...Answer[]];
  const { status } = opened.header;
  if (status !== STATUS.SUCCESS) throw operationRefusal(status, { host: connection.host, doing: create.doing });
  const found = decodeBody(opened, CreateResponse);
  const last = rest.pop()!;
  // An error in the middle is passed on to the close, which then was not done.
  const left = last.header.status === STATUS.SUCCESS ? undefined : new OpenFile(place, path, found);
  return { found, answers: rest, closed: async () => left?.close() };
}

function check(place: Place, answer: Answer, doing: string): void {
  const { status } = answer.header;
  if (status !== STATUS.SUCCESS) throw operationRefusal(status, { host: place.connection.host, doing });
}

/** openAndClose is a look at a file, or what happens to it by being opened: made, or deleted on close. */
export async function openAndClose(place: Place, path: string, opening: Opening): Promise<Of<typeof CreateResponse> | undefined> {
  const done = await trip(place, path, opening, []);
  await done?.closed();
  return done?.found;
}

/** writeAtOnce writes a file that fits into one request; false where it does not, and nothing was sent. */
export async function writeAtOnce(place: Place, path: string, opening: Opening, data: Uint8Array): Promise<boolean> {
  const { connection, treeId, sizes } = place;
  if (data.length > chunkSize(connection, sizes.maxWrite)) return false;
  const doing = `writing ${place.shareName}\\${path}`;
  const write = { ...writing({ offset: 0n, fileId: CHAINED, remainingBytes: 0, flags: 0 }, data as Bytes), treeId, doing };
  const done = await trip(place, path, opening, data.length === 0 ? [] : [linkOf(write)]);
  if (!done) return false;
  await done.closed();
  const [written] = done.answers;
  if (!written) return true;
  check(place, written, doing);
  const { count } = decodeBody(written, WriteResponse);
  if (count !== data.length) throw new Reader(written.octets, 'WRITE response').fail(`${count} octets taken of ${data.length}`);
  return true;
}

/** readAtOnce reads a file that fits into one answer of at most `most` octets; undefined where it does not, with its size if that is known. */
export async function readAtOnce(place: Place, path: string, opening: Opening, most: number): Promise<Bytes | undefined> {
  const { treeId } = place;
  const length = Math.min(most, CREDIT_SIZE);
  if (length === 0) return undefined;
  const doing = `reading ${place.shareName}\\${path}`;
  const value = { padding: 0x50, flags: 0, length, offset: 0n, fileId: CHAINED, minimumCount: 0, remainingBytes: 0 };
  const read = { command: COMMAND.READ, body: ReadRequest, value, treeId, doing, payload: length };
  const done = await trip(place, path, opening, [linkOf(read)]);
  if (!done) return undefined;
  await done.closed();
  const answer = done.answers[0]!;
  const { endOfFile } = done.found;
  if (answer.header.status === STATUS.END_OF_FILE) return endOfFile === 0n ? new Uint8Array(0) : undefined;
  check(place, answer, doing);
  const { data } = decodeBody(answer, ReadResponse);
  if (data.length > length) throw new Reader(answer.octets, 'READ response').fail(`${data.length} octets, asked were ${length}`);
  return BigInt(data.length) === endOfFile ? data : undefined;
}

/** queryAtOnce asks for one information class of a file, folder or its file system. */
export async function queryAtOnce<T>(
  place: Place,
  path: string,
  opening: Opening,
  what: { infoType: number; infoClass: number; body: Struct<T> },
): Promise<T | undefined> {
  const { treeId } = place;
  const doing = `looking at ${place.shareName}\\${path}`;
  const value = {
    infoType: what.infoType,
    infoClass: what.infoClass,
    outputBufferLength: QUERY_BUFFER,
    additionalInformation: 0,
    flags: 0,
    fileId: CHAINED,
    input: new Uint8Array(0),
  };
  const query = { command: COMMAND.QUERY_INFO, body: QueryInfoRequest, value, treeId, doing, payload: QUERY_BUFFER };
  const done = await trip(place, path, opening, [linkOf(query)]);
  if (!done) return undefined;
  await done.closed();
  const answer = done.answers[0]!;
  check(place, answer, doing);
  return what.body.decode(decodeBody(answer, QueryInfoResponse).output);
}

type Entry = ReturnType<typeof IdBothDirectoryList.decode>[number];

/** listAtOnce gives the entries of a folder that fit into one answer; undefined where there are more. */
export async function listAtOnce(place: Place, path: string, opening: Opening, pattern: string): Promise<Entry[] | undefined> {
  const { treeId } = place;
  const doing = `listing ${place.shareName}\\${path}`;
  const query = (flags: number): Link =>
    linkOf({
      command: COMMAND.QUERY_DIRECTORY,
      body: QueryDirectoryRequest,
      value: {
        infoClass: FILE_INFO.ID_BOTH_DIRECTORY,
        flags,
        fileIndex: 0,
        fileId: CHAINED,
        outputBufferLength: LIST_BUFFER,
        pattern,
      },
      treeId,
      doing,
      payload: LIST_BUFFER,
    });
  const done = await trip(place, path, opening, [query(QUERY_DIRECTORY_FLAG.RESTART_SCANS), query(0)]);
  if (!done) return undefined;
  await done.closed();
  const [first, second] = done.answers as [Answer, Answer];
  const { status } = first.header;
  if (status === STATUS.NO_SUCH_FILE || status === STATUS.NO_MORE_FILES) return [];
  check(place, first, doing);
  if (second.header.status !== STATUS.NO_MORE_FILES) return undefined;
  const { output } = decodeBody(first, QueryDirectoryResponse);
  return output.length > LIST_BUFFER ? undefined : IdBothDirectoryList.decode(output);
}
