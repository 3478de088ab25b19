import type { Bytes } from '#wire/bytes';
import { CAPABILITY, CIPHER, DIALECT, HASH_SHA512, SIGNING, type NegotiateContexts } from '#wire/smb';
import { STATUS } from '#wire/status';
import { Refusal } from './answer.ts';
import { Hangup } from './hangup.ts';

/** Speech is what a server can do, in its order of preference. */
export interface Speech {
  dialects: readonly number[];
  ciphers: readonly number[];
  /** signings is empty for systems that do not know the SIGNING context. */
  signings: readonly number[];
  maxIoBytes: number;
  /** encryption for every session; a client that cannot is refused. */
  encryptAll: boolean;
}

/** modernSpeech is what Windows Server 2022 and later and Windows 11 offer. */
export const modernSpeech: Speech = {
  dialects: [DIALECT.SMB210, DIALECT.SMB300, DIALECT.SMB302, DIALECT.SMB311],
  ciphers: [CIPHER.AES_128_GCM, CIPHER.AES_128_CCM, CIPHER.AES_256_GCM, CIPHER.AES_256_CCM],
  signings: [SIGNING.AES_GMAC, SIGNING.AES_CMAC, SIGNING.HMAC_SHA256],
  maxIoBytes: 8 * 2 ** 20,
  encryptAll: false,
};

/** Agreed is what the two sides speak from now on. */
export interface Agreed {
  dialect: number;
  signing: number;
  cipher: number | undefined;
  capabilities: number;
  maxIoBytes: number;
  contexts: NegotiateContexts;
}

/** NO_PREAUTH_OVERLAP is STATUS_SMB_NO_PREAUTH_INTEGRITY_HASH_OVERLAP. */
const NO_PREAUTH_OVERLAP = 0xc05d_0000;

function agree311(own: Speech, peer: NegotiateContexts, salt: Bytes): Pick<Agreed, 'cipher' | 'signing' | 'contexts'> {
  if (!peer.preauth) throw new Refusal(STATUS.INVALID_PARAMETER);
  if (!peer.preauth.hashes.includes(HASH_SHA512)) throw new Refusal(NO_PREAUTH_OVERLAP);
  if (peer.ciphers?.length === 0 || peer.signings?.length === 0) throw new Refusal(STATUS.INVALID_PARAMETER);
  const cipher = own.ciphers.find((one) => peer.ciphers?.includes(one));
  const signing = peer.signings && own.signings.find((one) => peer.signings?.includes(one));
  const contexts: NegotiateContexts = { preauth: { hashes: [HASH_SHA512], salt } };
  // A server that has no cipher in common answers with cipher 0, [MS-SMB2] 3.3.5.4.
  if (peer.ciphers && own.ciphers.length) contexts.ciphers = [cipher ?? 0];
  if (signing !== undefined) contexts.signings = [signing];
  return { cipher, signing: signing ?? SIGNING.AES_CMAC, contexts };
}

/** agree chooses as a Windows server does: the highest common dialect, and its own first choice of what the client can. */
export function agree(
  own: Speech,
  client: { dialects: number[]; capabilities: number; contexts: NegotiateContexts },
  salt: Bytes,
): Agreed {
  // A machine of SMB1 alone does not know what it was sent.
  if (own.dialects.length === 0) throw new Hangup('SMB2 is not spoken here');
  if (client.dialects.length === 0) throw new Refusal(STATUS.INVALID_PARAMETER);
  const common = own.dialects.filter((one) => client.dialects.includes(one));
  if (common.length === 0) throw new Refusal(STATUS.NOT_SUPPORTED);
  const dialect = Math.max(...common);
  const largeMtu = dialect >= DIALECT.SMB210;
  const base = { dialect, capabilities: largeMtu ? CAPABILITY.LARGE_MTU : 0, maxIoBytes: largeMtu ? own.maxIoBytes : 65_536 };
  if (dialect === DIALECT.SMB311) return { ...base, ...agree311(own, client.contexts, salt) };
  if (dialect < DIALECT.SMB300) return { ...base, signing: SIGNING.HMAC_SHA256, cipher: undefined, contexts: {} };
  const encrypts = Boolean(client.capabilities & CAPABILITY.ENCRYPTION) && own.ciphers.includes(CIPHER.AES_128_CCM);
  return {
    ...base,
    capabilities: base.capabilities | (encrypts ? CAPABILITY.ENCRYPTION : 0),
    signing: SIGNING.AES_CMAC,
    cipher: encrypts ? CIPHER.AES_128_CCM : undefined,
    contexts: {},
  };
}

const SMB1_HEADER = 32;
const SMB1_NEGOTIATE = 0x72;

/** isSmb1 tells a frame of SMB1, which starts with 0xFF 'S' 'M' 'B'. */
export function isSmb1(frame: Uint8Array): boolean {
  return frame[0] === 0xff && frame[1] === 0x53 && frame[2] === 0x4d && frame[3] === 0x42;
}

/** smb1Dialects gives the dialect names of an SMB_COM_NEGOTIATE, [MS-CIFS] 2.2.4.52.1; undefined if the frame is anything else. */
export function smb1Dialects(frame: Uint8Array): string[] | undefined {
  if (!isSmb1(frame) || frame[4] !== SMB1_NEGOTIATE || frame.length < SMB1_HEADER + 3) return undefined;
  const words = frame[SMB1_HEADER]!;
  const from = SMB1_HEADER + 1 + 2 * words + 2;
  const names: string[] = [];
  let name: string | undefined;
  for (const octet of frame.subarray(from)) {
    if (name === undefined) {
      if (octet !== 2) return undefined;
      name = '';
    } else if (octet === 0) {
      names.push(name);
      name = undefined;
    } else name += String.fromCharCode(octet);
  }
  return names;
}
