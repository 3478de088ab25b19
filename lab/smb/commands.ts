import { COMMAND, decodeBody, Echo, Logoff, ReadRequest, WriteRequest } from '#wire/smb';
import { STATUS } from '#wire/status';
import { answer, Refusal, type Answer } from './answer.ts';
import { close, createFile, flush, readFile, writeFile } from './files.ts';
import { queryInfo, setInfo } from './information.ts';
import { ioctl } from './ioctl.ts';
import { createPipe, readPipe, writePipe } from './pipes.ts';
import { queryDirectory } from './query-directory.ts';
import type { Request } from './session.ts';
import { connectTree, disconnectTree } from './trees.ts';

function create(request: Request): Promise<Answer> {
  const share = request.tree!.share;
  return share.kind === 'pipe' ? createPipe(request) : createFile(request, share);
}

async function read(request: Request): Promise<Answer> {
  const asked = decodeBody(request.message, ReadRequest);
  const open = request.session.open(request, asked.fileId);
  return open.kind === 'pipe' ? readPipe(request, open.channel, asked) : readFile(request, open.file, asked);
}

async function write(request: Request): Promise<Answer> {
  const asked = decodeBody(request.message, WriteRequest);
  const open = request.session.open(request, asked.fileId);
  return open.kind === 'pipe' ? writePipe(open.channel, asked) : writeFile(request, open.file, asked);
}

async function logoff(request: Request): Promise<Answer> {
  decodeBody(request.message, Logoff);
  await request.session.end();
  return answer(Logoff, {});
}

/** Nothing changes behind a client's back here, so a notify waits until it is cancelled, as on a quiet disk. */
function changeNotify(request: Request): Promise<Answer> {
  return new Promise((_resolve, reject) => {
    const refuse = () => reject(new Refusal(STATUS.CANCELLED));
    if (request.signal.aborted) refuse();
    else request.signal.addEventListener('abort', refuse, { once: true });
  });
}

async function echo(request: Request): Promise<Answer> {
  decodeBody(request.message, Echo);
  return answer(Echo, {});
}

/** commands is what the server does for each command, once the session and the tree are known. */
export const commands = new Map<number, (request: Request) => Promise<Answer>>([
  [COMMAND.LOGOFF, logoff],
  [COMMAND.TREE_CONNECT, connectTree],
  [COMMAND.TREE_DISCONNECT, disconnectTree],
  [COMMAND.CREATE, create],
  [COMMAND.CLOSE, close],
  [COMMAND.FLUSH, flush],
  [COMMAND.READ, read],
  [COMMAND.WRITE, write],
  [COMMAND.IOCTL, ioctl],
  [COMMAND.ECHO, echo],
  [COMMAND.QUERY_DIRECTORY, queryDirectory],
  [COMMAND.CHANGE_NOTIFY, changeNotify],
  [COMMAND.QUERY_INFO, queryInfo],
  [COMMAND.SET_INFO, setInfo],
]);
