import {
  bytes,
  constant,
  lengthOf,
  located,
  offsetOf,
  reserved,
  rest,
  struct,
  u16,
  u32,
  u64,
  u8,
  utf16Rest,
  type Of,
} from '#wire/bytes';
import { avPairs } from './av-pairs.ts';

/** NTLM_FLAG holds the bits of NegotiateFlags that we look at, [MS-NLMP] 2.2.2.5. */
export const NTLM_FLAG = {
  unicode: 0x00000001,
  requestTarget: 0x00000004,
  sign: 0x00000010,
  seal: 0x00000020,
  ntlm: 0x00000200,
  alwaysSign: 0x00008000,
  targetIsDomain: 0x00010000,
  targetIsServer: 0x00020000,
  extendedSessionSecurity: 0x00080000,
  targetInfo: 0x00800000,
  version: 0x02000000,
  key128: 0x20000000,
  keyExchange: 0x40000000,
  key56: 0x80000000,
} as const;

const signature = { signature1: constant(u32, 0x4d4c544e), signature2: constant(u32, 0x00505353) }; // "NTLMSSP" and a zero

/** [MS-NLMP] 2.2.2.10 VERSION */
const Version = struct('NTLM VERSION', { major: u8, minor: u8, build: u16, reserved: reserved(3), revision: u8 });
export type Version = Of<typeof Version>;

/** NTLMSSP_REVISION_W2K3, the only revision there is. */
export const REVISION = 15;

/** [MS-NLMP] 2.2.1.1 NEGOTIATE_MESSAGE, as we send it */
export const Negotiate = struct('NTLM NEGOTIATE', {
  ...signature,
  messageType: constant(u32, 1),
  flags: u32,
  domainLength: lengthOf('domain', u16),
  domainMaxLength: lengthOf('domain', u16),
  domainOffset: offsetOf('domain', u32),
  workstationLength: lengthOf('workstation', u16),
  workstationMaxLength: lengthOf('workstation', u16),
  workstationOffset: offsetOf('workstation', u32),
  version: Version,
  domain: located(rest),
  workstation: located(rest),
});

/** NegotiateHead is all an acceptor needs of a NEGOTIATE_MESSAGE; old clients send no more than this. */
export const NegotiateHead = struct('NTLM NEGOTIATE', { ...signature, messageType: constant(u32, 1), flags: u32 });

/** [MS-NLMP] 2.2.1.2 CHALLENGE_MESSAGE */
export const Challenge = struct('NTLM CHALLENGE', {
  ...signature,
  messageType: constant(u32, 2),
  targetNameLength: lengthOf('targetName', u16),
  targetNameMaxLength: lengthOf('targetName', u16),
  targetNameOffset: offsetOf('targetName', u32),
  flags: u32,
  serverChallenge: bytes(8),
  reserved: reserved(8),
  targetInfoLength: lengthOf('targetInfo', u16),
  targetInfoMaxLength: lengthOf('targetInfo', u16),
  targetInfoOffset: offsetOf('targetInfo', u32),
  version: Version, // says nothing unless its flag is set
  targetName: located(utf16Rest),
  targetInfo: located(avPairs),
});
export type Challenge = Of<typeof Challenge>;

const authenticateHead = {
  ...signature,
  messageType: constant(u32, 3),
  lmResponseLength: lengthOf('lmResponse', u16),
  lmResponseMaxLength: lengthOf('lmResponse', u16),
  lmResponseOffset: offsetOf('lmResponse', u32),
  ntResponseLength: lengthOf('ntResponse', u16),
  ntResponseMaxLength: lengthOf('ntResponse', u16),
  ntResponseOffset: offsetOf('ntResponse', u32),
  domainLength: lengthOf('domain', u16),
  domainMaxLength: lengthOf('domain', u16),
  domainOffset: offsetOf('domain', u32),
  usernameLength: lengthOf('username', u16),
  usernameMaxLength: lengthOf('username', u16),
  usernameOffset: offsetOf('username', u32),
  workstationLength: lengthOf('workstation', u16),
  workstationMaxLength: lengthOf('workstation', u16),
  workstationOffset: offsetOf('workstation', u32),
  sessionKeyLength: lengthOf('encryptedSessionKey', u16),
  sessionKeyMaxLength: lengthOf('encryptedSessionKey', u16),
  sessionKeyOffset: offsetOf('encryptedSessionKey', u32),
  flags: u32,
};

const authenticatePayload = {
  domain: located(utf16Rest),
  username: located(utf16Rest),
  workstation: located(utf16Rest),
  lmResponse: located(rest),
  ntResponse: located(rest),
  encryptedSessionKey: located(rest),
};

/** [MS-NLMP] 2.2.1.3 AUTHENTICATE_MESSAGE, as we send it: with Version and MIC */
export const Authenticate = struct('NTLM AUTHENTICATE', {
  ...authenticateHead,
  version: Version,
  mic: bytes(16),
  ...authenticatePayload,
});

/** AuthenticateHead reads an AUTHENTICATE_MESSAGE whether or not it has a Version and a MIC: only MsvAvFlags inside the response tells. */
export const AuthenticateHead = struct('NTLM AUTHENTICATE', { ...authenticateHead, ...authenticatePayload });
export type AuthenticateHead = Of<typeof AuthenticateHead>;

/** Where the MIC stands in an AUTHENTICATE_MESSAGE that has one. */
export const MIC_OFFSET = 72;

/** [MS-NLMP] 2.2.2.7 NTLMv2_CLIENT_CHALLENGE; four zero octets follow it on the wire (3.3.2), which nobody reads. */
export const ClientChallenge = struct('NTLMv2 CLIENT_CHALLENGE', {
  responseType: constant(u8, 1),
  highestResponseType: constant(u8, 1),
  reserved1: reserved(6),
  timestamp: u64,
  challenge: bytes(8),
  reserved2: reserved(4),
  pairs: avPairs,
});
