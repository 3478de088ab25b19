import type { Identity } from '#lab/smb';
import type { Message, Operation, RpcInterface } from '#wire/rpc';
import type { Handles } from './handles.ts';
import { win32Of } from './refusal.ts';

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
  /** refuse is the answer that carries nothing but a status. */
  refuse(status: number): Uint8Array;
}

/** Offer is an interface with the operations that this server has. */
export interface Offer {
  interface: RpcInterface;
  handlers: Map<number, Handler>;
}

/** serve binds an operation to its work; what the work refuses with a Win32 code becomes the status of an otherwise empty answer. */
export function serve<Q, A extends { status: number }>(
  operation: Operation<Q, A>,
  work: (request: Q, call: Call) => A | Promise<A>,
): Handler {
  const response: Message<A> = operation.response;
  const refuse = (status: number) => response.encode({ ...response.empty(), status });
  return {
    name: operation.name,
    opnum: operation.opnum,
    refuse,
    async handle(stub, call) {
      const request = operation.request.decode(stub);
      try {
        return response.encode(await work(request, call));
      } catch (error) {
        const status = win32Of(error);
        if (status === undefined) throw error;
        return refuse(status);
      }
    },
  };
}

/** offer collects the handlers of an interface. */
export function offer(offered: RpcInterface, handlers: Handler[]): Offer {
  return { interface: offered, handlers: new Map(handlers.map((handler) => [handler.opnum, handler])) };
}
