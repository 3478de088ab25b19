import type { Message } from './ndr/index.ts';

/** Operation is one opnum with both of its directions; client and server use the same. */
export interface Operation<Q, A> {
  readonly opnum: number;
  readonly name: string;
  readonly request: Message<Q>;
  readonly response: Message<A>;
}

/** RpcInterface is what a client binds to and a server offers. */
export interface RpcInterface {
  readonly name: string;
  readonly uuid: string;
  readonly version: number;
  readonly minorVersion: number;
  /** pipe is the name below IPC$ by which the interface is reached. */
  readonly pipe: string;
}

/** operation declares one opnum of an interface. */
export function operation<Q, A>(opnum: number, name: string, request: Message<Q>, response: Message<A>): Operation<Q, A> {
  return { opnum, name, request, response };
}
