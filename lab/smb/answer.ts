import type { Bytes, Struct } from '#wire/bytes';
import { encodeMessage, ErrorResponse, type Header } from '#wire/smb';
import { statusName } from '#wire/status';

/** Refusal says no with an NTSTATUS; it becomes an ERROR response. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number) {
    super(statusName(status));
    this.name = 'Refusal';
    this.status = status;
  }
}

/** Answer is a response whose header is not known yet: status, and how its octets are written behind a header. */
export interface Answer {
  status: number;
  encode(header: Header): Bytes;
  /** sent runs when the response has been handed to the socket. */
  sent?: () => void;
}

/** answer makes a response of its struct and value. */
export function answer<T>(body: Struct<T>, value: T, status = 0): Answer {
  return { status, encode: (header) => encodeMessage(header, body, value) };
}

/** errorAnswer is the response that only says why not, [MS-SMB2] 2.2.2. */
export function errorAnswer(status: number): Answer {
  return answer(ErrorResponse, { contextCount: 0, data: new Uint8Array(0) }, status);
}
