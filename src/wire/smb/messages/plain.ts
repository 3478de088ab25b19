import { constant, lengthOf, located, reserved, rest, struct, u16, u32, u8 } from '#wire/bytes';

/** [MS-SMB2] 2.2.28 and 2.2.29 SMB2 ECHO, request and response alike */
export const Echo = struct('ECHO', { structureSize: constant(u16, 4), reserved: reserved(2) });

/** [MS-SMB2] 2.2.30 SMB2 CANCEL Request; it has no response of its own */
export const CancelRequest = struct('CANCEL request', { structureSize: constant(u16, 4), reserved: reserved(2) });

/** [MS-SMB2] 2.2.2 SMB2 ERROR Response: the body of every response whose status says no */
export const ErrorResponse = struct('ERROR response', {
  structureSize: constant(u16, 9),
  contextCount: u8, // 3.1.1 only
  reserved: reserved(1),
  byteCount: lengthOf('data', u32),
  data: located(rest),
});
