import { raise } from '#base/errors';
import { bytesEqual, type Bytes } from '#wire/bytes';
import { STATUS } from '#wire/status';
import { NtlmAcceptor, type AcceptorOptions, type NtlmOutcome } from './ntlm-acceptor.ts';
import { decodeToken, encodeHint, encodeResponse, NEG_STATE, OID, type InitToken } from './spnego-tokens.ts';

/** AcceptorAnswer is what a server does with a client's token: `status` and `token` go into its SESSION_SETUP response. */
export interface AcceptorAnswer {
  /** status is MORE_PROCESSING_REQUIRED until `done`. */
  status: number;
  done: boolean;
  token?: Bytes;
  /** account and sessionKey stand here when the status is SUCCESS. */
  account?: { username: string; domain: string };
  sessionKey?: Bytes;
}

const isNtlm = (oid: Uint8Array) => bytesEqual(oid, OID.ntlm);

/** A raw NTLM message begins with its signature, which is no SPNEGO tag. */
const isBare = (token: Uint8Array) => token[0] === 0x4e;

const refused = (status: number): AcceptorAnswer => ({ status, done: true });

/**
 * SpnegoAcceptor is the server's half of a logon, one for each session being set up: SPNEGO around NTLM, or bare NTLM as some clients
 * send it. It is strict in what Windows is strict in: MIC and mechListMIC must fit, and a client whose NTLM message has a MIC must send
 * a mechListMIC too. Octets of the wrong form raise PP_WIRE_MALFORMED; a logon that is turned down is an answer with its status.
 */
export class SpnegoAcceptor {
  readonly #ntlm: NtlmAcceptor;
  #phase: 'new' | 'choosing' | 'challenged' | 'proving' | 'done' = 'new';
  #bare = false;
  #mechList: Bytes = new Uint8Array(0);
  #outcome: NtlmOutcome | undefined;

  constructor(options: AcceptorOptions) {
    this.#ntlm = new NtlmAcceptor(options);
  }

  /** hint is the token for the NEGOTIATE response: which mechanisms there are. */
  hint(): Bytes {
    return encodeHint([OID.ntlm]);
  }

  accept(token: Uint8Array): AcceptorAnswer {
    const answer = this.#take(token);
    if (answer.done) this.#phase = 'done';
    return answer;
  }

  #take(token: Uint8Array): AcceptorAnswer {
    if (this.#phase === 'done') return refused(STATUS.INVALID_PARAMETER);
    if (this.#phase === 'new') {
      this.#bare = isBare(token);
      if (this.#bare) return this.#challenge(token);
      const first = decodeToken(token);
      return first.kind === 'init' ? this.#choose(first) : refused(STATUS.INVALID_PARAMETER);
    }
    if (this.#bare) return this.#authenticate(token, undefined);
    const next = decodeToken(token);
    if (next.kind !== 'response' || next.state === NEG_STATE.reject) return refused(STATUS.INVALID_PARAMETER);
    if (this.#phase === 'proving') return this.#prove(next.mic);
    if (!next.token)
      throw raise('PP_WIRE_MALFORMED', { message: 'SPNEGO token', field: 'responseToken', offset: 0, why: 'missing' });
    return this.#phase === 'choosing' ? this.#challenge(next.token) : this.#authenticate(next.token, next.mic);
  }

  #choose(first: InitToken): AcceptorAnswer {
    if (!first.mechanisms.some(isNtlm)) return refused(STATUS.NO_SUCH_PACKAGE);
    this.#mechList = first.mechList;
    if (isNtlm(first.mechanisms[0]!) && first.token) return this.#challenge(first.token);
    // The token is for a mechanism we do not have: name ours, and let the client begin again ([RFC 4178] 4.2.2).
    this.#phase = 'choosing';
    const token = encodeResponse({ state: NEG_STATE.requestMic, mechanism: OID.ntlm });
    return { status: STATUS.MORE_PROCESSING_REQUIRED, done: false, token };
  }

  #challenge(negotiate: Uint8Array): AcceptorAnswer {
    const { status, token } = this.#ntlm.challenge(negotiate);
    if (!token) return refused(status);
    const state = NEG_STATE.acceptIncomplete;
    this.#phase = 'challenged';
    return { status, done: false, token: this.#bare ? token : encodeResponse({ state, mechanism: OID.ntlm, token }) };
  }

  #authenticate(token: Uint8Array, mic: Bytes | undefined): AcceptorAnswer {
    const outcome = this.#ntlm.authenticate(token);
    this.#outcome = outcome;
    if (outcome.status !== STATUS.SUCCESS || !outcome.keys) return refused(outcome.status);
    if (this.#bare) return this.#success(undefined);
    if (mic) return this.#prove(mic);
    if (!outcome.mic) return this.#success(encodeResponse({ state: NEG_STATE.acceptCompleted }));
    // Samba and Server 2025 stop here and wait for the client's mechListMIC.
    this.#phase = 'proving';
    const own = encodeResponse({ state: NEG_STATE.acceptIncomplete, mic: outcome.keys.sign(this.#mechList) });
    return { status: STATUS.MORE_PROCESSING_REQUIRED, done: false, token: own };
  }

  #prove(mic: Bytes | undefined): AcceptorAnswer {
    const keys = this.#outcome!.keys!;
    if (!mic || !keys.verify(this.#mechList, mic)) return refused(STATUS.INVALID_PARAMETER);
    const state = NEG_STATE.acceptCompleted;
    // In the phase of proving ours has gone out already.
    return this.#success(encodeResponse(this.#phase === 'proving' ? { state } : { state, mic: keys.sign(this.#mechList) }));
  }

  #success(token: Bytes | undefined): AcceptorAnswer {
    const { account, keys } = this.#outcome!;
    return {
      status: STATUS.SUCCESS,
      done: true,
      ...(token && { token }),
      ...(account && { account }),
      sessionKey: keys!.sessionKey,
    };
  }
}
