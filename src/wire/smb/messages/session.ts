import { constant, lengthOf, located, offsetOf, reserved, rest, struct, u16, u32, u64, u8 } from '#wire/bytes';

/** [MS-SMB2] 2.2.5 SMB2 SESSION_SETUP Request */
export const SessionSetupRequest = struct('SESSION_SETUP request', {
  structureSize: constant(u16, 25),
  flags: u8,
  securityMode: u8,
  capabilities: u32,
  channel: reserved(4),
  tokenOffset: offsetOf('token', u16),
  tokenLength: lengthOf('token', u16),
  previousSessionId: u64,
  token: located(rest),
});

/** [MS-SMB2] 2.2.6 SMB2 SESSION_SETUP Response */
export const SessionSetupResponse = struct('SESSION_SETUP response', {
  structureSize: constant(u16, 9),
  sessionFlags: u16,
  tokenOffset: offsetOf('token', u16),
  tokenLength: lengthOf('token', u16),
  token: located(rest),
});

/** [MS-SMB2] 2.2.7 and 2.2.8 SMB2 LOGOFF, request and response alike */
export const Logoff = struct('LOGOFF', { structureSize: constant(u16, 4), reserved: reserved(2) });
