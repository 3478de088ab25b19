import type { Of } from '#wire/bytes';
import { ATTRIBUTE, CREATE_ACTION, CreateRequest, CreateResponse, decodeBody, ReadResponse, WriteResponse } from '#wire/smb';
import type { ReadRequest, WriteRequest } from '#wire/smb';
import { STATUS } from '#wire/status';
import { answer, Refusal, type Answer } from './answer.ts';
import { PipeChannel } from './pipe-channel.ts';
import type { Request } from './session.ts';

/** createPipe is CREATE on IPC$, [MS-SMB2] 3.3.5.9: the name alone, without `\PIPE\`. */
export async function createPipe(request: Request): Promise<Answer> {
  const asked = decodeBody(request.message, CreateRequest);
  if (asked.name.startsWith('\\')) throw new Refusal(STATUS.INVALID_PARAMETER);
  const { session } = request;
  session.roomForOpen();
  const end = await request.backend.pipe(asked.name, session.identity!);
  if (typeof end === 'number') throw new Refusal(end);
  const channel = new PipeChannel(end);
  if (session.closed) {
    channel.close();
    throw new Refusal(STATUS.USER_SESSION_DELETED);
  }
  return answer(CreateResponse, {
    oplockLevel: 0,
    flags: 0,
    createAction: CREATE_ACTION.OPENED,
    creationTime: 0n,
    lastAccessTime: 0n,
    lastWriteTime: 0n,
    changeTime: 0n,
    allocationSize: 4096n,
    endOfFile: 0n,
    fileAttributes: ATTRIBUTE.NORMAL,
    fileId: session.addOpen(request, { kind: 'pipe', channel }),
    contexts: [],
  });
}

/** readPipe is READ on a pipe: a message that does not fit comes with BUFFER_OVERFLOW and is read on. */
export async function readPipe(request: Request, channel: PipeChannel, asked: Of<typeof ReadRequest>): Promise<Answer> {
  const { data, more } = await channel.read(asked.length, request.signal);
  const status = more ? STATUS.BUFFER_OVERFLOW : STATUS.SUCCESS;
  return answer(ReadResponse, { dataRemaining: 0, flags: 0, data: data as Uint8Array<ArrayBuffer> }, status);
}

/** writePipe is WRITE on a pipe: one message. */
export function writePipe(channel: PipeChannel, asked: Of<typeof WriteRequest>): Answer {
  channel.write(asked.data);
  return answer(WriteResponse, { count: asked.data.length, remaining: 0 });
}
