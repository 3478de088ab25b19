import { concat, Reader, Writer, type Bytes, type Struct } from '#wire/bytes';
import { Header, HEADER_SIZE } from './header.ts';

const NEXT_AT = 20;

/** Message is one header with the octets of its body; offsets in the body count from the header's first octet. */
export interface Message {
  readonly header: Header;
  /** octets is the whole message, header included, as it is signed. */
  readonly octets: Bytes;
}

/**
 * encodeMessage writes a header and its body into one run of octets; `reserve` octets are left free in front of it (the length
 * prefix of the transport), `capacity` spares growing. A body that is shorter than its odd StructureSize says gets the one octet
 * that [MS-SMB2] 2.2 asks for in place of the empty buffer.
 */
export function encodeMessage<T>(head: Header, body: Struct<T>, value: T, reserve = 0, capacity = 512): Bytes {
  const w = new Writer(capacity);
  w.zeros(reserve);
  w.base = reserve;
  Header.write(w, head);
  body.write(w, value);
  const octets = w.done();
  const size = (octets[reserve + HEADER_SIZE] ?? 0) | ((octets[reserve + HEADER_SIZE + 1] ?? 0) << 8);
  const short = HEADER_SIZE + size - (octets.length - reserve);
  return short === 1 ? w.zeros(1).done() : octets;
}

/** decodeBody reads the body of a message as `body`. */
export function decodeBody<T>(message: Message, body: Struct<T>): T {
  return body.decode(message.octets, { at: HEADER_SIZE, base: 0 });
}

/** Encoded is a message to be sent; `tail` are long octets that end it and are not copied behind the others. */
export interface Encoded {
  octets: Bytes;
  tail?: Bytes | undefined;
}

/**
 * joinParts chains whole messages into one frame, given in the parts that it is made of, with `reserve` free octets in front: each but the
 * last is padded to 8 octets and says where the next begins.
 */
export function joinParts(messages: readonly Encoded[], reserve = 0): Bytes[] {
  const parts: Bytes[] = [];
  let w = new Writer(messages.reduce((sum, one) => sum + one.octets.length + 8, reserve)).zeros(reserve);
  messages.forEach(({ octets, tail }, index) => {
    const isLast = index === messages.length - 1;
    const length = octets.length + (tail?.length ?? 0);
    const padding = isLast ? 0 : -length & 7;
    const at = w.at;
    w.bytes(octets);
    if (!isLast) w.patch(at + NEXT_AT, () => w.u32(length + padding));
    if (tail) {
      parts.push(w.done(), tail);
      w = new Writer();
    }
    w.zeros(padding);
  });
  if (w.at > 0) parts.push(w.done());
  return parts;
}

/** joinCompound chains whole messages into one run of octets. */
export function joinCompound(messages: readonly Bytes[]): Bytes {
  return concat(...joinParts(messages.map((octets) => ({ octets }))));
}

/** splitCompound gives the messages of one frame, [MS-SMB2] 2.2.1 NextCommand; padding stays with the message before it, as it is signed with it. */
export function splitCompound(frame: Bytes): Message[] {
  const messages: Message[] = [];
  let at = 0;
  for (;;) {
    const r = new Reader(frame, 'SMB2 frame', { at, base: 0 });
    const header = Header.read(r);
    r.field = 'nextCommand';
    const next = header.nextCommand;
    if (next === 0) {
      messages.push({ header, octets: frame.subarray(at) });
      return messages;
    }
    if (next % 8 || next < HEADER_SIZE || at + next + HEADER_SIZE > frame.length) {
      throw r.fail(`the next message cannot begin ${next} octets further on`, at + 20);
    }
    messages.push({ header, octets: frame.subarray(at, at + next) });
    at += next;
  }
}
