import type { Clock } from '#base/clock';
import { isCode, PushpointError, raise } from '#base/errors';
import { Reader, type Bytes } from '#wire/bytes';
import { encodeCall, type Call, type Link } from './call.ts';
import { CREDIT_SIZE, Credits } from './credits.ts';
import { isInterim, type Guard } from './guard.ts';
import {
  CancelRequest,
  COMMAND,
  encodeMessage,
  FLAG,
  header,
  joinParts,
  splitCompound,
  TRANSFORM_PROTOCOL_ID,
  type Encoded,
  type Message,
} from './messages/index.ts';
import { Outstanding, type Answer } from './outstanding.ts';
import { PREFIX, type Transport } from './transport.ts';

const SMB1_PROTOCOL_ID = 0x424d53ff; // 0xFF 'S' 'M' 'B'
const UNSOLICITED = 0xffff_ffff_ffff_ffffn; // the message id of oplock breaks, [MS-SMB2] 2.2.23.1

/** Stats count what a session cost: `turnArounds` is the longest chain of requests that had to wait for each other's answers. */
export interface Stats {
  connections: number;
  turnArounds: number;
  bytesOut: number;
  bytesIn: number;
}

/** Connection matches responses to requests on one transport: message ids, credits, time limits, cancelling. */
export class Connection {
  readonly host: string;
  readonly clock: Clock;
  readonly stats: Stats = { connections: 1, turnArounds: 0, bytesOut: 0, bytesIn: 0 };
  /** multiCredit: requests of more than 64 KiB are paid by size; agreed in NEGOTIATE. */
  multiCredit = false;
  guard: Guard | undefined;
  sessionId = 0n;
  readonly #transport: Transport;
  readonly #operationMs: number;
  readonly #credits = new Credits();
  readonly #outstanding = new Map<bigint, Outstanding>();
  readonly #queued = new Set<Outstanding>();
  #nextId = 0n;
  /** Why nothing goes any more; the error is made when somebody asks, as mostly nobody does. */
  #over: Error | (() => Error) | undefined;

  constructor(o: { host: string; transport: Transport; clock: Clock; operationMs: number; signal?: AbortSignal | undefined }) {
    this.host = o.host;
    this.clock = o.clock;
    this.#transport = o.transport;
    this.#operationMs = o.operationMs;
    const { signal } = o;
    const onAbort = () => this.#abort(signal?.reason as Error);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#stopListening = () => signal?.removeEventListener('abort', onAbort);
    this.#transport.open({ frame: (frame) => this.#frame(frame), closed: (error) => this.#closed(error) });
  }
  readonly #stopListening: () => void;

  /** creditTotal is how many credits there are in all: no single request can cost more. */
  get creditTotal(): number {
    return this.#credits.total;
  }

  get isOver(): boolean {
    return this.#over !== undefined;
  }

  /** acceptFrames sets how long a frame may be. */
  acceptFrames(limit: number): void {
    this.#transport.limit = limit;
  }

  /** request sends one request and gives its final response, whatever its status says. Calls may overlap as much as credits allow. */
  request<T>(call: Call<T>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#over) return reject(this.#overFor(call.doing));
      const charge = this.#charge(call.payload);
      const timeoutMs = call.timeoutMs ?? this.#operationMs;
      const { command, doing } = call;
      const from = this.clock.monotonic();
      const onTimeout = () => {
        leaveQueue();
        const ms = Math.round(this.clock.monotonic() - from);
        this.#giveUp(one, raise('PP_NET_TIMEOUT', { host: this.host, doing, ms }));
      };
      const one = new Outstanding({ command, doing, charge, clock: this.clock, timeoutMs, resolve, reject, onTimeout });
      this.#queued.add(one);
      const leaveQueue = this.#credits.take(charge, () => this.#send(one, call));
    });
  }

  #charge(payload = 0): number {
    return this.multiCredit ? Math.max(1, Math.ceil(payload / CREDIT_SIZE)) : 1;
  }

  /** affords tells whether there are credits for a whole chain at all; a part of it cannot be sent. */
  affords(links: readonly Link[]): boolean {
    return links.reduce((sum, link) => sum + this.#charge(link.payload), 0) <= this.#credits.total;
  }

  /**
   * chain sends requests that build on one another in one frame and gives the final response of each, [MS-SMB2] 3.2.4.1.4: all but the
   * first mean the file that the one before them opened.
   */
  chain(links: readonly Link[]): Promise<Answer>[] {
    if (this.#over) return links.map((link) => Promise.reject(this.#overFor(link.doing)));
    const members: { one: Outstanding; link: Link }[] = [];
    let leaveQueue: () => void = () => {};
    const answers = links.map((link) => {
      const { promise, resolve, reject } = Promise.withResolvers<Answer>();
      const { command, doing } = link;
      const timeoutMs = this.#operationMs;
      const onTimeout = () => {
        leaveQueue();
        this.#giveUp(one, raise('PP_NET_TIMEOUT', { host: this.host, doing, ms: timeoutMs }));
      };
      const charge = this.#charge(link.payload);
      const one = new Outstanding({ command, doing, charge, clock: this.clock, timeoutMs, resolve, reject, onTimeout });
      this.#queued.add(one);
      members.push({ one, link });
      return promise;
    });
    const total = members.reduce((sum, { one }) => sum + one.charge, 0);
    leaveQueue = this.#credits.take(total, () => this.#sendChain(members));
    return answers;
  }

  #sendChain(members: readonly { one: Outstanding; link: Link }[]): void {
    try {
      this.#put(joinParts(this.#encodeChain(members), PREFIX));
    } catch (error) {
      for (const { one } of members) one.fail(error as Error);
    }
  }

  #encodeChain(members: readonly { one: Outstanding; link: Link }[]): Encoded[] {
    return members.map(({ one, link }, index) => {
      this.#queued.delete(one);
      const messageId = this.#nextId;
      this.#nextId += BigInt(one.charge);
      one.messageId = messageId;
      one.depth = this.stats.turnArounds + 1;
      this.#outstanding.set(messageId, one);
      return link.encode(
        header({
          command: link.command,
          flags: index === 0 ? 0 : FLAG.RELATED_OPERATIONS,
          creditCharge: this.multiCredit ? one.charge : 0,
          credits: this.#credits.request(one.charge),
          messageId,
          treeId: link.treeId,
          sessionId: this.sessionId,
        }),
      );
    });
  }

  /** close hangs up; what is under way fails with PP_NET_CLOSED. */
  close(gently = false): void {
    this.#end(() => this.#hungUp('closing the session'), gently);
  }

  #hungUp(doing: string, cause?: unknown): Error {
    const { address, port } = this.#transport;
    return raise('PP_NET_CLOSED', { address, port, doing }, cause === undefined ? {} : { cause });
  }

  /** Whoever waits when the line goes down is told what it was doing; other reasons speak for themselves. */
  #overFor(doing: string): Error {
    const error = typeof this.#over === 'function' ? this.#over() : this.#over!;
    this.#over = error;
    return isCode(error, 'PP_NET_CLOSED') ? this.#hungUp(doing, error.cause) : error;
  }

  #send<T>(one: Outstanding, call: Call<T>): void {
    this.#queued.delete(one);
    try {
      const messageId = this.#nextId;
      this.#nextId += BigInt(one.charge);
      one.messageId = messageId;
      one.depth = this.stats.turnArounds + 1;
      const head = header({
        command: call.command,
        creditCharge: this.multiCredit ? one.charge : 0,
        credits: this.#credits.request(one.charge),
        messageId,
        treeId: call.treeId ?? 0,
        sessionId: this.sessionId,
      });
      const { octets, tail } = encodeCall(call, head, PREFIX);
      if (!this.guard) one.sent = octets.subarray(PREFIX);
      this.#outstanding.set(messageId, one);
      this.#put(tail ? [octets, tail] : [octets]);
    } catch (error) {
      one.fail(error as Error); // a value that cannot be written is the caller's defect, not the connection's
    }
  }

  #put(parts: Bytes[]): void {
    const guarded = this.guard ? this.guard.protectParts(parts) : parts;
    for (const part of guarded) this.stats.bytesOut += part.length;
    this.#transport.send(guarded);
  }

  /** CANCEL has no response and costs nothing, [MS-SMB2] 3.2.4.24; the response of the cancelled request still comes and is dropped. */
  #giveUp(one: Outstanding, error: Error): void {
    if (one.isSettled) return;
    this.#queued.delete(one);
    one.fail(error);
    if (one.messageId === undefined || this.#over || !this.guard) return;
    const asyncId = one.asyncId ?? 0n;
    const flags = one.asyncId === undefined ? 0 : FLAG.ASYNC_COMMAND;
    const head = header({ command: COMMAND.CANCEL, flags, asyncId, messageId: one.messageId, sessionId: this.sessionId });
    this.#put([encodeMessage(head, CancelRequest, {}, PREFIX)]);
  }

  #abort(reason: Error): void {
    for (const one of [...this.#queued, ...this.#outstanding.values()]) this.#giveUp(one, reason);
    this.#end(reason, true);
  }

  #frame(frame: Bytes): void {
    this.stats.bytesIn += frame.length + PREFIX;
    try {
      const r = new Reader(frame, 'SMB frame');
      r.field = 'protocolId';
      const protocol = r.u32();
      const isSealed = protocol === TRANSFORM_PROTOCOL_ID;
      if (protocol === SMB1_PROTOCOL_ID) throw raise('PP_SMB_ONLY_SMB1', { host: this.host });
      if (isSealed && !this.guard) throw r.fail('an encrypted message before the logon', 0);
      const plain = isSealed && this.guard ? this.guard.unseal(frame) : frame;
      for (const message of splitCompound(plain)) this.#message(message, isSealed);
    } catch (error) {
      this.#end(error as Error);
    }
  }

  #message(message: Message, wasSealed: boolean): void {
    const { header: head } = message;
    const wrong = (why: string, at: number) => new Reader(message.octets, 'SMB2 header').fail(why, at);
    if (!(head.flags & FLAG.SERVER_TO_REDIR)) throw wrong('this is a request, not a response', 16);
    // Nothing here asks for an oplock or a lease, so a break of one means nothing.
    if (head.messageId === UNSOLICITED && head.command === COMMAND.OPLOCK_BREAK) return;
    const one = this.#outstanding.get(head.messageId);
    if (!one) throw wrong(`nobody waits for a response with the id ${head.messageId}`, 24);
    if (head.command !== one.command) throw wrong(`a response to command ${head.command}, asked was ${one.command}`, 12);
    this.guard?.admit(message, wasSealed);
    const asyncId = head.flags & FLAG.ASYNC_COMMAND ? head.asyncId : undefined;
    if (one.asyncId !== undefined && asyncId !== one.asyncId) throw wrong('the async id is not that of the interim response', 32);
    if (asyncId !== undefined && isInterim(message)) {
      if (one.asyncId !== undefined) throw wrong('a second interim response', 8);
      one.interim(asyncId);
    } else {
      this.#outstanding.delete(head.messageId);
      this.#credits.settle(one.charge);
      this.stats.turnArounds = Math.max(this.stats.turnArounds, one.depth);
      one.answer(message);
    }
    this.#credits.grant(head.credits);
  }

  #closed(error: Error | undefined): void {
    if (this.#over) return;
    if (error instanceof PushpointError) return this.#end(error);
    this.#end(this.#hungUp('waiting', error));
  }

  #end(why: Error | (() => Error), gently = false): void {
    if (this.#over) return;
    this.#over = why;
    this.#stopListening();
    this.#transport.close(gently);
    for (const one of [...this.#queued, ...this.#outstanding.values()]) one.fail(this.#overFor(one.doing));
    this.#queued.clear();
    this.#outstanding.clear();
  }
}
