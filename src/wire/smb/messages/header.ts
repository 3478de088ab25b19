import { bytes, constant, Reader, struct, u16, u32, u64, Writer, type Of, type Struct } from '#wire/bytes';
import { FLAG } from './constants.ts';

/** HEADER_SIZE is the length of both forms of the header. */
export const HEADER_SIZE = 64;
const PROTOCOL_ID = 0x424d53fe; // 0xFE 'S' 'M' 'B'
const FLAGS_AT = 16;

const sizes = { protocolId: u32, structureSize: u16 };
const start = { creditCharge: u16, status: u32, command: u16, credits: u16, flags: u32, nextCommand: u32, messageId: u64 };
const end = { sessionId: u64, signature: bytes(16) };

const sync = { ...start, processId: u32, treeId: u32, ...end };
const async = { ...start, asyncId: u64, ...end };
const fixed = { protocolId: constant(u32, PROTOCOL_ID), structureSize: constant(u16, HEADER_SIZE) };

/** [MS-SMB2] 2.2.1.2 SMB2 Packet Header — SYNC; in what is read, the first two fields are looked at by themselves. */
const SyncHeader = struct('SMB2 header', { ...sizes, ...sync });
const SyncToWrite = struct('SMB2 header', { ...fixed, ...sync });
/** [MS-SMB2] 2.2.1.1 SMB2 Packet Header — ASYNC */
const AsyncHeader = struct('SMB2 header', { ...sizes, ...async });
const AsyncToWrite = struct('SMB2 header', { ...fixed, ...async });

/** Header is either form: `asyncId` stands if the ASYNC flag does, and then there is no tree id (it reads as 0). */
export type Header = Omit<Of<typeof SyncHeader>, 'protocolId' | 'structureSize'> & { asyncId: bigint };

const blank = new Uint8Array(16);

/** header fills in what is not told: a request or response with no tree, session, signature or chain. */
export function header(given: Partial<Header> & Pick<Header, 'command'>): Header {
  return {
    creditCharge: 0,
    status: 0,
    credits: 0,
    flags: 0,
    nextCommand: 0,
    messageId: 0n,
    processId: 0,
    treeId: 0,
    asyncId: 0n,
    sessionId: 0n,
    signature: blank,
    ...given,
  };
}

function checked<T extends { protocolId: number; structureSize: number }>(r: Reader, at: number, value: T): T {
  if (value.protocolId !== PROTOCOL_ID) throw r.fail('this is not an SMB2 message', at);
  if (value.structureSize !== HEADER_SIZE) throw r.fail(`${value.structureSize} read where 64 must stand`, at + 4);
  return value;
}

function read(r: Reader): Header {
  const at = r.at;
  r.field = 'header';
  r.need(HEADER_SIZE);
  const isAsync = r.octets[at + FLAGS_AT]! & FLAG.ASYNC_COMMAND;
  // Filled up in place: there is one for each message, and a copy costs as much as the reading.
  if (isAsync) return Object.assign(checked(r, at, AsyncHeader.read(r)), { processId: 0, treeId: 0 });
  return Object.assign(checked(r, at, SyncHeader.read(r)), { asyncId: 0n });
}

function write(w: Writer, value: Header): void {
  if (value.flags & FLAG.ASYNC_COMMAND) AsyncToWrite.write(w, value);
  else SyncToWrite.write(w, value);
}

/** Header reads and writes the 64 octets in front of each message, in the form its flags say. */
export const Header: Struct<Header> = {
  name: 'SMB2 header',
  read,
  write,
  decode: (octets, options) => read(new Reader(octets, 'SMB2 header', options)),
  encode(value) {
    const w = new Writer(HEADER_SIZE);
    write(w, value);
    return w.done();
  },
};
