import { bytesEqual, fromUtf16, Writer, type Bytes } from '#wire/bytes';
import {
  DIALECT,
  decodeBody,
  FSCTL,
  IOCTL_IS_FSCTL,
  IoctlRequest,
  IoctlResponse,
  SHARE_TYPE,
  ValidateNegotiateRequest,
  ValidateNegotiateResponse,
} from '#wire/smb';
import type { FileId } from '#wire/smb';
import type { Of } from '#wire/bytes';
import { STATUS } from '#wire/status';
import { answer, Refusal, type Answer } from './answer.ts';
import { Hangup } from './hangup.ts';
import type { Request } from './session.ts';

/** STATUS_FS_DRIVER_REQUIRED is what a server without DFS says to a client that asks for referrals. */
const NO_DFS = 0xc000_019c;

type Asked = Of<typeof IoctlRequest>;

function done(asked: Asked, fileId: FileId, output: Bytes, status = 0): Answer {
  const value = { ctlCode: asked.ctlCode, fileId, flags: 0, input: new Uint8Array(0), output };
  return answer(IoctlResponse, value, status);
}

async function transceive(request: Request, asked: Asked): Promise<Answer> {
  const open = request.session.open(request, asked.fileId);
  if (open.kind !== 'pipe') throw new Refusal(STATUS.INVALID_DEVICE_REQUEST);
  const { data, more } = await open.channel.transceive(asked.input, asked.maxOutputResponse, request.signal);
  return done(asked, asked.fileId, data as Bytes, more ? STATUS.BUFFER_OVERFLOW : STATUS.SUCCESS);
}

/** [MS-FSCC] 2.3.50: FSCTL_PIPE_PEEK reply, without the data itself. */
function peek(request: Request, asked: Asked): Answer {
  const open = request.session.open(request, asked.fileId);
  if (open.kind !== 'pipe') throw new Refusal(STATUS.INVALID_DEVICE_REQUEST);
  const { octets, messages, firstLength } = open.channel.waiting;
  const CONNECTED = 3;
  return done(asked, asked.fileId, new Writer(16).u32(CONNECTED).u32(octets).u32(messages).u32(firstLength).done());
}

/** [MS-FSCC] 2.3.49: FSCTL_PIPE_WAIT: timeout (8), name length (4), a flag, padding, the name. */
function wait(request: Request, asked: Asked): Answer {
  const { input } = asked;
  if (input.length < 14) throw new Refusal(STATUS.INVALID_PARAMETER);
  const length = new DataView(input.buffer, input.byteOffset).getUint32(8, true);
  if (length > input.length - 14) throw new Refusal(STATUS.INVALID_PARAMETER);
  const name = fromUtf16(input.subarray(14, 14 + length));
  if (!request.backend.pipeExists(name)) throw new Refusal(STATUS.OBJECT_NAME_NOT_FOUND);
  return done(asked, asked.fileId, new Uint8Array(0));
}

/** [MS-SMB2] 3.3.5.15.12: what does not fit what was said in NEGOTIATE was changed on the way, so the connection ends. */
function validate(request: Request, asked: Asked): Answer {
  const { hello } = request;
  if (hello.agreed.dialect === DIALECT.SMB311) throw new Hangup('VALIDATE_NEGOTIATE_INFO in dialect 3.1.1');
  if (asked.maxOutputResponse < 24) throw new Hangup('no room for the answer to VALIDATE_NEGOTIATE_INFO');
  const said = ValidateNegotiateRequest.decode(asked.input);
  const { client } = hello;
  const same =
    said.capabilities === client.capabilities &&
    said.securityMode === client.securityMode &&
    bytesEqual(said.guid, client.guid) &&
    said.dialects.join() === client.dialects.join();
  if (!same) throw new Hangup('VALIDATE_NEGOTIATE_INFO differs from NEGOTIATE');
  const value = {
    capabilities: hello.agreed.capabilities,
    guid: hello.serverGuid,
    securityMode: hello.securityMode,
    dialect: hello.agreed.dialect,
  };
  return done(asked, asked.fileId, ValidateNegotiateResponse.encode(value));
}

/** ioctl is IOCTL, [MS-SMB2] 3.3.5.15. */
export async function ioctl(request: Request): Promise<Answer> {
  const asked = decodeBody(request.message, IoctlRequest);
  if (asked.flags !== IOCTL_IS_FSCTL) throw new Refusal(STATUS.NOT_SUPPORTED);
  if (Math.max(asked.maxInputResponse, asked.maxOutputResponse) > request.agreed.maxIoBytes)
    throw new Refusal(STATUS.INVALID_PARAMETER);
  const isPipe = request.tree?.shareType === SHARE_TYPE.PIPE;
  switch (asked.ctlCode) {
    case FSCTL.PIPE_TRANSCEIVE:
      return transceive(request, asked);
    case FSCTL.PIPE_PEEK:
      return peek(request, asked);
    case FSCTL.PIPE_WAIT:
      if (!isPipe) throw new Refusal(STATUS.INVALID_DEVICE_REQUEST);
      return wait(request, asked);
    case FSCTL.VALIDATE_NEGOTIATE_INFO:
      return validate(request, asked);
    case FSCTL.DFS_GET_REFERRALS:
      throw new Refusal(NO_DFS);
    default:
      throw new Refusal(isPipe ? STATUS.INVALID_DEVICE_REQUEST : STATUS.NOT_SUPPORTED);
  }
}
