import { bytes, constant, reserved, struct, u16, u32, u64, u8, type Bytes } from '#wire/bytes';
import { fileTimeOfDate, PREFIX } from '#wire/smb';
import { Hangup } from './hangup.ts';
import { smb1Dialects } from './negotiation.ts';
import type { SmbServer } from './server.ts';

const NT1 = 'NT LM 0.12';

/** [MS-CIFS] 2.2.3.1 and 2.2.4.52.2: the NEGOTIATE response of a machine that knows SMB1 alone. */
const Smb1Negotiated = struct('SMB1 NEGOTIATE response', {
  protocol: constant(u32, 0x424d53ff),
  command: constant(u8, 0x72),
  status: reserved(4),
  flags: constant(u8, 0x98),
  flags2: constant(u16, 0xc801),
  rest: reserved(12),
  ids: reserved(8),
  wordCount: constant(u8, 17),
  dialectIndex: u16,
  securityMode: constant(u8, 3),
  maxMpxCount: constant(u16, 10),
  maxNumberVcs: constant(u16, 1),
  maxBufferSize: constant(u32, 4356),
  maxRawSize: constant(u32, 65_536),
  sessionKey: reserved(4),
  capabilities: constant(u32, 0x0000e3fd),
  systemTime: u64,
  serverTimeZone: constant(u16, 0),
  challengeLength: constant(u8, 8),
  byteCount: constant(u16, 8),
  challenge: bytes(8),
});

/** smb1Answer is the frame that such a machine answers a greeting of SMB1 with; it goes no further than that. */
export function smb1Answer(frame: Bytes, server: SmbServer): Bytes {
  const index = smb1Dialects(frame)?.indexOf(NT1) ?? -1;
  if (index < 0) throw new Hangup(`a machine of SMB1 alone was not offered ${NT1}`);
  const body = Smb1Negotiated.encode({
    dialectIndex: index,
    systemTime: fileTimeOfDate(server.clock.now()),
    challenge: server.randomBytes(8),
  });
  const octets = new Uint8Array(PREFIX + body.length);
  octets.set(body, PREFIX);
  return octets;
}
