import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Random } from '#base/random';
import { concat, toUtf16, type Bytes } from '#wire/bytes';
import { AV, AV_FLAG_MIC, avFlags, avTimestamp, fileTimeOf, namesOf, octetsOf, withPair, type AvPair } from './av-pairs.ts';
import type { AuthenticatorOptions, PeerNames } from './credential.ts';
import type { Mechanism, MechanismKeys } from './mechanism.ts';
import { exchangeKey, messageMic, NtlmSigner, ntProof, sessionBaseKey } from './ntlm-keys.ts';
import { Authenticate, Challenge, ClientChallenge, MIC_OFFSET, Negotiate, NTLM_FLAG, REVISION } from './ntlm-messages.ts';
import { OID } from './spnego-tokens.ts';

/** What we ask for; a server answers with what it grants of it. */
const OFFERED =
  NTLM_FLAG.unicode |
  NTLM_FLAG.requestTarget |
  NTLM_FLAG.sign |
  NTLM_FLAG.seal |
  NTLM_FLAG.ntlm |
  NTLM_FLAG.alwaysSign |
  NTLM_FLAG.extendedSessionSecurity |
  NTLM_FLAG.targetInfo |
  NTLM_FLAG.version |
  NTLM_FLAG.key128 |
  NTLM_FLAG.keyExchange |
  NTLM_FLAG.key56;

/** What a server must grant; sealing is asked for but SMB encrypts by itself and never uses NTLM's, so some servers do not grant it. */
const REQUIRED: [keyof typeof NTLM_FLAG, string][] = [
  ['unicode', 'no Unicode'],
  ['extendedSessionSecurity', 'no extended session security (that would be NTLMv1)'],
  ['key128', 'no 128-bit keys'],
  ['keyExchange', 'no key exchange'],
  ['sign', 'no signing'],
  ['targetInfo', 'no target information'],
];

/** [MS-NLMP] 2.2.2.10: the version is for debugging only. */
const VERSION = { major: 10, minor: 0, build: 0, revision: REVISION };

export interface NtlmIdentity {
  username: string;
  domain: string;
  workstation: string;
  /** ntowf gives NTOWFv2; a closure, so that no object holds it where something could print it. */
  ntowf: () => Bytes;
}

/** NtlmInitiator is the client's half of NTLMv2, [MS-NLMP] 3.1.5.1; never LM, never NTLMv1, always with a MIC. */
export class NtlmInitiator implements Mechanism {
  readonly name = 'ntlm';
  readonly oid = OID.ntlm;
  readonly #identity: NtlmIdentity;
  readonly #options: AuthenticatorOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  #negotiate: Bytes | undefined;
  #peer: PeerNames | undefined;
  #keys: MechanismKeys | undefined;

  constructor(identity: NtlmIdentity, options: AuthenticatorOptions, clock: Clock, random: Random) {
    this.#identity = identity;
    this.#options = options;
    this.#clock = clock;
    this.#random = random;
  }

  get peer(): PeerNames | undefined {
    return this.#peer;
  }

  get keys(): MechanismKeys | undefined {
    return this.#keys;
  }

  async start(): Promise<Bytes> {
    const empty = new Uint8Array(0);
    this.#negotiate = Negotiate.encode({ flags: OFFERED >>> 0, version: VERSION, domain: empty, workstation: empty });
    return this.#negotiate;
  }

  async next(token: Uint8Array): Promise<Bytes | undefined> {
    if (!this.#negotiate || this.#keys) throw new Error('an NTLM logon takes one CHALLENGE, after its NEGOTIATE');
    const challenge = Challenge.decode(token);
    this.#demand(challenge);
    const peer = namesOf(challenge.targetInfo);
    if (challenge.flags & NTLM_FLAG.version) {
      const { major, minor, build } = challenge.version;
      peer.osVersion = { major, minor, build };
    }
    this.#peer = peer;
    this.#options.checkPeer?.(peer);
    return this.#authenticate(token, challenge);
  }

  #demand(challenge: Challenge): void {
    const weak = (what: string) => raise('PP_AUTH_WEAK', { target: this.#options.target, what });
    for (const [flag, what] of REQUIRED) if ((challenge.flags & NTLM_FLAG[flag]) === 0) throw weak(what);
    if (challenge.targetInfo.length === 0) throw weak('no target information');
  }

  /** The target information goes back with what is ours to say in it, [MS-NLMP] 3.1.5.1.2. */
  #echoed(pairs: AvPair[]): AvPair[] {
    const flagged = withPair(pairs, AV.flags, octetsOf((avFlags(pairs) | AV_FLAG_MIC) >>> 0));
    // Zeros say that there is no channel to bind to; SMB has none.
    const bound = withPair(flagged, AV.channelBindings, new Uint8Array(16));
    return withPair(bound, AV.targetName, toUtf16(this.#options.target));
  }

  #response(ntowf: Bytes, challenge: Challenge): { proof: Bytes; ntResponse: Bytes } {
    const blob = ClientChallenge.encode({
      timestamp: avTimestamp(challenge.targetInfo) ?? fileTimeOf(this.#clock.now()),
      challenge: this.#random.bytes(8) as Bytes,
      pairs: this.#echoed(challenge.targetInfo),
    });
    const temp = concat(blob, new Uint8Array(4));
    const proof = ntProof(ntowf, challenge.serverChallenge, temp);
    return { proof, ntResponse: concat(proof, temp) };
  }

  #authenticate(challengeToken: Uint8Array, challenge: Challenge): Bytes {
    const { username, domain, workstation, ntowf } = this.#identity;
    const key = ntowf();
    const { proof, ntResponse } = this.#response(key, challenge);
    const sessionKey = new Uint8Array(this.#random.bytes(16));
    const message = Authenticate.encode({
      flags: (challenge.flags & OFFERED) >>> 0,
      version: VERSION,
      mic: new Uint8Array(16),
      domain,
      username,
      workstation,
      lmResponse: new Uint8Array(24),
      ntResponse,
      encryptedSessionKey: exchangeKey(sessionBaseKey(key, proof), sessionKey),
    });
    message.set(messageMic(sessionKey, this.#negotiate!, challengeToken, message), MIC_OFFSET);
    const outgoing = new NtlmSigner(sessionKey, 'client-to-server');
    const incoming = new NtlmSigner(sessionKey, 'server-to-client');
    this.#keys = { sessionKey, sign: (m) => outgoing.sign(m), verify: (m, signature) => incoming.verify(m, signature) };
    return message;
  }
}
