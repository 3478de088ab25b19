import { Reader, Writer, type Bytes, type Struct } from '#wire/bytes';
import { Header, HEADER_SIZE } from './header.ts';

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

/** joinCompound chains whole messages into one frame: each but the last is padded to 8 octets and says where the next begins. */
export function joinCompound(messages: Bytes[]): Bytes {
  const w = new Writer(messages.reduce((sum, one) => sum + one.length + 8, 0));
  messages.forEach((octets, index) => {
    const at = w.at;
    w.bytes(octets);
    if (index === messages.length - 1) return;
    w.align(8);
    const next = w.at - at;
    w.patch(at + 20, () => w.u32(next));
  });
  return w.done();
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
