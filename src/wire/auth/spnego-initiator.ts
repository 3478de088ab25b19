import { raise } from '#base/errors';
import { bytesEqual, type Bytes } from '#wire/bytes';
import type { Authenticator, PeerNames } from './credential.ts';
import type { Mechanism } from './mechanism.ts';
import { decodeToken, encodeInit, encodeResponse, mechListOf, NEG_STATE, type ResponseToken } from './spnego-tokens.ts';

/**
 * SpnegoInitiator carries one mechanism in SPNEGO, [RFC 4178] with the ways of [MS-SPNG]. Together with the mechanism's last word it
 * sends its own mechListMIC: a server that sees an NTLM MIC without it (Samba, Server 2025) would stop and wait for it, older ones
 * answer INVALID_PARAMETER. Having sent one, it takes nothing but a right one in return.
 */
export class SpnegoInitiator implements Authenticator {
  readonly #mechanism: Mechanism;
  readonly #target: string;
  readonly #mechList: Bytes;
  #phase: 'new' | 'started' | 'proving' | 'done' = 'new';

  constructor(mechanism: Mechanism, target: string) {
    this.#mechanism = mechanism;
    this.#target = target;
    this.#mechList = mechListOf([mechanism.oid]);
  }

  get mechanism(): 'ntlm' | 'kerberos' {
    return this.#mechanism.name;
  }

  get peer(): PeerNames | undefined {
    return this.#mechanism.peer;
  }

  async start(): Promise<Bytes> {
    if (this.#phase !== 'new') throw new Error('an authenticator is for one logon');
    this.#phase = 'started';
    return encodeInit([this.#mechanism.oid], await this.#mechanism.start());
  }

  async next(token: Uint8Array): Promise<Bytes | undefined> {
    if (this.#phase === 'new' || this.#phase === 'done') throw new Error('next comes between start and the end of a logon');
    if (token.length === 0) {
      if (this.#phase === 'proving') throw this.#unproven('the mechListMIC is missing');
      throw raise('PP_AUTH_INCOMPLETE', { target: this.#target });
    }
    const response = this.#response(token);
    return this.#phase === 'started' ? this.#step(response) : this.#close(response);
  }

  sessionKey(): Bytes {
    const keys = this.#mechanism.keys;
    if (this.#phase !== 'done' || !keys) throw raise('PP_AUTH_INCOMPLETE', { target: this.#target });
    return keys.sessionKey;
  }

  #unproven(what: string): Error {
    return raise('PP_AUTH_UNPROVEN', { target: this.#target, what });
  }

  #response(token: Uint8Array): ResponseToken {
    const response = decodeToken(token);
    if (response.kind !== 'response') throw this.#malformed('a first token', 'where an answer must stand');
    const other = response.mechanism !== undefined && !bytesEqual(response.mechanism, this.#mechanism.oid);
    if (response.state === NEG_STATE.reject || other) {
      const mechanism = this.#mechanism.name === 'ntlm' ? 'NTLM' : 'Kerberos';
      throw raise('PP_AUTH_MECHANISM', { target: this.#target, mechanism });
    }
    return response;
  }

  #malformed(what: string, why: string): Error {
    return raise('PP_WIRE_MALFORMED', { message: 'SPNEGO token', field: 'negTokenResp', offset: 0, why: `${what} ${why}` });
  }

  async #step(response: ResponseToken): Promise<Bytes | undefined> {
    if (!response.token) throw this.#malformed('no responseToken', 'where the mechanism must be answered');
    const token = await this.#mechanism.next(response.token);
    const keys = this.#mechanism.keys;
    if (token === undefined) {
      // The mechanism needed no last word of ours (Kerberos): the peer has closed, and without a MIC of ours none is owed.
      if (!keys || response.state !== NEG_STATE.acceptCompleted) throw raise('PP_AUTH_INCOMPLETE', { target: this.#target });
      if (response.mic && !keys.verify(this.#mechList, response.mic)) throw this.#unproven('the mechListMIC is wrong');
      this.#phase = 'done';
      return undefined;
    }
    if (response.state === NEG_STATE.acceptCompleted) throw raise('PP_AUTH_INCOMPLETE', { target: this.#target });
    if (keys) this.#phase = 'proving';
    const mic = keys?.sign(this.#mechList);
    return encodeResponse({ state: NEG_STATE.acceptIncomplete, token, ...(mic && { mic }) });
  }

  #close(response: ResponseToken): undefined {
    if (response.token && response.token.length > 0) throw this.#malformed('a responseToken', 'behind the last one');
    if (response.state !== NEG_STATE.acceptCompleted) throw this.#unproven('the logon was not closed');
    if (!response.mic) throw this.#unproven('the mechListMIC is missing');
    if (!this.#mechanism.keys?.verify(this.#mechList, response.mic)) throw this.#unproven('the mechListMIC is wrong');
    this.#phase = 'done';
    return undefined;
  }
}
