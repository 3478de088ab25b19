import type { Clock } from '#base/clock';
import type { Random } from '#base/random';
import { bytesEqual, concat, type Bytes } from '#wire/bytes';
import { STATUS } from '#wire/status';
import { AV_FLAG_MIC, avFlags, pairsOf } from './av-pairs.ts';
import type { PeerNames } from './credential.ts';
import type { MechanismKeys } from './mechanism.ts';
import { exchangeKey, messageMic, NtlmSigner, ntowfV2, ntProof, sessionBaseKey } from './ntlm-keys.ts';
import { AuthenticateHead, Challenge, ClientChallenge, MIC_OFFSET, NegotiateHead, NTLM_FLAG, REVISION } from './ntlm-messages.ts';

/** AcceptorAccount is an account of a host that takes logons. */
export interface AcceptorAccount {
  /** ntHash is what `ntHash(password)` gives. */
  ntHash: Uint8Array;
  /** state is 'active' unless it is said; a locked account is not even checked, the other states show only to who knows the password. */
  state?: 'active' | 'locked' | 'disabled' | 'expired' | 'password-expired' | 'password-must-change';
}

/** AccountLookup finds an account by the names that the client sent; a number is the NTSTATUS to answer with. */
export type AccountLookup = (username: string, domain: string) => AcceptorAccount | number | undefined;

export interface AcceptorOptions {
  names: PeerNames;
  lookup: AccountLookup;
  clock: Clock;
  random: Random;
}

export interface NtlmOutcome {
  status: number;
  account?: { username: string; domain: string };
  keys?: MechanismKeys;
  /** mic tells whether the client's message carried a MIC: then it knows of mechListMIC as well. */
  mic?: boolean;
}

const STATE_STATUS = {
  active: STATUS.SUCCESS,
  locked: STATUS.ACCOUNT_LOCKED_OUT,
  disabled: STATUS.ACCOUNT_DISABLED,
  expired: STATUS.ACCOUNT_EXPIRED,
  'password-expired': STATUS.PASSWORD_EXPIRED,
  'password-must-change': STATUS.PASSWORD_MUST_CHANGE,
} as const;

/** What a client must offer, and say again in its last message. */
const REQUIRED =
  NTLM_FLAG.unicode | NTLM_FLAG.extendedSessionSecurity | NTLM_FLAG.key128 | NTLM_FLAG.keyExchange | NTLM_FLAG.sign;

const GRANTED =
  REQUIRED |
  NTLM_FLAG.requestTarget |
  NTLM_FLAG.seal |
  NTLM_FLAG.ntlm |
  NTLM_FLAG.alwaysSign |
  NTLM_FLAG.version |
  NTLM_FLAG.key56;

const has = (flags: number, wanted: number) => (flags & wanted) >>> 0 === wanted >>> 0;

/** A response of 24 octets is LM or NTLMv1, [MS-NLMP] 2.2.2.6; NTLMv2 is the proof and a list after it. */
const LONGEST_NTLM_V1 = 24;
const PROOF = 16;

/** NtlmAcceptor is the server's half of NTLMv2, [MS-NLMP] 3.2.5.1; it never takes LM, NTLMv1, nobody or a guest. */
export class NtlmAcceptor {
  readonly #options: AcceptorOptions;
  #negotiate: Bytes | undefined;
  #challenge: Bytes | undefined;
  #serverChallenge: Bytes | undefined;

  constructor(options: AcceptorOptions) {
    this.#options = options;
  }

  /** challenge takes a NEGOTIATE_MESSAGE; without a token the client offers too little, and the status says so. */
  challenge(negotiate: Uint8Array): { status: number; token?: Bytes } {
    const { flags } = NegotiateHead.decode(negotiate);
    if (!has(flags, REQUIRED)) return { status: STATUS.NOT_SUPPORTED };
    const { names, random, clock } = this.#options;
    const inDomain = names.netbiosDomain !== undefined && names.netbiosDomain !== names.netbiosComputer;
    this.#negotiate = new Uint8Array(negotiate);
    this.#serverChallenge = new Uint8Array(random.bytes(8));
    this.#challenge = Challenge.encode({
      flags: ((flags & GRANTED) | NTLM_FLAG.targetInfo | (inDomain ? NTLM_FLAG.targetIsDomain : NTLM_FLAG.targetIsServer)) >>> 0,
      serverChallenge: this.#serverChallenge,
      version: { ...(names.osVersion ?? { major: 10, minor: 0, build: 20348 }), revision: REVISION },
      targetName: names.netbiosDomain ?? names.netbiosComputer ?? '',
      targetInfo: pairsOf(names, names.timestamp ?? clock.now()),
    });
    return { status: STATUS.MORE_PROCESSING_REQUIRED, token: this.#challenge };
  }

  /** authenticate takes an AUTHENTICATE_MESSAGE and decides. */
  authenticate(token: Uint8Array): NtlmOutcome {
    const serverChallenge = this.#serverChallenge;
    if (!serverChallenge) throw new Error('authenticate comes after challenge');
    // A challenge is for one answer, right or wrong.
    this.#serverChallenge = undefined;
    const message = AuthenticateHead.decode(token);
    const { username, domain, ntResponse } = message;
    if (username === '' || ntResponse.length <= LONGEST_NTLM_V1) return { status: STATUS.LOGON_FAILURE };
    if (username.toLowerCase() === 'guest') return { status: STATUS.ACCOUNT_DISABLED };
    const account = this.#options.lookup(username, domain);
    if (account === undefined) return { status: STATUS.LOGON_FAILURE };
    if (typeof account === 'number') return { status: account };
    if (account.state === 'locked') return { status: STATUS.ACCOUNT_LOCKED_OUT };
    const ntowf = ntowfV2(account.ntHash, username, domain);
    const temp = ntResponse.subarray(PROOF);
    const proof = ntProof(ntowf, serverChallenge, temp);
    if (!bytesEqual(proof, ntResponse.subarray(0, PROOF))) return { status: STATUS.LOGON_FAILURE };
    const status = STATE_STATUS[account.state ?? 'active'];
    if (status !== STATUS.SUCCESS) return { status };
    return this.#establish(token, message, sessionBaseKey(ntowf, proof));
  }

  #establish(token: Uint8Array, message: AuthenticateHead, baseKey: Bytes): NtlmOutcome {
    if (!has(message.flags, REQUIRED) || message.encryptedSessionKey.length !== 16) return { status: STATUS.INVALID_PARAMETER };
    const sessionKey = exchangeKey(baseKey, message.encryptedSessionKey);
    // The flag stands inside what the proof covers, so nobody can take the MIC away without being seen.
    const mic = (avFlags(ClientChallenge.decode(message.ntResponse.subarray(PROOF)).pairs) & AV_FLAG_MIC) !== 0;
    if (mic && !this.#micFits(token, sessionKey)) return { status: STATUS.INVALID_PARAMETER };
    const outgoing = new NtlmSigner(sessionKey, 'server-to-client');
    const incoming = new NtlmSigner(sessionKey, 'client-to-server');
    return {
      status: STATUS.SUCCESS,
      account: { username: message.username, domain: message.domain },
      keys: { sessionKey, sign: (m) => outgoing.sign(m), verify: (m, signature) => incoming.verify(m, signature) },
      mic,
    };
  }

  #micFits(token: Uint8Array, sessionKey: Bytes): boolean {
    if (token.length < MIC_OFFSET + 16) return false;
    const unsigned = concat(token);
    unsigned.fill(0, MIC_OFFSET, MIC_OFFSET + 16);
    const mic = messageMic(sessionKey, this.#negotiate!, this.#challenge!, unsigned);
    return bytesEqual(mic, token.subarray(MIC_OFFSET, MIC_OFFSET + 16));
  }
}
