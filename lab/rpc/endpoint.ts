import { isCode } from '#base/errors';
import type { Identity } from '#lab/smb';
import { concat } from '#wire/bytes';
import { pdu } from '#wire/rpc';
import { FAULT } from '#wire/status';
import { Faulted, Dropped, type Interference } from './interference.ts';
import type { Handles } from './handles.ts';
import type { Offer } from './offer.ts';

/** What Windows announces on named pipes. */
const MAX_FRAGMENT = 4280;
/** RPC_X_BAD_STUB_DATA, which Windows sends as the status of a fault. */
const BAD_STUB_DATA = 1783;
/** Bind-time feature negotiation ([MS-RPCE] 3.3.1.5.3): the first half of the UUID is fixed, the second holds the wanted bits. */
const FEATURE_NEGOTIATION = /^6cb71c2c-9812-4540-/;
/** The most octets of one request put together. */
const MOST_REQUEST = 8 * 1024 * 1024;

/** EndpointOptions say who talks to which interfaces. */
export interface EndpointOptions {
  offers: readonly Offer[];
  identity: Identity;
  handles: Handles;
  interference: Interference;
  secondaryAddress: string;
  maxFragment?: number;
  associationGroup: number;
  /** broke is told of a defect of the lab itself. */
  broke: (operation: string, error: unknown) => void;
}

/** RpcEndpoint is the server's end of one pipe: it takes PDUs in pieces of any size and gives the PDUs that answer. */
export class RpcEndpoint {
  readonly #options: EndpointOptions;
  readonly #stream = new pdu.PduStream('request of a client');
  readonly #contexts = new Map<number, Offer>();
  readonly #maxFragment: number;
  #clientMax: number;
  #request: { callId: number; contextId: number; opnum: number; parts: Uint8Array[]; size: number } | undefined;
  #closed = false;

  constructor(options: EndpointOptions) {
    this.#options = options;
    this.#maxFragment = options.maxFragment ?? MAX_FRAGMENT;
    this.#clientMax = this.#maxFragment;
  }

  /** take gets octets of the client and gives the answers to what they complete; it rejects when the pipe is to be broken. */
  async take(octets: Uint8Array): Promise<Uint8Array[]> {
    this.#stream.push(octets);
    const answers: Uint8Array[] = [];
    for (let next = this.#stream.next(); next; next = this.#stream.next()) answers.push(...(await this.#pdu(next)));
    return answers;
  }

  /** close runs down what the client had open. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.handles.runDown();
  }

  async #pdu(one: pdu.Pdu): Promise<Uint8Array[]> {
    switch (one.header.type) {
      case pdu.PduType.BIND:
      case pdu.PduType.ALTER_CONTEXT:
        return [this.#bind(one)];
      case pdu.PduType.REQUEST:
        return this.#gather(one);
      default:
        return [this.#fault(one.header.callId, 0, FAULT.proto_error)];
    }
  }

  #bind(one: pdu.Pdu): Uint8Array {
    const { callId, authLength, type } = one.header;
    // Nobody is asked to authenticate again inside a pipe whose session did ([MS-RPCE] 2.2.2.5).
    if (authLength > 0)
      return pdu.encodePdu(
        pdu.PduType.BIND_NAK,
        callId,
        pdu.BindNak.encode({ reason: pdu.NakReason.AUTHENTICATION_TYPE, versions: new Uint8Array([1, 5, 0, 0]) }),
      );
    const bind = pdu.bodyOf(one, pdu.Bind);
    if (type === pdu.PduType.BIND) this.#clientMax = Math.max(bind.maxReceive, 64);
    const none = { uuid: '00000000-0000-0000-0000-000000000000', version: 0, minorVersion: 0 };
    const results = bind.contexts.map((context) => {
      // No feature is taken up: the bits that go back are zero.
      if (context.transfers.some((t) => FEATURE_NEGOTIATION.test(t.uuid)))
        return { result: pdu.BindResult.NEGOTIATE_ACK, reason: 0, transfer: none };
      const found = this.#options.offers.find(
        (o) => o.interface.uuid === context.abstract.uuid && o.interface.version === context.abstract.version,
      );
      if (!found) return { result: pdu.BindResult.PROVIDER_REJECTION, reason: pdu.RejectReason.ABSTRACT_SYNTAX, transfer: none };
      if (!context.transfers.some((t) => t.uuid === pdu.NDR.uuid))
        return { result: pdu.BindResult.PROVIDER_REJECTION, reason: pdu.RejectReason.TRANSFER_SYNTAXES, transfer: none };
      this.#contexts.set(context.contextId, found);
      return { result: pdu.BindResult.ACCEPTANCE, reason: 0, transfer: pdu.NDR };
    });
    const body = {
      maxTransmit: Math.min(this.#clientMax, this.#maxFragment),
      maxReceive: this.#maxFragment,
      associationGroup: bind.associationGroup || this.#options.associationGroup,
      secondaryAddress: type === pdu.PduType.BIND ? this.#options.secondaryAddress : '',
      results,
    };
    const answer = type === pdu.PduType.BIND ? pdu.PduType.BIND_ACK : pdu.PduType.ALTER_CONTEXT_RESPONSE;
    return pdu.encodePdu(answer, callId, pdu.BindAck.encode(body));
  }

  async #gather(one: pdu.Pdu): Promise<Uint8Array[]> {
    const { callId, flags, authLength } = one.header;
    if (authLength > 0) return [this.#fault(callId, 0, FAULT.proto_error)];
    const request = pdu.bodyOf(one, pdu.Request);
    const stub = flags & pdu.PduFlag.OBJECT_UUID ? request.stub.subarray(16) : request.stub;
    if (flags & pdu.PduFlag.FIRST)
      this.#request = { callId, contextId: request.contextId, opnum: request.opnum, parts: [], size: 0 };
    const gathering = this.#request;
    if (!gathering || gathering.callId !== callId) return [this.#fault(callId, request.contextId, FAULT.proto_error)];
    gathering.parts.push(stub);
    gathering.size += stub.length;
    if (gathering.size > MOST_REQUEST) throw new Error('a request without end');
    if (!(flags & pdu.PduFlag.LAST)) return [];
    this.#request = undefined;
    return this.#call(callId, gathering.contextId, gathering.opnum, concat(...gathering.parts));
  }

  async #call(callId: number, contextId: number, opnum: number, stub: Uint8Array): Promise<Uint8Array[]> {
    const offered = this.#contexts.get(contextId);
    if (!offered) return [this.#fault(callId, contextId, FAULT.unk_if)];
    const handler = offered.handlers.get(opnum);
    if (!handler) return [this.#fault(callId, contextId, FAULT.op_rng_error)];
    const { identity, handles, interference } = this.#options;
    try {
      const work = () => handler.handle(stub, { identity, handles });
      const answer = await interference.around(offered.interface.name, handler, work);
      return pdu.fragments(pdu.PduType.RESPONSE, callId, answer, Math.min(this.#clientMax, this.#maxFragment), (hint) =>
        pdu.Response.encode({ allocationHint: hint, contextId, cancelCount: 0, stub: new Uint8Array(0) }),
      );
    } catch (error) {
      if (error instanceof Dropped) throw error;
      if (error instanceof Faulted) return [this.#fault(callId, contextId, error.status)];
      // What does not decode is answered as Windows' marshalling does.
      if (isCode(error, 'PP_WIRE_MALFORMED')) return [this.#fault(callId, contextId, BAD_STUB_DATA)];
      this.#options.broke(handler.name, error);
      return [this.#fault(callId, contextId, FAULT.fault_unspec)];
    }
  }

  #fault(callId: number, contextId: number, status: number): Uint8Array {
    const body = pdu.Fault.encode({ allocationHint: 32, contextId, cancelCount: 0, status, tail: new Uint8Array(4) });
    return pdu.encodePdu(pdu.PduType.FAULT, callId, body, pdu.PduFlag.FIRST | pdu.PduFlag.LAST | pdu.PduFlag.DID_NOT_EXECUTE);
  }
}
