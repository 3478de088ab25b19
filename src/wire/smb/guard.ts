import { raise } from '#base/errors';
import { concat, type Bytes } from '#wire/bytes';
import { STATUS, statusName } from '#wire/status';
import { Opener, Sealer } from './encryption.ts';
import type { CipherName, SessionKeys, SigningName } from './keys.ts';
import { FLAG, splitCompound, type Message } from './messages/index.ts';
import { signMessage, verifyMessage } from './signing.ts';
import { PREFIX } from './transport.ts';

/** isInterim tells the one kind of response that nobody signs: "I have it, the answer comes later", [MS-SMB2] 3.3.4.2. */
export function isInterim(message: Message): boolean {
  return message.header.status === STATUS.PENDING && (message.header.flags & FLAG.ASYNC_COMMAND) !== 0;
}

/** Guard protects what a session sends and refuses what comes unprotected; from the logon on, everything passes it. */
export class Guard {
  readonly sessionId: bigint;
  readonly encrypts: boolean;
  readonly #signing: SigningName;
  readonly #key: Uint8Array;
  readonly #host: string;
  readonly #sealer: Sealer | undefined;
  readonly #opener: Opener | undefined;

  constructor(o: { host: string; sessionId: bigint; signing: SigningName; cipher?: CipherName | undefined; keys: SessionKeys }) {
    this.#host = o.host;
    this.sessionId = o.sessionId;
    this.#signing = o.signing;
    this.#key = o.keys.signing;
    if (o.cipher && o.keys.clientToServer && o.keys.serverToClient) {
      this.#sealer = new Sealer(o.cipher, o.keys.clientToServer, o.sessionId);
      this.#opener = new Opener(o.cipher, o.keys.serverToClient, o.sessionId);
    }
    this.encrypts = this.#sealer !== undefined;
  }

  /**
   * protectParts takes a frame of one or several messages in parts, with PREFIX free octets in front, and gives one that may leave, with as many: sealed as a whole, or each message
   * signed with its padding, [MS-SMB2] 3.1.4.1.
   */
  protectParts(parts: readonly Bytes[]): Bytes[] {
    const [first, ...rest] = parts as [Bytes, ...Bytes[]];
    if (this.#sealer) return this.#sealer.sealParts([first.subarray(PREFIX), ...rest], PREFIX);
    const octets = rest.length === 0 ? first : concat(...parts);
    for (const message of splitCompound(octets.subarray(PREFIX))) signMessage(this.#signing, this.#key, message.octets);
    return [octets];
  }

  /** unseal gives the frame inside an encrypted one, or raises PP_SMB_NOT_PROTECTED. */
  unseal(frame: Bytes): Bytes {
    const plain = this.#opener?.open(frame);
    if (!plain)
      throw this.#refusal(this.#opener ? 'it was not encrypted for this session' : 'it is encrypted, which was not agreed');
    return plain;
  }

  /** admit raises PP_SMB_NOT_PROTECTED unless the message is protected as the session asks for. */
  admit(message: Message, wasEncrypted: boolean): void {
    const { sessionId, status } = message.header;
    if (this.encrypts) {
      if (!wasEncrypted) throw this.#refusal(`it is in clear though the session is encrypted (${statusName(status)})`);
    } else if (!isInterim(message) && !verifyMessage(this.#signing, this.#key, message.octets)) {
      const isSigned = (message.header.flags & FLAG.SIGNED) !== 0;
      throw this.#refusal(`${isSigned ? 'its signature is wrong' : 'it is not signed'} (${statusName(status)})`);
    }
    if (sessionId !== this.sessionId) throw this.#refusal('it belongs to another session');
  }

  #refusal(why: string): Error {
    return raise('PP_SMB_NOT_PROTECTED', { host: this.#host, why });
  }
}
