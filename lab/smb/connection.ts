import type { Socket } from 'node:net';
import { isCode } from '#base/errors';
import type { Bytes } from '#wire/bytes';
import { COMMAND, FLAG, Framer, PREFIX, splitCompound, TRANSFORM_PROTOCOL_ID, TransformHeader } from '#wire/smb';
import type { Header, Message } from '#wire/smb';
import { STATUS } from '#wire/status';
import { errorAnswer } from './answer.ts';
import { CreditWindow } from './credits.ts';
import { Dispatcher, type Working } from './dispatcher.ts';
import { Hangup } from './hangup.ts';
import { wildcardAnswer } from './hello.ts';
import { isSmb1 } from './negotiation.ts';
import { frameOf, responseHeader, type Ready } from './reply.ts';
import type { SmbServer } from './server.ts';
import { smb1Answer } from './smb1-hello.ts';
import type { Session } from './session.ts';

const FIRST_FRAME = 128 * 1024;
const FRAME_BESIDE_DATA = 64 * 1024;
const INTERIM_MS = 500;
const MOST_AT_ONCE = 64;
const MOST_UNSENT = 16 * 2 ** 20;
const LEAST_WAIT_MS = 1000;

function isSealed(frame: Bytes): boolean {
  return frame.length >= 4 && new DataView(frame.buffer, frame.byteOffset).getUint32(0, true) === TRANSFORM_PROTOCOL_ID;
}

function isLogon({ messages }: Working): boolean {
  const { command } = messages[0]!.header;
  return command === COMMAND.NEGOTIATE || command === COMMAND.SESSION_SETUP;
}

/** The answer to TREE_CONNECT carries the id of the tree, for which the asynchronous header has no room ([MS-SMB2] 2.2.1.1). */
function namesTree({ messages }: Working): boolean {
  return messages[0]!.header.command === COMMAND.TREE_CONNECT;
}

/** SmbConnection is one client on one socket, [MS-SMB2] 3.3.5. Whatever comes in, nothing is thrown out of it: at worst it hangs up. */
export class SmbConnection {
  readonly #server: SmbServer;
  readonly #socket: Socket;
  readonly #framer: Framer;
  readonly #dispatcher: Dispatcher;
  readonly #credits = new CreditWindow();
  readonly #working = new Set<Working>();
  #greeted = false;
  #turn: Promise<void> = Promise.resolve();
  #lastAt: number;
  #stopIdle: () => void = () => {};
  #closed = false;

  constructor(server: SmbServer, socket: Socket) {
    this.#server = server;
    this.#socket = socket;
    this.#dispatcher = new Dispatcher(server);
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
    this.#dispatcher.end();
    this.#server.gone(this);
  }

  #watchIdle(ms: number): void {
    this.#stopIdle = this.#server.clock.after(ms, () => {
      const { idleMs, logonMs } = this.#server.limits;
      const limit = this.#dispatcher.hasLogon ? idleMs : logonMs;
      const quiet = this.#server.clock.monotonic() - this.#lastAt;
      if (quiet >= limit && this.#working.size === 0) this.close();
      else this.#watchIdle(Math.max(limit - quiet, LEAST_WAIT_MS));
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
    if (error instanceof Hangup || isCode(error, 'PP_WIRE_MALFORMED'))
      this.#server.log.debug('lab smb connection ended', { why: error.message });
    else this.#server.log.error('lab smb connection failed', { error });
    this.close();
  }

  #frame(frame: Bytes): void {
    this.#lastAt = this.#server.clock.monotonic();
    if (isSmb1(frame)) return this.#smb1(frame);
    const sealer = isSealed(frame) ? this.#dispatcher.session(TransformHeader.decode(frame).sessionId) : undefined;
    const messages: Message[] = [];
    for (const message of splitCompound(isSealed(frame) ? this.#opened(frame, sealer) : frame)) {
      const { header } = message;
      if (header.flags & FLAG.SERVER_TO_REDIR) throw new Hangup('a response was sent to the server');
      if (header.command === COMMAND.CANCEL) this.#cancel(header);
      else if (!this.#credits.use(header.messageId, header.creditCharge)) throw new Hangup('a message id without credit');
      else messages.push(message);
    }
    if (messages.length === 0) return;
    const asyncId = this.#server.nextAsyncId();
    const work: Working = { messages, sealer, asyncId, controller: new AbortController(), chain: { status: 0, link: {} } };
    this.#working.add(work);
    this.#flow();
    void this.#work(work);
  }

  #opened(frame: Bytes, sealer: Session | undefined): Bytes {
    const plain = sealer?.unseal(frame);
    if (!plain) throw new Hangup('a frame that is not encrypted for a session here');
    return plain;
  }

  #smb1(frame: Bytes): void {
    if (this.#greeted || this.#dispatcher.maxIoBytes !== undefined) throw new Hangup('SMB1 after SMB2');
    if (this.#server.speech.dialects.length === 0) return this.#send(smb1Answer(frame, this.#server));
    const { header, answer } = wildcardAnswer(frame, this.#server);
    if (!this.#credits.use(0n, 1)) throw new Hangup('SMB1 without credit');
    this.#greeted = true;
    const head = responseHeader(header, STATUS.SUCCESS, this.#credits.grant(1));
    this.#send(frameOf([{ head, answer, signer: undefined }], undefined));
  }

  #cancel(head: Header): void {
    for (const work of this.#working) {
      const isMeant =
        head.flags & FLAG.ASYNC_COMMAND
          ? work.asyncId === head.asyncId
          : work.messages.some((message) => message.header.messageId === head.messageId);
      if (isMeant) work.controller.abort();
    }
  }

  async #work(work: Working): Promise<void> {
    try {
      if (isLogon(work)) {
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
    let isAsync = false;
    const maySayLater = work.messages.length === 1 && !isLogon(work) && !namesTree(work);
    const noInterim = maySayLater ? this.#server.clock.after(INTERIM_MS, () => (isAsync = this.#sendInterim(work))) : () => {};
    const list: Ready[] = [];
    try {
      await this.#server.backend.delay(work.controller.signal).catch(() => {});
      for (const message of work.messages) list.push(await this.#dispatcher.take(message, work));
    } finally {
      noInterim();
    }
    if (this.#closed) return;
    for (const { head } of list) {
      if (isAsync) Object.assign(head, { flags: head.flags | FLAG.ASYNC_COMMAND, asyncId: work.asyncId, credits: 0 });
      else head.credits = this.#credits.grant(head.credits);
    }
    this.#send(frameOf(list, work.sealer));
    this.#framer.limit = Math.max(FIRST_FRAME, (this.#dispatcher.maxIoBytes ?? 0) + FRAME_BESIDE_DATA);
    for (const { answer } of list) answer.sent?.();
  }

  /** An interim answer grants the credits; it is encrypted where the request was, and never signed, [MS-SMB2] 3.3.4.2. */
  #sendInterim(work: Working): boolean {
    if (this.#closed) return false;
    const { header } = work.messages[0]!;
    const head = responseHeader(header, STATUS.PENDING, this.#credits.grant(header.credits));
    Object.assign(head, { flags: head.flags | FLAG.ASYNC_COMMAND, asyncId: work.asyncId });
    this.#send(frameOf([{ head, answer: errorAnswer(STATUS.PENDING), signer: undefined }], work.sealer));
    return true;
  }

  /** Reading stops while too much is under way or unsent, so that no client can fill the memory. */
  #flow(): void {
    if (this.#closed) return;
    const isFull = this.#working.size >= MOST_AT_ONCE || this.#socket.writableLength > MOST_UNSENT;
    if (isFull) this.#socket.pause();
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
