import { isCode } from '#base/errors';
import { DiskError } from '#lab/disk';
import type { Bytes } from '#wire/bytes';
import { COMMAND, FLAG, PreauthHash, type Header, type Message } from '#wire/smb';
import { STATUS } from '#wire/status';
import { errorAnswer, Refusal, type Answer } from './answer.ts';
import { commands } from './commands.ts';
import { Hangup } from './hangup.ts';
import { hello } from './hello.ts';
import { setUpSession } from './logon.ts';
import { responseHeader, type Ready } from './reply.ts';
import type { SmbServer } from './server.ts';
import { needsTree, Session, type Hello, type Request } from './session.ts';

const MOST_SESSIONS = 16;
const SMALL_IO = 65_536;

/** Working is one frame being worked. */
export interface Working {
  readonly messages: Message[];
  /** sealer is the session that the frame was encrypted for. */
  readonly sealer: Session | undefined;
  readonly asyncId: bigint;
  readonly controller: AbortController;
  readonly chain: Chain;
}

/** Chain is what the messages of a related compound hand on, [MS-SMB2] 3.3.5.2.7.2. */
export interface Chain {
  status: number;
  sessionId?: bigint;
  treeId?: number;
  link: Request['chain'];
}

/** Dispatcher is the protocol of one connection: what each message is answered with, given what went before. */
export class Dispatcher {
  readonly #server: SmbServer;
  readonly #preauth = new PreauthHash();
  readonly #sessions = new Map<bigint, Session>();
  #hello: Hello | undefined;

  constructor(server: SmbServer) {
    this.#server = server;
  }

  /** maxIoBytes is undefined until NEGOTIATE. */
  get maxIoBytes(): number | undefined {
    return this.#hello?.agreed.maxIoBytes;
  }

  get hasLogon(): boolean {
    return [...this.#sessions.values()].some((session) => session.valid);
  }

  session(id: bigint): Session | undefined {
    return this.#sessions.get(id);
  }

  /** end closes all sessions. */
  end(): void {
    for (const session of this.#sessions.values()) void this.#server.forget(session);
  }

  /** take works one message; only a Hangup leaves it. */
  async take(message: Message, work: Working): Promise<Ready> {
    const { header } = message;
    if (header.command === COMMAND.NEGOTIATE) return this.#negotiate(message);
    if (header.command === COMMAND.SESSION_SETUP) return this.#setUp(message, work);
    if (!this.#hello) throw new Hangup('a command before NEGOTIATE');
    const { chain } = work;
    if (!(header.flags & FLAG.RELATED_OPERATIONS))
      Object.assign(chain, { status: 0, link: {}, sessionId: header.sessionId, treeId: header.treeId });
    const ids = { ...header, sessionId: chain.sessionId ?? header.sessionId, treeId: chain.treeId ?? header.treeId };
    const session = this.#sessions.get(ids.sessionId);
    let said: Answer;
    try {
      if (chain.sessionId === undefined) throw new Refusal(STATUS.INVALID_PARAMETER);
      const request = this.#request(message, session, ids, work);
      said = await commands.get(header.command)!(request);
      if (header.command === COMMAND.TREE_CONNECT) chain.treeId = ids.treeId = request.tree?.id ?? 0;
    } catch (error) {
      said = errorAnswer(this.#statusOf(error));
    }
    // An error is passed on to what builds on it; a warning is not.
    chain.status = said.status >>> 30 === 3 ? said.status : 0;
    if (session?.closed) this.#sessions.delete(session.id);
    return { head: responseHeader(ids, said.status, header.credits), answer: said, signer: session };
  }

  #request(message: Message, session: Session | undefined, ids: Header, work: Working): Request {
    const { header } = message;
    const { chain } = work;
    const isEcho = header.command === COMMAND.ECHO && header.sessionId === 0n;
    if (!commands.has(header.command))
      throw new Refusal(header.command === COMMAND.LOCK ? STATUS.NOT_SUPPORTED : STATUS.INVALID_PARAMETER);
    if (!session?.valid && !isEcho) throw new Refusal(STATUS.USER_SESSION_DELETED);
    if (session) this.#admit(message, session, work.sealer);
    if (chain.status !== 0) throw new Refusal(chain.status);
    const tree = session?.tree(ids.treeId);
    if (needsTree(header.command)) {
      if (!tree) throw new Refusal(STATUS.NETWORK_NAME_DELETED);
      if (tree.share.encrypt && !work.sealer) throw new Refusal(STATUS.ACCESS_DENIED);
      this.#checkCharge(message);
    }
    return {
      message,
      backend: this.#server.backend,
      hello: this.#hello!,
      agreed: this.#hello!.agreed,
      session: session ?? new Session(0n),
      tree,
      chain: chain.link,
      signal: work.controller.signal,
    };
  }

  /** Signing is always required here: what is neither signed nor encrypted is refused, [MS-SMB2] 3.3.5.2.4 and 3.3.5.2.9. */
  #admit(message: Message, session: Session, sealer: Session | undefined): void {
    if (sealer) {
      if (sealer !== session) throw new Hangup('an encrypted message of another session');
    } else if (session.encryptData || !session.verify(message.octets)) throw new Refusal(STATUS.ACCESS_DENIED);
  }

  /** [MS-SMB2] 3.3.5.2.5: what is sent or asked for must be paid; READ and WRITE say the length at the same place. */
  #checkCharge({ header, octets }: Message): void {
    if (this.#hello!.agreed.maxIoBytes <= SMALL_IO) return;
    const paid = Math.max(1, header.creditCharge) * SMALL_IO;
    const isIo = header.command === COMMAND.READ || header.command === COMMAND.WRITE;
    if (isIo && octets.length < 72) throw new Refusal(STATUS.INVALID_PARAMETER);
    const asked = isIo ? new DataView(octets.buffer, octets.byteOffset).getUint32(68, true) : octets.length - 512;
    if (asked > paid) throw new Refusal(STATUS.INVALID_PARAMETER);
  }

  #statusOf(error: unknown): number {
    if (error instanceof Hangup) throw error;
    if (error instanceof Refusal || error instanceof DiskError) return error.status;
    if (isCode(error, 'PP_WIRE_MALFORMED')) return STATUS.INVALID_PARAMETER;
    this.#server.log.error('lab smb command failed', { error });
    return STATUS.INTERNAL_ERROR;
  }

  #negotiate(message: Message): Ready {
    if (this.#hello) throw new Hangup('NEGOTIATE twice');
    const head = responseHeader(message.header, STATUS.SUCCESS, message.header.credits);
    try {
      const made = hello(message, this.#server);
      this.#hello = made.hello;
      this.#preauth.add(message.octets);
      const sent = () => this.#server.backend.reached('negotiate');
      return { head, answer: hashed(made.answer, this.#preauth, sent), signer: undefined };
    } catch (error) {
      const status = this.#statusOf(error);
      return { head: { ...head, status }, answer: errorAnswer(status), signer: undefined };
    }
  }

  async #setUp(message: Message, work: Working): Promise<Ready> {
    const { header } = message;
    if (!this.#hello) throw new Hangup('SESSION_SETUP before NEGOTIATE');
    const head = responseHeader(header, STATUS.SUCCESS, header.credits);
    const refused = (status: number): Ready => ({ head: { ...head, status }, answer: errorAnswer(status), signer: undefined });
    if (work.messages.length > 1) return refused(STATUS.INVALID_PARAMETER);
    const session = header.sessionId === 0n ? this.#newSession() : this.#sessions.get(header.sessionId);
    if (!session) return refused(STATUS.USER_SESSION_DELETED);
    const isRenewal = session.valid;
    if (isRenewal && work.sealer !== session && !session.verify(message.octets)) return refused(STATUS.ACCESS_DENIED);
    try {
      const outcome = await setUpSession(message, session, this.#hello, this.#server.backend, this.#server.speech.encryptAll);
      Object.assign(head, { status: outcome.answer.status, sessionId: session.id });
      if (outcome.failed) this.#drop(session);
      if (!outcome.isFinal) {
        const said = outcome.failed || isRenewal ? outcome.answer : hashed(outcome.answer, session.preauth!);
        return { head, answer: said, signer: session.valid ? session : undefined };
      }
      this.#server.began(session, outcome.previousSessionId);
      const sent = () => this.#server.backend.reached('logon');
      return { head, answer: { ...outcome.answer, sent }, signer: session };
    } catch (error) {
      this.#drop(session);
      return refused(this.#statusOf(error));
    }
  }

  #newSession(): Session {
    if (this.#sessions.size >= MOST_SESSIONS) throw new Hangup('too many sessions');
    const session = new Session(this.#server.nextSessionId());
    session.preauth = new PreauthHash(this.#preauth);
    this.#sessions.set(session.id, session);
    return session;
  }

  #drop(session: Session): void {
    this.#sessions.delete(session.id);
    void this.#server.forget(session);
  }
}

/** The hash takes in a response as it leaves, so it is taken where the octets are made. */
function hashed(said: Answer, hash: PreauthHash, sent?: () => void): Answer {
  return {
    status: said.status,
    encode(header): Bytes {
      const octets = said.encode(header);
      hash.add(octets);
      return octets;
    },
    ...(sent && { sent }),
  };
}
