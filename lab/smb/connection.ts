import type { Socket } from 'node:net';
import { isCode } from '#base/errors';
import type { Bytes } from '#wire/bytes';
import {
  COMMAND,
  FLAG,
  Framer,
  PREFIX,
  PreauthHash,
  splitCompound,
  TRANSFORM_PROTOCOL_ID,
  TransformHeader,
  type Header,
  type Message,
} from '#wire/smb';
import { STATUS } from '#wire/status';
import { errorAnswer, Refusal, type Answer } from './answer.ts';
import { commands } from './commands.ts';
import { CreditWindow } from './credits.ts';
import { Hangup } from './hangup.ts';
import { DiskError } from '#lab/disk';
import { hello, wildcardAnswer, type Greeting } from './hello.ts';
import { setUpSession } from './logon.ts';
import { isSmb1 } from './negotiation.ts';
import { frameOf, interimAnswer, responseHeader, type Ready } from './reply.ts';
import type { SmbServer } from './server.ts';
import { needsTree, Session, type Hello, type Request } from './session.ts';

const FIRST_FRAME = 128 * 1024;
const FRAME_BESIDE_DATA = 64 * 1024;
const INTERIM_MS = 500;
const MOST_SESSIONS = 16;
const MOST_AT_ONCE = 64;
const MOST_UNSENT = 16 * 2 ** 20;

/** Working is one frame being worked: what came along with it and what is said so far. */
interface Working {
  sealer: Session | undefined;
  asyncId: bigint;
  controller: AbortController;
  messages: Message[];
}

/** SmbConnection is one client on one socket, [MS-SMB2] 3.3.5. Whatever comes in, nothing is thrown out of it: at worst it hangs up. */
export class SmbConnection {
  readonly #server: SmbServer;
  readonly #socket: Socket;
  readonly #framer: Framer;
  readonly #credits = new CreditWindow();
  readonly #preauth = new PreauthHash();
  readonly #sessions = new Map<bigint, Session>();
  readonly #working = new Set<Working>();
  #hello: Hello | undefined;
  #greeting: Greeting = { wildcard: false };
  #turn: Promise<void> = Promise.resolve();
  #lastAt: number;
  #stopIdle: () => void = () => {};
  #closed = false;

  constructor(server: SmbServer, socket: Socket) {
    this.#server = server;
    this.#socket = socket;
    this.#framer = new Framer(FIRST_FRAME, (frame) => this.#closed || this.#frame(frame));
    this.#lastAt = server.clock.monotonic();
    socket.setNoDelay(true);
    socket.on('data', (chunk: Uint8Array) => this.#guarded(() => this.#framer.feed(chunk)));
    socket.on('error', () => this.close());
    socket.on('end', () => this.close());
    socket.on('close', () => this.close());
    socket.on('drain', () => this.#flow());
    this.#watchIdle(server.limits.logonMs);
  }

  /** close hangs up and lets go of everything. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopIdle();
    this.#socket.destroy();
    for (const work of this.#working) work.controller.abort();
    for (const session of this.#sessions.values()) void this.#server.forget(session);
    this.#server.gone(this);
  }

  #watchIdle(ms: number): void {
    this.#stopIdle = this.#server.clock.after(ms, () => {
      const limit = [...this.#sessions.values()].some((session) => session.valid)
        ? this.#server.limits.idleMs
        : this.#server.limits.logonMs;
      const quiet = this.#server.clock.monotonic() - this.#lastAt;
      if (quiet >= limit && this.#working.size === 0) this.close();
      else this.#watchIdle(Math.max(limit - quiet, 1000));
    });
  }

  /** Whatever is wrong with what came in ends this connection and nothing else. */
  #guarded(fn: () => void): void {
    try {
      fn();
    } catch (error) {
      this.#hangUp(error);
    }
  }

  #hangUp(error: unknown): void {
    if (this.#closed) return;
    const expected = error instanceof Hangup || isCode(error, 'PP_WIRE_MALFORMED');
    if (expected) this.#server.log.debug('lab smb connection ended', { why: (error as Error).message });
    else this.#server.log.error('lab smb connection failed', { error });
    this.close();
  }

  #frame(frame: Bytes): void {
    this.#lastAt = this.#server.clock.monotonic();
    if (isSmb1(frame)) return this.#smb1(frame);
    let sealer: Session | undefined;
    let plain = frame;
    if (frame.length >= 4 && new DataView(frame.buffer, frame.byteOffset).getUint32(0, true) === TRANSFORM_PROTOCOL_ID) {
      sealer = this.#sessions.get(TransformHeader.decode(frame).sessionId);
      const opened = sealer?.unseal(frame);
      if (!opened) throw new Hangup('a frame that is not encrypted for a session here');
      plain = opened;
    }
    const messages: Message[] = [];
    for (const message of splitCompound(plain)) {
      if (message.header.flags & FLAG.SERVER_TO_REDIR) throw new Hangup('a response was sent to the server');
      if (message.header.command === COMMAND.CANCEL) this.#cancel(message.header);
      else if (!this.#credits.use(message.header.messageId, message.header.creditCharge))
        throw new Hangup('a message id without credit');
      else messages.push(message);
    }
    if (messages.length === 0) return;
    const work: Working = { sealer, asyncId: this.#server.nextAsyncId(), controller: new AbortController(), messages };
    this.#working.add(work);
    this.#flow();
    void this.#work(work);
  }

  #smb1(frame: Bytes): void {
    if (this.#hello || this.#greeting.wildcard) throw new Hangup('SMB1 after SMB2');
    const said = wildcardAnswer(frame, this.#server);
    if (!this.#credits.use(0n, 1)) throw new Hangup('a second SMB1 negotiate');
    this.#greeting = { wildcard: true };
    const head = responseHeader({ ...said.header }, STATUS.SUCCESS, this.#credits.grant(1));
    this.#send(frameOf([{ head, answer: said.answer, signer: undefined }], undefined));
  }

  #cancel(head: Header): void {
    for (const work of this.#working) {
      const meant =
        head.flags & FLAG.ASYNC_COMMAND
          ? work.asyncId === head.asyncId
          : work.messages.some((message) => message.header.messageId === head.messageId);
      if (meant) work.controller.abort();
    }
  }

  #isLogon({ messages }: Working): boolean {
    const command = messages[0]!.header.command;
    return command === COMMAND.NEGOTIATE || command === COMMAND.SESSION_SETUP;
  }

  async #work(work: Working): Promise<void> {
    try {
      if (this.#isLogon(work)) {
        // Steps of a logon build on each other, so they are taken one after the other.
        const mine = this.#turn.then(() => this.#answerAll(work));
        this.#turn = mine.catch(() => {});
        await mine;
      } else await this.#answerAll(work);
    } catch (error) {
      this.#hangUp(error);
    } finally {
      this.#working.delete(work);
      this.#flow();
    }
  }

  async #answerAll(work: Working): Promise<void> {
    const single = work.messages.length === 1;
    let interim = false;
    const cancelTimer = single ? this.#server.clock.after(INTERIM_MS, () => (interim = this.#sendInterim(work))) : () => {};
    const list: Ready[] = [];
    const chain: Chain = { status: 0, link: {} };
    try {
      await this.#server.backend.delay(work.controller.signal).catch(() => {});
      for (const message of work.messages) list.push(await this.#one(message, work, chain));
    } finally {
      cancelTimer();
    }
    if (this.#closed) return;
    for (const ready of list) {
      if (interim) {
        ready.head.flags |= FLAG.ASYNC_COMMAND;
        ready.head.asyncId = work.asyncId;
      } else ready.head.credits = this.#credits.grant(ready.head.credits);
    }
    this.#send(frameOf(list, work.sealer));
    for (const { answer } of list) answer.sent?.();
  }

  /** An interim answer grants the credits; it is encrypted where the session is, and never signed. */
  #sendInterim(work: Working): boolean {
    if (this.#closed || this.#isLogon(work)) return false;
    const { header } = work.messages[0]!;
    const head = responseHeader(header, STATUS.PENDING, this.#credits.grant(header.credits));
    head.flags |= FLAG.ASYNC_COMMAND;
    head.asyncId = work.asyncId;
    this.#send(frameOf([{ head, answer: interimAnswer(), signer: undefined }], work.sealer));
    return true;
  }

  async #one(message: Message, work: Working, chain: Chain): Promise<Ready> {
    const { header } = message;
    if (header.command === COMMAND.NEGOTIATE) return this.#negotiate(message);
    if (header.command === COMMAND.SESSION_SETUP) return this.#setUp(message, work);
    if (!this.#hello) throw new Hangup('a command before NEGOTIATE');
    if (!(header.flags & FLAG.RELATED_OPERATIONS)) {
      chain.status = 0;
      chain.link = {};
      chain.sessionId = header.sessionId;
      chain.treeId = header.treeId;
    }
    const ids = { ...header, sessionId: chain.sessionId ?? header.sessionId, treeId: chain.treeId ?? header.treeId };
    const session = this.#sessions.get(ids.sessionId);
    let tree: number | undefined;
    let said: Answer;
    try {
      if (chain.sessionId === undefined) throw new Refusal(STATUS.INVALID_PARAMETER);
      const request = this.#request(message, session, ids, work, chain);
      said = await commands.get(header.command)!(request);
      tree = request.tree?.id;
    } catch (error) {
      said = errorAnswer(this.#statusOf(error));
    }
    // An error is passed on to what builds on it, [MS-SMB2] 3.3.5.2.7.2; a warning is not.
    chain.status = said.status >>> 30 === 3 ? said.status : 0;
    if (header.command === COMMAND.TREE_CONNECT && tree !== undefined) chain.treeId = ids.treeId = tree;
    return { head: responseHeader(ids, said.status, header.credits), answer: said, signer: session };
  }

  #request(message: Message, session: Session | undefined, ids: Header, work: Working, chain: Chain): Request {
    const { header } = message;
    const isEcho = header.command === COMMAND.ECHO && header.sessionId === 0n;
    if (!commands.has(header.command)) throw new Refusal(this.#unknown(header.command));
    if (!session?.valid && !isEcho) throw new Refusal(STATUS.USER_SESSION_DELETED);
    if (session) this.#admit(message, session, work.sealer);
    if (chain.status !== 0 && header.command !== COMMAND.TREE_CONNECT) throw new Refusal(chain.status);
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

  #unknown(command: number): number {
    return command === COMMAND.LOCK ? STATUS.NOT_SUPPORTED : STATUS.INVALID_PARAMETER;
  }

  /** Signing is always required here: what is neither signed nor encrypted is refused, [MS-SMB2] 3.3.5.2.4 and 3.3.5.2.9. */
  #admit(message: Message, session: Session, sealer: Session | undefined): void {
    if (sealer) {
      if (sealer !== session) throw new Hangup('an encrypted message of another session');
    } else if (session.encryptData || !session.verify(message.octets)) throw new Refusal(STATUS.ACCESS_DENIED);
  }

  /** [MS-SMB2] 3.3.5.2.5: what is sent or asked for must be paid; the lengths stand at fixed places of the bodies. */
  #checkCharge({ header, octets }: Message): void {
    if (this.#hello!.agreed.maxIoBytes <= 65_536) return;
    const paid = Math.max(1, header.creditCharge) * 65_536;
    const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
    const at = header.command === COMMAND.READ || header.command === COMMAND.WRITE ? 68 : 0;
    const asked = at && octets.length >= at + 4 ? view.getUint32(at, true) : octets.length - 512;
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
    let made: ReturnType<typeof hello>;
    try {
      made = hello(message, this.#server, this.#greeting);
    } catch (error) {
      const status = this.#statusOf(error);
      return { head: { ...head, status }, answer: errorAnswer(status), signer: undefined };
    }
    this.#hello = made.hello;
    this.#framer.limit = made.hello.agreed.maxIoBytes + FRAME_BESIDE_DATA;
    this.#preauth.add(message.octets);
    const said = made.answer;
    // The hash takes in the response as it leaves, so it is taken where the octets are made.
    return {
      head,
      answer: { ...said, encode: (h) => this.#hashed(this.#preauth, said.encode(h), 'negotiate') },
      signer: undefined,
    };
  }

  #hashed(hash: PreauthHash, octets: Bytes, point?: 'negotiate'): Bytes {
    hash.add(octets);
    if (point) this.#server.backend.reached(point);
    return octets;
  }

  async #setUp(message: Message, work: Working): Promise<Ready> {
    const { header } = message;
    if (!this.#hello) throw new Hangup('SESSION_SETUP before NEGOTIATE');
    const head = responseHeader(header, STATUS.SUCCESS, header.credits);
    const refused = (status: number): Ready => ({ head: { ...head, status }, answer: errorAnswer(status), signer: undefined });
    if (work.messages.length > 1) return refused(STATUS.INVALID_PARAMETER);
    const session = header.sessionId === 0n ? this.#newSession() : this.#sessions.get(header.sessionId);
    if (!session) return refused(STATUS.USER_SESSION_DELETED);
    if (session.valid && work.sealer !== session && !session.verify(message.octets)) return refused(STATUS.ACCESS_DENIED);
    try {
      const outcome = await setUpSession(message, session, this.#hello, this.#server.backend, this.#server.speech.encryptAll);
      if (outcome.failed) this.#drop(session);
      if (outcome.isFinal) this.#began(session, outcome.previousSessionId);
      Object.assign(head, { status: outcome.answer.status, sessionId: session.id });
      const hash = outcome.isFinal || outcome.failed ? undefined : session.preauth;
      const said = outcome.answer;
      const encode = (h: Header): Bytes => (hash ? this.#hashed(hash, said.encode(h)) : said.encode(h));
      return { head, answer: { ...said, encode }, signer: session.valid ? session : undefined };
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

  #began(session: Session, previous: bigint): void {
    this.#server.began(session, previous);
    this.#server.backend.reached('logon');
  }

  #drop(session: Session): void {
    this.#sessions.delete(session.id);
    void this.#server.forget(session);
  }

  /** Reading stops while too much is under way or unsent, so that no client can fill the memory. */
  #flow(): void {
    if (this.#closed) return;
    const full = this.#working.size >= MOST_AT_ONCE || this.#socket.writableLength > MOST_UNSENT;
    if (full) this.#socket.pause();
    else this.#socket.resume();
  }

  #send(octets: Bytes): void {
    if (this.#closed) return;
    const length = octets.length - PREFIX;
    octets[0] = 0;
    octets[1] = length >> 16;
    octets[2] = (length >> 8) & 0xff;
    octets[3] = length & 0xff;
    this.#socket.write(octets);
  }
}

interface Chain {
  status: number;
  sessionId?: bigint;
  treeId?: number;
  link: Request['chain'];
}
