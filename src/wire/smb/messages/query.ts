import { constant, lengthOf, located, offsetOf, reserved, rest, struct, u16, u32, u8, utf16Rest } from '#wire/bytes';
import { FileId } from './create.ts';

/** [MS-SMB2] 2.2.33 SMB2 QUERY_DIRECTORY Request */
export const QueryDirectoryRequest = struct('QUERY_DIRECTORY request', {
  structureSize: constant(u16, 33),
  infoClass: u8,
  flags: u8,
  fileIndex: u32,
  fileId: FileId,
  patternOffset: offsetOf('pattern', u16),
  patternLength: lengthOf('pattern', u16),
  outputBufferLength: u32,
  pattern: located(utf16Rest),
});

/** [MS-SMB2] 2.2.34 SMB2 QUERY_DIRECTORY Response */
export const QueryDirectoryResponse = struct('QUERY_DIRECTORY response', {
  structureSize: constant(u16, 9),
  outputOffset: offsetOf('output', u16),
  outputLength: lengthOf('output', u32),
  output: located(rest),
});

/** [MS-SMB2] 2.2.37 SMB2 QUERY_INFO Request */
export const QueryInfoRequest = struct('QUERY_INFO request', {
  structureSize: constant(u16, 41),
  infoType: u8,
  infoClass: u8,
  outputBufferLength: u32,
  inputOffset: offsetOf('input', u16),
  reserved: reserved(2),
  inputLength: lengthOf('input', u32),
  additionalInformation: u32,
  flags: u32,
  fileId: FileId,
  input: located(rest, { zeroIfEmpty: true }),
});

/** [MS-SMB2] 2.2.38 SMB2 QUERY_INFO Response */
export const QueryInfoResponse = struct('QUERY_INFO response', {
  structureSize: constant(u16, 9),
  outputOffset: offsetOf('output', u16),
  outputLength: lengthOf('output', u32),
  output: located(rest),
});

/** [MS-SMB2] 2.2.39 SMB2 SET_INFO Request */
export const SetInfoRequest = struct('SET_INFO request', {
  structureSize: constant(u16, 33),
  infoType: u8,
  infoClass: u8,
  inputLength: lengthOf('input', u32),
  inputOffset: offsetOf('input', u16),
  reserved: reserved(2),
  additionalInformation: u32,
  fileId: FileId,
  input: located(rest),
});

/** [MS-SMB2] 2.2.40 SMB2 SET_INFO Response */
export const SetInfoResponse = struct('SET_INFO response', { structureSize: constant(u16, 2) });
