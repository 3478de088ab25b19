import { constant, countOf, repeat, reserved, rest, struct, u16, u32, u8, type Codec, type Of } from '#wire/bytes';
import { uuid } from './uuid.ts';

/** PduType names what a PDU is ([C706] 12.6.4.1, [MS-RPCE] 2.2.2). */
export const PduType = {
  REQUEST: 0,
  RESPONSE: 2,
  FAULT: 3,
  BIND: 11,
  BIND_ACK: 12,
  BIND_NAK: 13,
  ALTER_CONTEXT: 14,
  ALTER_CONTEXT_RESPONSE: 15,
} as const;

/** PduFlag holds the bits of pfc_flags ([C706] 12.6.3.1). */
export const PduFlag = { FIRST: 0x01, LAST: 0x02, DID_NOT_EXECUTE: 0x20, OBJECT_UUID: 0x80 } as const;

/** HEADER_SIZE is the length of the common header, REQUEST_OVERHEAD what stands before the stub of a request or response. */
export const HEADER_SIZE = 16;
export const REQUEST_OVERHEAD = 24;

/** [C706] 12.6.3.1 Common header; data representation 0x00000010 = little-endian, ASCII, IEEE. */
export const PduHeader = struct('RPC header', {
  version: constant(u8, 5),
  minorVersion: u8,
  type: u8,
  flags: u8,
  dataRepresentation: constant(u32, 0x00000010),
  fragmentLength: u16,
  authLength: u16,
  callId: u32,
});
export type PduHeader = Of<typeof PduHeader>;

/** [C706] 12.6.3.1 p_syntax_id_t. The version's major half stands in the low 16 bits. */
const syntax = struct('RPC syntax', { uuid, version: u16, minorVersion: u16 });
export type Syntax = Of<typeof syntax>;

/** [C706] 12.6.3.1 p_cont_elem_t */
const ContextElement = struct('RPC presentation context', {
  contextId: u16,
  transferCount: countOf('transfers', u8),
  reserved: reserved(1),
  abstract: syntax,
  transfers: repeat(syntax, 16),
});

/** [C706] 12.6.4.3 bind, after the common header; alter_context has the same form (12.6.4.1). */
export const Bind = struct('RPC bind', {
  maxTransmit: u16,
  maxReceive: u16,
  associationGroup: u32,
  contextCount: countOf('contexts', u8),
  reserved: reserved(3),
  contexts: repeat(ContextElement, 32),
});
export type Bind = Of<typeof Bind>;

/** [C706] 12.6.3.1 port_any_t: counted text with its NUL, then padding to four octets from the start of the PDU. */
const secondaryAddress: Codec<string> = {
  read(r) {
    const text = new TextDecoder('latin1').decode(r.bytes(r.u16()));
    r.align(4);
    return text.replace(/\0+$/, '');
  },
  write(w, text) {
    const octets = text === '' ? new Uint8Array(0) : Uint8Array.from(`${text}\0`, (c) => c.charCodeAt(0));
    w.u16(octets.length).bytes(octets).align(4);
  },
};

/** BindResult says what became of one presentation context; NEGOTIATE_ACK answers bind-time features ([MS-RPCE] 2.2.2.4). */
export const BindResult = { ACCEPTANCE: 0, USER_REJECTION: 1, PROVIDER_REJECTION: 2, NEGOTIATE_ACK: 3 } as const;
/** RejectReason of a PROVIDER_REJECTION ([C706] 12.6.3.1 p_provider_reason_t). */
export const RejectReason = { NOT_SPECIFIED: 0, ABSTRACT_SYNTAX: 1, TRANSFER_SYNTAXES: 2, LOCAL_LIMIT: 3 } as const;

/** [C706] 12.6.3.1 p_result_t */
const ContextResult = struct('RPC context result', { result: u16, reason: u16, transfer: syntax });
export type ContextResult = Of<typeof ContextResult>;

/** [C706] 12.6.4.4 bind_ack, after the common header; alter_context_resp has the same form. */
export const BindAck = struct('RPC bind_ack', {
  maxTransmit: u16,
  maxReceive: u16,
  associationGroup: u32,
  secondaryAddress,
  resultCount: countOf('results', u8),
  reserved: reserved(3),
  results: repeat(ContextResult, 32),
});

/** NakReason of a bind_nak ([C706] 12.6.3.1, [MS-RPCE] 2.2.2.5). */
export const NakReason = { NOT_SPECIFIED: 0, LOCAL_LIMIT: 2, PROTOCOL_VERSION: 4, AUTHENTICATION_TYPE: 8 } as const;

/** [C706] 12.6.4.5 bind_nak, after the common header; the list of versions that follows is not looked at. */
export const BindNak = struct('RPC bind_nak', { reason: u16, versions: rest });

/** [C706] 12.6.4.9 request, after the common header, without the object UUID that only PduFlag.OBJECT_UUID brings. */
export const Request = struct('RPC request', { allocationHint: u32, contextId: u16, opnum: u16, stub: rest });

/** [C706] 12.6.4.10 response, after the common header. */
export const Response = struct('RPC response', {
  allocationHint: u32,
  contextId: u16,
  cancelCount: u8,
  reserved: reserved(1),
  stub: rest,
});

/** [C706] 12.6.4.7 fault, after the common header; some servers leave out what comes after the status. */
export const Fault = struct('RPC fault', {
  allocationHint: u32,
  contextId: u16,
  cancelCount: u8,
  reserved: reserved(1),
  status: u32,
  tail: rest,
});

/** NDR is the only transfer syntax spoken here ([C706] appendix I). */
export const NDR: Syntax = { uuid: '8a885d04-1ceb-11c9-9fe8-08002b104860', version: 2, minorVersion: 0 };
