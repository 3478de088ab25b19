import { constant, lengthOf, located, offsetOf, reserved, struct, u16, u32, u8, utf16Rest } from '#wire/bytes';

/** [MS-SMB2] 2.2.9 SMB2 TREE_CONNECT Request */
export const TreeConnectRequest = struct('TREE_CONNECT request', {
  structureSize: constant(u16, 9),
  flags: u16,
  pathOffset: offsetOf('path', u16),
  pathLength: lengthOf('path', u16),
  path: located(utf16Rest), // \\host\share
});

/** [MS-SMB2] 2.2.10 SMB2 TREE_CONNECT Response */
export const TreeConnectResponse = struct('TREE_CONNECT response', {
  structureSize: constant(u16, 16),
  shareType: u8,
  reserved: reserved(1),
  shareFlags: u32,
  capabilities: u32,
  maximalAccess: u32,
});

/** [MS-SMB2] 2.2.11 and 2.2.12 SMB2 TREE_DISCONNECT, request and response alike */
export const TreeDisconnect = struct('TREE_DISCONNECT', { structureSize: constant(u16, 4), reserved: reserved(2) });
