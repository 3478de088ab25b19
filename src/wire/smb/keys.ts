import { createHash } from 'node:crypto';
import type { Bytes } from '#wire/bytes';
import { kdfCounter, type AeadName } from '#wire/crypto';
import { CIPHER, DIALECT, SIGNING } from './messages/index.ts';

/** SigningName is how a session signs. */
export type SigningName = 'HMAC-SHA256' | 'AES-CMAC' | 'AES-GMAC';
/** CipherName is how a session encrypts. */
export type CipherName = 'AES-128-CCM' | 'AES-128-GCM' | 'AES-256-CCM' | 'AES-256-GCM';

const signings: Record<SigningName, number> = {
  'HMAC-SHA256': SIGNING.HMAC_SHA256,
  'AES-CMAC': SIGNING.AES_CMAC,
  'AES-GMAC': SIGNING.AES_GMAC,
};
const ciphers: Record<CipherName, number> = {
  'AES-128-CCM': CIPHER.AES_128_CCM,
  'AES-128-GCM': CIPHER.AES_128_GCM,
  'AES-256-CCM': CIPHER.AES_256_CCM,
  'AES-256-GCM': CIPHER.AES_256_GCM,
};

const named = <N extends string>(table: Record<N, number>, id: number): N | undefined =>
  (Object.keys(table) as N[]).find((name) => table[name] === id);

/** signingId is the number of a signing algorithm in the SIGNING context; signingName is the way back. */
export const signingId = (name: SigningName): number => signings[name];
export const signingName = (id: number): SigningName | undefined => named(signings, id);
/** cipherId is the number of a cipher in the ENCRYPTION context; cipherName is the way back. */
export const cipherId = (name: CipherName): number => ciphers[name];
export const cipherName = (id: number): CipherName | undefined => named(ciphers, id);
/** aeadName is how #wire/crypto calls a cipher. */
export const aeadName = (name: CipherName): AeadName => name.toLowerCase() as AeadName;

const HASH_SIZE = 64;

/**
 * PreauthHash is the chain of [MS-SMB2] 3.1.4.4.1 over the messages that nothing protects yet: one for the connection (NEGOTIATE), a
 * copy of it for each session (every SESSION_SETUP request and response except the final one).
 */
export class PreauthHash {
  #value: Bytes;

  constructor(start?: PreauthHash) {
    this.#value = start ? start.#value : new Uint8Array(HASH_SIZE);
  }

  add(message: Uint8Array): void {
    this.#value = new Uint8Array(createHash('sha512').update(this.#value).update(message).digest());
  }

  get value(): Bytes {
    return this.#value;
  }
}

/** SessionKeys are the keys of one session; the two encryption keys are there only where a cipher is. */
export interface SessionKeys {
  signing: Bytes;
  clientToServer?: Bytes;
  serverToClient?: Bytes;
}

const KEY_SIZE = 16;

/** [MS-SMB2] 3.2.5.3: Session.SessionKey is the first 16 octets, padded with zeros. */
function sixteen(key: Uint8Array): Bytes {
  const octets = new Uint8Array(KEY_SIZE);
  octets.set(key.subarray(0, KEY_SIZE));
  return octets;
}

/** deriveKeys makes the keys of a session from what the logon agreed on, [MS-SMB2] 3.1.4.2 and 3.2.5.3.1; the same on both sides. */
export function deriveKeys(o: {
  dialect: number;
  sessionKey: Uint8Array;
  preauthHash?: Uint8Array;
  cipher?: CipherName | undefined;
}): SessionKeys {
  const key = sixteen(o.sessionKey);
  if (o.dialect < DIALECT.SMB300) return { signing: key };
  if (o.dialect < DIALECT.SMB311) {
    const signing = kdfCounter(key, 'SMB2AESCMAC', 'SmbSign');
    if (!o.cipher) return { signing };
    const clientToServer = kdfCounter(key, 'SMB2AESCCM', 'ServerIn '); // the blank belongs to it
    return { signing, clientToServer, serverToClient: kdfCounter(key, 'SMB2AESCCM', 'ServerOut') };
  }
  if (!o.preauthHash) throw new RangeError('dialect 3.1.1 derives its keys from the preauthentication hash');
  const hash = o.preauthHash;
  const signing = kdfCounter(key, 'SMBSigningKey', hash);
  if (!o.cipher) return { signing };
  const long = o.cipher.startsWith('AES-256');
  // AES-256 takes the full session key, which is longer than 16 octets with an AES-256 Kerberos ticket.
  const root = long ? o.sessionKey : key;
  const bits = long ? 256 : 128;
  return {
    signing,
    clientToServer: kdfCounter(root, 'SMBC2SCipherKey', hash, bits),
    serverToClient: kdfCounter(root, 'SMBS2CCipherKey', hash, bits),
  };
}
