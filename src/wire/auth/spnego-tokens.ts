import { bytesEqual, concat, fromHex, Reader, type Bytes } from '#wire/bytes';
import { der, element, peekTag, TAG } from './der.ts';

/** OID holds the contents octets of the object identifiers of SPNEGO and of the mechanisms it carries ([MS-SPNG] 1.9). */
export const OID = {
  /** 1.3.6.1.5.5.2 */
  spnego: fromHex('2b0601050502'),
  /** 1.3.6.1.4.1.311.2.2.10 */
  ntlm: fromHex('2b06010401823702020a'),
} as const;

/** NegState of [RFC 4178] 4.2.2. */
export const NEG_STATE = { acceptCompleted: 0, acceptIncomplete: 1, reject: 2, requestMic: 3 } as const;

/** NegTokenInit of [RFC 4178] 4.2.1; a server's hint ([MS-SPNG] 2.2.1) is one without a token. */
export interface InitToken {
  kind: 'init';
  mechanisms: Bytes[];
  /** mechList is the DER of `SEQUENCE OF OID` as it stood on the wire: what the mechListMIC is computed over. */
  mechList: Bytes;
  token: Bytes | undefined;
}

/** NegTokenResp of [RFC 4178] 4.2.2; every part of it may be absent. */
export interface ResponseToken {
  kind: 'response';
  state: number | undefined;
  mechanism: Bytes | undefined;
  token: Bytes | undefined;
  mic: Bytes | undefined;
}

/** No list of mechanisms is longer in the field: Kerberos twice, NEGOEX, NTLM. */
const MOST_MECHANISMS = 16;

const own = (part: Reader): Bytes => new Uint8Array(part.rest());

/** mechListOf is the DER of the list of mechanisms, without the [0] around it. */
export function mechListOf(mechanisms: Uint8Array[]): Bytes {
  return der(TAG.sequence, ...mechanisms.map((oid) => der(TAG.oid, oid)));
}

/** encodeInit writes the first token of a client. */
export function encodeInit(mechanisms: Uint8Array[], token: Uint8Array): Bytes {
  const body = der(TAG.sequence, der(TAG.context(0), mechListOf(mechanisms)), der(TAG.context(2), der(TAG.octetString, token)));
  return der(TAG.application0, der(TAG.oid, OID.spnego), der(TAG.context(0), body));
}

/** encodeHint writes the token that a server sends before the client has said anything, in its NEGOTIATE response ([MS-SPNG] 2.2.1). */
export function encodeHint(mechanisms: Uint8Array[]): Bytes {
  const text = new TextEncoder().encode('not_defined_in_RFC4178@please_ignore');
  const hints = der(TAG.sequence, der(TAG.context(0), der(TAG.generalString, text)));
  const body = der(TAG.sequence, der(TAG.context(0), mechListOf(mechanisms)), der(TAG.context(3), hints));
  return der(TAG.application0, der(TAG.oid, OID.spnego), der(TAG.context(0), body));
}

/** encodeResponse writes a NegTokenResp with the parts that are given. */
export function encodeResponse(parts: Partial<Omit<ResponseToken, 'kind'>>): Bytes {
  const fields: Bytes[] = [];
  if (parts.state !== undefined) fields.push(der(TAG.context(0), der(TAG.enumerated, Uint8Array.of(parts.state))));
  if (parts.mechanism) fields.push(der(TAG.context(1), der(TAG.oid, parts.mechanism)));
  if (parts.token) fields.push(der(TAG.context(2), der(TAG.octetString, parts.token)));
  if (parts.mic) fields.push(der(TAG.context(3), der(TAG.octetString, parts.mic)));
  return der(TAG.context(1), der(TAG.sequence, concat(...fields)));
}

function readInit(outer: Reader): InitToken {
  const oid = element(outer, TAG.oid, 'thisMech');
  if (!bytesEqual(oid.rest(), OID.spnego)) throw oid.fail('not the object identifier of SPNEGO');
  const body = element(element(outer, TAG.context(0), 'negTokenInit'), TAG.sequence, 'negTokenInit');
  const types = element(body, TAG.context(0), 'mechTypes');
  const mechList = new Uint8Array(types.octets.subarray(types.at, types.end));
  const list = element(types, TAG.sequence, 'mechTypes');
  const mechanisms: Bytes[] = [];
  while (list.left > 0) {
    if (mechanisms.length === MOST_MECHANISMS) throw list.fail(`more than ${MOST_MECHANISMS} mechanisms`);
    mechanisms.push(own(element(list, TAG.oid, 'mechType')));
  }
  if (peekTag(body) === TAG.context(1)) element(body, TAG.context(1), 'reqFlags');
  const token =
    peekTag(body) === TAG.context(2)
      ? own(element(element(body, TAG.context(2), 'mechToken'), TAG.octetString, 'mechToken'))
      : undefined;
  // What may follow (mechListMIC, or negHints in a server's token) says nothing before a mechanism is agreed on.
  return { kind: 'init', mechanisms, mechList, token };
}

function readResponse(outer: Reader): ResponseToken {
  const body = element(outer, TAG.sequence, 'negTokenResp');
  const optional = (n: number, tag: number, field: string): Bytes | undefined =>
    peekTag(body) === TAG.context(n) ? own(element(element(body, TAG.context(n), field), tag, field)) : undefined;
  const state = optional(0, TAG.enumerated, 'negState');
  if (state && (state.length !== 1 || state[0]! > NEG_STATE.requestMic)) throw body.fail('no state of a negotiation');
  const response: ResponseToken = {
    kind: 'response',
    state: state?.[0],
    mechanism: optional(1, TAG.oid, 'supportedMech'),
    token: optional(2, TAG.octetString, 'responseToken'),
    mic: optional(3, TAG.octetString, 'mechListMIC'),
  };
  if (body.left > 0) throw body.fail(`${body.left} octets that belong to no field`);
  return response;
}

/** decodeToken reads a token of either kind. */
export function decodeToken(octets: Uint8Array): InitToken | ResponseToken {
  const whole = new Reader(octets, 'SPNEGO token');
  const token =
    peekTag(whole) === TAG.application0
      ? readInit(element(whole, TAG.application0, 'InitialContextToken'))
      : readResponse(element(whole, TAG.context(1), 'negTokenResp'));
  if (whole.left > 0) throw whole.fail(`${whole.left} octets behind the token`);
  return token;
}
