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

/** listFolder reads an open folder to its end, [MS-SMB2] 2.2.33. */
export async function listFolder(folder: OpenFile, pattern: string): Promise<Listed[]> {
  const list: Listed[] = [];
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
    for (const entry of IdBothDirectoryList.decode(decodeBody(answer, QueryDirectoryResponse).output)) {
      if (entry.fileName === '.' || entry.fileName === '..') continue;
      list.push({
        name: entry.fileName,
        size: entry.endOfFile,
        isDirectory: (entry.fileAttributes & ATTRIBUTE.DIRECTORY) !== 0,
        modifiedAt: dateOfFileTime(entry.lastWriteTime),
        attributes: entry.fileAttributes,
      });
    }
  }
  const why = `${MOST_ROUNDS} answers and no end`;
  throw raise('PP_WIRE_MALFORMED', { message: 'QUERY_DIRECTORY response', field: 'status', offset: 8, why });
}
