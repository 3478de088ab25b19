import { raise } from '#base/errors';
import { STATUS } from '#wire/status';
import {
  ATTRIBUTE,
  COMMAND,
  dateOfFileTime,
  decodeBody,
  FILE_INFO,
  IdBothDirectoryList,
  QUERY_DIRECTORY_FLAG,
  QueryDirectoryRequest,
  QueryDirectoryResponse,
} from './messages/index.ts';
import type { OpenFile } from './open-file.ts';

/** Listed is one line of a folder. */
export interface Listed {
  name: string;
  size: bigint;
  isDirectory: boolean;
  modifiedAt: Date;
  attributes: number;
}

const BUFFER = 65_536;
/** A folder that never ends is a hostile one. */
const MOST_ROUNDS = 2_000;
/** As is one whose entries fill more than this; it is room for some 50,000 of them. */
const MOST_OCTETS = 8 * 1024 * 1024;

/** listed turns the entries of an answer into what callers see; a folder's `.` and `..` are not part of it. */
export function listed(entries: ReturnType<typeof IdBothDirectoryList.decode>): Listed[] {
  return entries
    .filter(({ fileName }) => fileName !== '.' && fileName !== '..')
    .map((entry) => ({
      name: entry.fileName,
      size: entry.endOfFile,
      isDirectory: (entry.fileAttributes & ATTRIBUTE.DIRECTORY) !== 0,
      modifiedAt: dateOfFileTime(entry.lastWriteTime),
      attributes: entry.fileAttributes,
    }));
}

/** listFolder reads an open folder to its end, [MS-SMB2] 2.2.33. */
export async function listFolder(folder: OpenFile, pattern: string): Promise<Listed[]> {
  const list: Listed[] = [];
  let octets = 0;
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const value = {
      infoClass: FILE_INFO.ID_BOTH_DIRECTORY,
      flags: round === 0 ? QUERY_DIRECTORY_FLAG.RESTART_SCANS : 0,
      fileIndex: 0,
      fileId: folder.fileId,
      outputBufferLength: BUFFER,
      pattern,
    };
    const call = { command: COMMAND.QUERY_DIRECTORY, body: QueryDirectoryRequest, value, doing: 'listing', payload: BUFFER };
    const answer = await folder.call(call, [STATUS.NO_MORE_FILES, STATUS.NO_SUCH_FILE]);
    if (answer.header.status !== STATUS.SUCCESS) return list;
    const { output } = decodeBody(answer, QueryDirectoryResponse);
    octets += output.length;
    if (output.length > BUFFER) throw endless('outputLength', `${output.length} octets, asked were ${BUFFER}`);
    if (octets > MOST_OCTETS) throw endless('output', `a list of more than ${MOST_OCTETS} octets`);
    list.push(...listed(IdBothDirectoryList.decode(output)));
  }
  throw endless('status', `${MOST_ROUNDS} answers and no end`);
}

function endless(field: string, why: string): Error {
  return raise('PP_WIRE_MALFORMED', { message: 'QUERY_DIRECTORY response', field, offset: 64, why });
}
