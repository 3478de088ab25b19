import { raise } from '#base/errors';
import { concat, Reader } from '#wire/bytes';
import type { Operation, RpcInterface } from './operation.ts';
import { faulted } from './outcomes.ts';
import {
  Bind,
  BindAck,
  BindNak,
  BindResult,
  bodyOf,
  encodePdu,
  Fault,
  fragments,
  HEADER_SIZE,
  NDR,
  PduFlag,
  PduStream,
  PduType,
  Request,
  Response,
  type ContextResult,
  type Pdu,
} from './pdu/index.ts';
import type { RpcPipe } from './pipe.ts';

/** MAX_FRAGMENT is what Windows itself announces on named pipes. */
const MAX_FRAGMENT = 4280;
/** The least a peer may announce ([C706] 12.6.3.1 MustRecvFragSize is 1432; smaller ones have been seen and still work from here). */
const LEAST_FRAGMENT = 64;
/** The most octets one answer may have when put together; the greatest real one is a list of services of some 100 KB. */
const MOST_ANSWER = 4 * 1024 * 1024;
/** The most fragments of one answer: each costs memory beside its octets, so that many with an octet each must not pass as little. */
const MOST_FRAGMENTS = 16_384;
/** The one presentation context that is bound. */
const CONTEXT_ID = 0;

/** RpcOptions bound what a connection takes. */
export interface RpcOptions {
  /** The longest fragment sent and taken. */
  maxFragment?: number;
  /** The most octets asked of the pipe at a time. */
  readSize?: number;
}

/** describeRejection tells in words why a presentation context was not accepted. */
function describeRejection(result: ContextResult): string {
  const reasons = [
    'no reason given',
    'the interface is not offered',
    'the transfer syntax is not spoken',
    'a local limit is reached',
  ];
  return reasons[result.reason] ?? `result ${result.result}, reason ${result.reason}`;
}

/**
 * RpcClient makes calls on one interface over one pipe, one call at a time; further calls wait for their turn. RPC itself carries no
 * authentication here: the pipe belongs to an SMB session that is signed or encrypted, and services of Windows take it as it is.
 */
export class RpcClient {
  readonly interface: RpcInterface;
  readonly #pipe: RpcPipe;
  readonly #maxReceive: number;
  readonly #readSize: number;
  #maxTransmit: number;
  readonly #stream: PduStream;
  #callId = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #broken: unknown;

  constructor(pipe: RpcPipe, wanted: RpcInterface, options: RpcOptions) {
    this.#pipe = pipe;
    this.interface = wanted;
    this.#maxReceive = options.maxFragment ?? MAX_FRAGMENT;
    this.#maxTransmit = this.#maxReceive;
    this.#readSize = options.readSize ?? this.#maxReceive;
    this.#stream = new PduStream(`answer of ${wanted.name}`);
  }

  /** bind agrees on the interface and on the sizes of fragments ([C706] 12.6.4.3). */
  async bind(): Promise<void> {
    const { name, uuid, version, minorVersion } = this.interface;
    await this.#inTurn(async () => {
      const contexts = [{ contextId: CONTEXT_ID, abstract: { uuid, version, minorVersion }, transfers: [NDR] }];
      const body = Bind.encode({ maxTransmit: this.#maxReceive, maxReceive: this.#maxReceive, associationGroup: 0, contexts });
      const pdu = await this.#exchange([encodePdu(PduType.BIND, ++this.#callId, body)]);
      if (pdu.header.type === PduType.BIND_NAK) {
        const { reason } = bodyOf(pdu, BindNak);
        throw raise('PP_RPC_BIND_REFUSED', { interface: name, why: `bind_nak with reason ${reason}` });
      }
      this.#expect(pdu, PduType.BIND_ACK);
      const ack = bodyOf(pdu, BindAck);
      const result = ack.results[0];
      if (!result) throw this.#wrong(pdu, 'results', 'no result for the presentation context');
      if (result.result !== BindResult.ACCEPTANCE)
        throw raise('PP_RPC_BIND_REFUSED', { interface: name, why: describeRejection(result) });
      if (result.transfer.uuid !== NDR.uuid) throw this.#wrong(pdu, 'results.transfer', 'another transfer syntax than offered');
      if (ack.maxReceive < LEAST_FRAGMENT) throw this.#wrong(pdu, 'maxReceive', `fragments of ${ack.maxReceive} octets`);
      this.#maxTransmit = Math.min(this.#maxReceive, ack.maxReceive);
    });
  }

  /** call sends one request and gives the decoded answer; a fault is raised, a status inside the answer is the caller's to judge. */
  async call<Q, A>(operation: Operation<Q, A>, request: Q): Promise<A> {
    const stub = operation.request.encode(request);
    const outcome = await this.#inTurn(() => this.#callStub(operation.opnum, stub));
    if (typeof outcome === 'number') throw faulted(outcome, operation.name);
    return operation.response.decode(outcome);
  }

  /** close gives the pipe back; the server runs down every handle that was opened through it. */
  async close(): Promise<void> {
    this.#broken ??= raise('PP_RPC_UNAVAILABLE', { operation: `a call of ${this.interface.name} after its end` });
    await this.#pipe.close();
  }

  /** inTurn runs `work` after all earlier work. Once it has failed, what still comes out of the pipe means nothing, so no call is tried again. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(async () => {
      if (this.#broken !== undefined) throw this.#broken as Error;
      try {
        return await work();
      } catch (error) {
        this.#broken = error;
        throw error;
      }
    });
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  /** callStub gives the stub of the answer, or the status of a fault: after a fault the pipe is as good as before. */
  async #callStub(opnum: number, stub: Uint8Array): Promise<Uint8Array | number> {
    const callId = ++this.#callId;
    const head = (allocationHint: number) =>
      Request.encode({ allocationHint, contextId: CONTEXT_ID, opnum, stub: new Uint8Array(0) });
    let pdu = await this.#exchange(fragments(PduType.REQUEST, callId, stub, this.#maxTransmit, head));
    const parts: Uint8Array[] = [];
    let length = 0;
    for (;;) {
      if (pdu.header.type === PduType.FAULT) return bodyOf(pdu, Fault).status;
      this.#expect(pdu, PduType.RESPONSE);
      const first = (pdu.header.flags & PduFlag.FIRST) !== 0;
      if (first !== (parts.length === 0)) throw this.#wrong(pdu, 'flags', 'a fragment out of order', 3);
      const part = bodyOf(pdu, Response).stub;
      parts.push(part);
      length += part.length;
      if (length > MOST_ANSWER) throw this.#wrong(pdu, 'stub', `an answer of more than ${MOST_ANSWER} octets`);
      if (parts.length > MOST_FRAGMENTS) throw this.#wrong(pdu, 'stub', `an answer in more than ${MOST_FRAGMENTS} fragments`);
      if (pdu.header.flags & PduFlag.LAST) return parts.length === 1 ? part : concat(...parts);
      if (part.length === 0) throw this.#wrong(pdu, 'stub', 'an empty fragment that is not the last');
      pdu = await this.#nextPdu();
    }
  }

  /** exchange sends all fragments, the last with a transaction that brings the first octets of the answer back. */
  async #exchange(parts: Uint8Array[]): Promise<Pdu> {
    for (const part of parts.slice(0, -1)) await this.#pipe.write(part);
    this.#stream.push(await this.#pipe.transact(parts.at(-1)!, this.#readSize));
    return this.#nextPdu();
  }

  async #nextPdu(): Promise<Pdu> {
    for (;;) {
      const pdu = this.#stream.next();
      if (pdu) return this.#checked(pdu);
      const octets = await this.#pipe.read(this.#readSize);
      if (octets.length === 0) throw raise('PP_RPC_FAILED', { operation: `a call of ${this.interface.name}` });
      this.#stream.push(octets);
    }
  }

  #checked(pdu: Pdu): Pdu {
    const { header } = pdu;
    if (header.callId !== this.#callId)
      throw this.#wrong(pdu, 'callId', `call ${header.callId} answered, ${this.#callId} asked`, 12);
    if (header.authLength !== 0) throw this.#wrong(pdu, 'authLength', 'an authentication trailer nobody asked for', 10);
    // A fragment longer than agreed is let be: Samba goes 28 octets beyond what a client announces, and 65535 is a bound as well.
    return pdu;
  }

  #expect(pdu: Pdu, type: number): void {
    if (pdu.header.type !== type) throw this.#wrong(pdu, 'type', `PDU type ${pdu.header.type} where ${type} must come`, 2);
  }

  #wrong(pdu: Pdu, field: string, why: string, at = HEADER_SIZE): Error {
    const r = new Reader(pdu.octets, `answer of ${this.interface.name}`);
    r.field = field;
    return r.fail(why, at);
  }
}

/** openRpc binds to an interface over a pipe that is already open; if the bind fails the pipe is closed. */
export async function openRpc(pipe: RpcPipe, wanted: RpcInterface, options: RpcOptions = {}): Promise<RpcClient> {
  const client = new RpcClient(pipe, wanted, options);
  try {
    await client.bind();
  } catch (error) {
    await pipe.close().catch(() => undefined);
    throw error;
  }
  return client;
}
