import type { Bytes, Struct } from '#wire/bytes';
import {
  COMMAND,
  encodeMessage,
  encodeWrite,
  WriteRequest,
  type Encoded,
  type Header,
  type WriteFields,
} from './messages/index.ts';

/** Call is one request: what to send, and what a person would call it ("opening ADMIN$"). */
export interface Call<T> {
  command: number;
  body: Struct<T>;
  value: T;
  doing: string;
  treeId?: number;
  /** payload is the larger of what is sent and what may come back, which is what credits are charged for. */
  payload?: number;
  /** encode writes the message where that is not simply `value` as `body`. */
  encode?: (head: Header, reserve: number) => Encoded;
  timeoutMs?: number;
}

/** Link is one request of a chain, its body not written yet. */
export interface Link {
  command: number;
  doing: string;
  payload: number;
  treeId: number;
  /** encode writes the whole message behind the header that it is given. */
  encode(head: Header): Encoded;
}

/** linkOf makes a link of a call. */
export function linkOf<T>(call: Call<T>): Link {
  const { command, doing, payload = 0, treeId = 0 } = call;
  return { command, doing, payload, treeId, encode: (head) => encodeCall(call, head, 0) };
}

/** encodeCall writes the message of a call, with `reserve` free octets in front of it. */
export function encodeCall<T>(call: Call<T>, head: Header, reserve: number): Encoded {
  return call.encode ? call.encode(head, reserve) : { octets: encodeMessage(head, call.body, call.value, reserve, 256) };
}

/** So few octets are copied sooner than they are sent as a part of their own. */
const SHORT = 4096;

/** writing is what a WRITE of `data` has beside its place and name; long data is not copied. */
export function writing(fields: WriteFields, data: Bytes) {
  const value = { ...fields, data };
  const common = { command: COMMAND.WRITE, body: WriteRequest, value, payload: data.length };
  if (data.length <= SHORT) return common;
  return { ...common, encode: (head: Header, reserve: number) => encodeWrite(head, fields, data, reserve) };
}
