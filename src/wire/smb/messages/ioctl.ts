import { bytes, constant, countOf, lengthOf, located, offsetOf, repeat, reserved, rest, struct, u16, u32 } from '#wire/bytes';
import { FileId } from './create.ts';

/** [MS-SMB2] 2.2.31 SMB2 IOCTL Request */
export const IoctlRequest = struct('IOCTL request', {
  structureSize: constant(u16, 57),
  reserved: reserved(2),
  ctlCode: u32,
  fileId: FileId,
  inputOffset: offsetOf('input', u32),
  inputCount: lengthOf('input', u32),
  maxInputResponse: u32,
  outputOffset: reserved(4), // there is no output in a request
  outputCount: reserved(4),
  maxOutputResponse: u32,
  flags: u32,
  reserved2: reserved(4),
  input: located(rest),
});

/** [MS-SMB2] 2.2.32 SMB2 IOCTL Response */
export const IoctlResponse = struct('IOCTL response', {
  structureSize: constant(u16, 49),
  reserved: reserved(2),
  ctlCode: u32,
  fileId: FileId,
  inputOffset: offsetOf('input', u32),
  inputCount: lengthOf('input', u32),
  outputOffset: offsetOf('output', u32),
  outputCount: lengthOf('output', u32),
  flags: u32,
  reserved2: reserved(4),
  input: located(rest),
  output: located(rest, { alignment: 8 }),
});

/** [MS-SMB2] 2.2.31.4 VALIDATE_NEGOTIATE_INFO Request: what the client said in NEGOTIATE, now signed. */
export const ValidateNegotiateRequest = struct('VALIDATE_NEGOTIATE_INFO request', {
  capabilities: u32,
  guid: bytes(16),
  securityMode: u16,
  dialectCount: countOf('dialects', u16),
  dialects: repeat(u16, 64),
});

/** [MS-SMB2] 2.2.32.6 VALIDATE_NEGOTIATE_INFO Response: what the server said in NEGOTIATE, now signed. */
export const ValidateNegotiateResponse = struct('VALIDATE_NEGOTIATE_INFO response', {
  capabilities: u32,
  guid: bytes(16),
  securityMode: u16,
  dialect: u16,
});
