import { concat, type Bytes } from '#wire/bytes';
import { FLAG, header, PREFIX, type Header } from '#wire/smb';
import type { Answer } from './answer.ts';
import type { Session } from './session.ts';

const NEXT_AT = 20;

/** Ready is one response with what is needed to protect it. */
export interface Ready {
  head: Header;
  answer: Answer;
  /** session whose keys sign this response; undefined leaves it unsigned. */
  signer: Session | undefined;
}

/** responseHeader answers to a request's header, [MS-SMB2] 3.3.4.1. */
export function responseHeader(to: Header, status: number, credits: number): Header {
  return header({
    command: to.command,
    status: status >>> 0,
    creditCharge: to.creditCharge,
    credits,
    flags: FLAG.SERVER_TO_REDIR | (to.flags & FLAG.RELATED_OPERATIONS),
    messageId: to.messageId,
    processId: to.processId,
    treeId: to.treeId,
    sessionId: to.sessionId,
  });
}

function padded(octets: Bytes): Bytes {
  const whole = concat(octets, new Uint8Array((8 - (octets.length % 8)) % 8));
  new DataView(whole.buffer).setUint32(NEXT_AT, whole.length, true);
  return whole;
}

/**
 * frameOf writes responses into one frame with PREFIX free octets in front: all but the last padded, each signed with its padding and
 * NextCommand, or the whole encrypted.
 */
export function frameOf(list: Ready[], sealer: Session | undefined): Bytes {
  const messages = list.map(({ head, answer: said, signer }, index) => {
    const plain = said.encode(head);
    const octets = index < list.length - 1 ? padded(plain) : plain;
    if (!sealer) signer?.sign(octets);
    return octets;
  });
  if (sealer) return sealer.seal(concat(...messages), PREFIX);
  return concat(new Uint8Array(PREFIX), ...messages);
}
