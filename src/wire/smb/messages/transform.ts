import { bytes, constant, reserved, struct, u16, u32, u64, type Of } from '#wire/bytes';

/** TRANSFORM_SIZE is the length of the header in front of an encrypted message. */
export const TRANSFORM_SIZE = 52;
/** TRANSFORM_AAD_AT is where the authenticated part of it begins: behind the protocol id and the signature. */
export const TRANSFORM_AAD_AT = 20;
export const TRANSFORM_PROTOCOL_ID = 0x424d53fd; // 0xFD 'S' 'M' 'B'

/** [MS-SMB2] 2.2.41 SMB2 TRANSFORM_HEADER */
export const TransformHeader = struct('TRANSFORM_HEADER', {
  protocolId: constant(u32, TRANSFORM_PROTOCOL_ID),
  signature: bytes(16),
  nonce: bytes(16), // 11 octets for CCM, 12 for GCM, the rest zeros
  originalMessageSize: u32,
  reserved: reserved(2),
  flags: constant(u16, 1), // 3.1.1: encrypted; 3.0 and 3.0.2: EncryptionAlgorithm AES-128-CCM
  sessionId: u64,
});
export type TransformHeader = Of<typeof TransformHeader>;
