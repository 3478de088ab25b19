import { bytesEqual, toUtf16, Writer, type Bytes } from '#wire/bytes';
import { hmacMd5, md4, md5, Rc4 } from '#wire/crypto';

/** ntHash is NTOWFv1 of [MS-NLMP] 3.3.1: the password as Windows stores it, as good as the password itself. */
export function ntHash(password: string): Bytes {
  return md4(toUtf16(password));
}

/** Windows puts UTF-16 units in capitals one by one: a letter whose capital is longer (ß) or that needs two units stays as it is. */
function upper(text: string): string {
  let out = '';
  for (const letter of text) out += letter.length === 1 && letter.toUpperCase().length === 1 ? letter.toUpperCase() : letter;
  return out;
}

/** ntowfV2 is NTOWFv2 of [MS-NLMP] 3.3.2; only the user name is put in capitals. */
export function ntowfV2(hash: Uint8Array, username: string, domain: string): Bytes {
  return hmacMd5(hash, toUtf16(upper(username) + domain));
}

/** ntProof is NTProofStr of [MS-NLMP] 3.3.2 over the server's challenge and the rest of the response. */
export function ntProof(ntowf: Uint8Array, serverChallenge: Uint8Array, temp: Uint8Array): Bytes {
  return hmacMd5(ntowf, serverChallenge, temp);
}

/** sessionBaseKey is SessionBaseKey of [MS-NLMP] 3.3.2; with NTLMv2 it is the KeyExchangeKey as well (3.4.5.1). */
export function sessionBaseKey(ntowf: Uint8Array, proof: Uint8Array): Bytes {
  return hmacMd5(ntowf, proof);
}

/** exchangeKey wraps or unwraps the exported session key, [MS-NLMP] 3.1.5.1.2; RC4 is its own inverse. */
export function exchangeKey(baseKey: Uint8Array, sessionKey: Uint8Array): Bytes {
  return new Rc4(baseKey).apply(sessionKey);
}

/** messageMic is the MIC over the three messages, the last of them with its MIC zeroed ([MS-NLMP] 3.1.5.1.2). */
export function messageMic(
  sessionKey: Uint8Array,
  negotiate: Uint8Array,
  challenge: Uint8Array,
  authenticate: Uint8Array,
): Bytes {
  return hmacMd5(sessionKey, negotiate, challenge, authenticate);
}

export type Direction = 'client-to-server' | 'server-to-client';

/** SIGNKEY and SEALKEY of [MS-NLMP] 3.4.5.2 and 3.4.5.3 for extended session security and 128-bit keys, the only ones we speak. */
function directionKey(sessionKey: Uint8Array, direction: Direction, use: 'signing' | 'sealing'): Bytes {
  return md5(sessionKey, new TextEncoder().encode(`session key to ${direction} ${use} key magic constant\0`));
}

/** NtlmSigner makes and checks the message signatures of one direction, [MS-NLMP] 3.4.4.2 with key exchange: each use moves it on. */
export class NtlmSigner {
  readonly #signKey: Bytes;
  readonly #sealing: Rc4;
  #sequence = 0;

  constructor(sessionKey: Uint8Array, direction: Direction) {
    this.#signKey = directionKey(sessionKey, direction, 'signing');
    this.#sealing = new Rc4(directionKey(sessionKey, direction, 'sealing'));
  }

  sign(message: Uint8Array): Bytes {
    const sequence = new Writer(4).u32(this.#sequence++).done();
    const checksum = this.#sealing.apply(hmacMd5(this.#signKey, sequence, message).subarray(0, 8));
    return new Writer(16).u32(1).bytes(checksum).bytes(sequence).done();
  }

  verify(message: Uint8Array, signature: Uint8Array): boolean {
    return bytesEqual(this.sign(message), signature);
  }
}
