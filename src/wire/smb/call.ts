import type { Bytes, Struct } from '#wire/bytes';
import { encodeMessage, type Header } from './messages/index.ts';

/** Call is one request: what to send, and what a person would call it ("opening ADMIN$"). */
export interface Call<T> {
  command: number;
  body: Struct<T>;
  value: T;
  doing: string;
  treeId?: number;
  /** payload is the larger of what is sent and what may come back, which is what credits are charged for. */
  payload?: number;
  /** room is how many octets of payload are sent, so that they are laid down once. */
  room?: number;
  timeoutMs?: number;
}

/** Link is one request of a chain, its body not written yet. */
export interface Link {
  command: number;
  doing: string;
  payload: number;
  treeId: number;
  /** encode writes the whole message behind the header that it is given. */
  encode(head: Header): Bytes;
}

/** linkOf makes a link of a call. */
export function linkOf<T>(call: Call<T>): Link {
  const { command, doing, payload = 0, treeId = 0, room = 0 } = call;
  return { command, doing, payload, treeId, encode: (head) => encodeMessage(head, call.body, call.value, 0, 256 + room) };
}
