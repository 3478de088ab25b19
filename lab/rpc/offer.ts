import type { Identity } from '#lab/smb';
import type { Message, Operation, RpcInterface } from '#wire/rpc';
import type { Handles } from './handles.ts';

/** Call is what an operation knows of its caller. */
export interface Call {
  identity: Identity;
  handles: Handles;
}

/** Handler works one opnum: stub in, stub out. */
export interface Handler {
  name: string;
  opnum: number;
  handle(stub: Uint8Array, call: Call): Promise<Uint8Array>;
}

/** Offer is an interface with the operations that this server has. */
export interface Offer {
  interface: RpcInterface;
  handlers: Map<number, Handler>;
}

/** Answer turns what a handler threw into the answer of that operation. */
type Refuse<A> = (error: unknown, empty: A) => A;

/** serve binds an operation to its work; what the work refuses becomes the operation's own status. */
export function serve<Q, A>(
  operation: Operation<Q, A>,
  work: (request: Q, call: Call) => A | Promise<A>,
  refuse: Refuse<A>,
): Handler {
  const response: Message<A> = operation.response;
  return {
    name: operation.name,
    opnum: operation.opnum,
    async handle(stub, call) {
      const request = operation.request.decode(stub);
      try {
        return response.encode(await work(request, call));
      } catch (error) {
        return response.encode(refuse(error, response.empty()));
      }
    },
  };
}

/** offer collects the handlers of an interface. */
export function offer(offered: RpcInterface, handlers: Handler[]): Offer {
  return { interface: offered, handlers: new Map(handlers.map((handler) => [handler.opnum, handler])) };
}
