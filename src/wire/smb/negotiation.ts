import type { Random } from '#base/random';
import { isCode, raise } from '#base/errors';
import { Reader, type Bytes } from '#wire/bytes';
import { STATUS, statusName } from '#wire/status';
import type { Connection } from './connection.ts';
import { cipherId, cipherName, PreauthHash, signingId, signingName, type CipherName, type SigningName } from './keys.ts';
import {
  CAPABILITY,
  CIPHER,
  COMMAND,
  decodeBody,
  DIALECT,
  HASH_SHA512,
  NegotiateRequest,
  NegotiateResponse,
  packContexts,
  SECURITY_MODE,
  unpackContexts,
} from './messages/index.ts';

/** DIALECTS are those we speak, all of which can sign. */
export const DIALECTS: readonly number[] = [DIALECT.SMB202, DIALECT.SMB210, DIALECT.SMB300, DIALECT.SMB302, DIALECT.SMB311];
/** CIPHERS in the order of our liking. */
export const CIPHERS: readonly CipherName[] = ['AES-128-GCM', 'AES-128-CCM', 'AES-256-GCM', 'AES-256-CCM'];
/** SIGNINGS in the order of our liking. */
export const SIGNINGS: readonly SigningName[] = ['AES-GMAC', 'AES-CMAC', 'HMAC-SHA256'];

/** Encryption: 'offered' encrypts with every machine that can, 'required' refuses those that cannot, 'off' is for tests only. */
export type Encryption = 'offered' | 'required' | 'off';

export interface Offer {
  dialects: readonly number[];
  ciphers: readonly CipherName[];
  signings: readonly SigningName[];
  encryption: Encryption;
  random: Random;
  timeoutMs: number;
}

/** Negotiated is what the two sides agreed on, and what was said for it, which VALIDATE_NEGOTIATE_INFO compares later. */
export interface Negotiated {
  dialect: number;
  signing: SigningName;
  cipher: CipherName | undefined;
  preauth: PreauthHash;
  maxTransact: number;
  maxRead: number;
  maxWrite: number;
  multiCredit: boolean;
  serverTime: bigint;
  said: { capabilities: number; guid: Bytes; securityMode: number; dialects: number[] };
  heard: { capabilities: number; guid: Bytes; securityMode: number; dialect: number };
}

const SALT_SIZE = 32;
/** Below this no server may go, [MS-SMB2] 3.3.5.4. */
const LEAST_SIZE = 65_536;
/** A hint of mechanisms is small; no greeting needs more. */
const MOST_GREETING = 65_536;

function offered(host: string, offer: Offer): NegotiateRequest {
  const is3 = offer.dialects.some((dialect) => dialect >= DIALECT.SMB300);
  const encrypts = offer.encryption !== 'off';
  const contexts = packContexts({
    preauth: { hashes: [HASH_SHA512], salt: new Uint8Array(offer.random.bytes(SALT_SIZE)) },
    ciphers: encrypts ? offer.ciphers.map(cipherId) : [],
    netName: host,
    signings: offer.signings.map(signingId),
  });
  return {
    securityMode: SECURITY_MODE.SIGNING_ENABLED | SECURITY_MODE.SIGNING_REQUIRED,
    // Clients that know no 3.x say 0 here, [MS-SMB2] 2.2.3.
    capabilities: is3 ? CAPABILITY.LARGE_MTU | (encrypts ? CAPABILITY.ENCRYPTION : 0) : 0,
    clientGuid: new Uint8Array(offer.random.bytes(16)),
    dialects: [...offer.dialects].sort((a, b) => a - b),
    contexts: offer.dialects.includes(DIALECT.SMB311) ? contexts : [],
  };
}

function malformed(field: string, why: string): Error {
  const r = new Reader(new Uint8Array(0), 'NEGOTIATE response');
  r.field = field;
  return r.fail(why);
}

/** [MS-SMB2] 3.2.5.2: a 3.1.1 server picks one hash, at most one cipher and at most one signing algorithm of those we named. */
function agreed311(response: NegotiateResponse, offer: Offer): { signing: SigningName; cipher: CipherName | undefined } {
  const { preauth, ciphers = [], signings } = unpackContexts(response.contexts);
  if (preauth?.hashes.length !== 1 || preauth.hashes[0] !== HASH_SHA512) throw malformed('contexts', 'no SHA-512 among them');
  if (ciphers.length > 1) throw malformed('contexts', `${ciphers.length} ciphers chosen`);
  const cipher = cipherName(ciphers[0] ?? 0);
  if (ciphers[0] && (!cipher || !offer.ciphers.includes(cipher) || offer.encryption === 'off')) {
    throw malformed('contexts', `cipher ${ciphers[0]} was not offered`);
  }
  if (!signings) return { signing: 'AES-CMAC', cipher };
  const signing = signingName(signings[0] ?? -1);
  if (signings.length !== 1 || !signing || !offer.signings.includes(signing))
    throw malformed('contexts', `signing ${signings.join()} was not offered`);
  return { signing, cipher };
}

function agreed(response: NegotiateResponse, offer: Offer): { signing: SigningName; cipher: CipherName | undefined } {
  if (response.dialect === DIALECT.SMB311) return agreed311(response, offer);
  if (response.dialect < DIALECT.SMB300) return { signing: 'HMAC-SHA256', cipher: undefined };
  const canEncrypt = (response.capabilities & CAPABILITY.ENCRYPTION) !== 0 && offer.encryption !== 'off';
  // 3.0 and 3.0.2 know one cipher only.
  return { signing: 'AES-CMAC', cipher: canEncrypt ? cipherName(CIPHER.AES_128_CCM) : undefined };
}

/** negotiate sends NEGOTIATE and takes nothing less than what was offered; [MS-SMB2] 3.2.4.2.2 and 3.2.5.2. */
export async function negotiate(connection: Connection, offer: Offer): Promise<Negotiated> {
  const { host } = connection;
  const request = offered(host, offer);
  connection.acceptFrames(MOST_GREETING);
  const call = {
    command: COMMAND.NEGOTIATE,
    body: NegotiateRequest,
    value: request,
    doing: 'negotiating SMB',
    timeoutMs: offer.timeoutMs,
  };
  const answer = await connection.request(call).catch((error: unknown) => {
    throw isCode(error, 'PP_NET_CLOSED') ? raise('PP_SMB_NOT_SPOKEN', { host }, { cause: error }) : error;
  });
  const { status } = answer.header;
  if (status !== STATUS.SUCCESS) {
    throw raise('PP_SMB_DIALECT', { host }, { ntstatus: status, detail: `NTSTATUS ${statusName(status)}` });
  }
  const response = decodeBody(answer, NegotiateResponse);
  if (!request.dialects.includes(response.dialect))
    throw raise('PP_SMB_DIALECT', { host }, { detail: `chosen: 0x${response.dialect.toString(16)}` });
  const { signing, cipher } = agreed(response, offer);
  if (!cipher && offer.encryption === 'required') throw raise('PP_SMB_NO_ENCRYPTION', { host });
  const least = Math.min(response.maxTransactSize, response.maxReadSize, response.maxWriteSize);
  if (least < LEAST_SIZE) throw malformed('maxTransactSize', `${least} is too small`);
  const preauth = new PreauthHash();
  preauth.add(answer.sent);
  preauth.add(answer.octets);
  const { capabilities, clientGuid, securityMode, dialects } = request;
  return {
    dialect: response.dialect,
    signing,
    cipher,
    preauth,
    maxTransact: response.maxTransactSize,
    maxRead: response.maxReadSize,
    maxWrite: response.maxWriteSize,
    multiCredit: response.dialect > DIALECT.SMB202 && (response.capabilities & CAPABILITY.LARGE_MTU) !== 0,
    serverTime: response.systemTime,
    said: { capabilities, guid: clientGuid, securityMode, dialects },
    heard: {
      capabilities: response.capabilities,
      guid: response.serverGuid.slice(),
      securityMode: response.securityMode,
      dialect: response.dialect,
    },
  };
}
