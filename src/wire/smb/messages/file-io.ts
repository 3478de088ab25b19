import {
  constant,
  lengthOf,
  located,
  offsetOf,
  reserved,
  rest,
  struct,
  u16,
  u32,
  u64,
  u8,
  type Bytes,
  type Of,
} from '#wire/bytes';
import { FileId } from './create.ts';
import { HEADER_SIZE, type Header } from './header.ts';
import { encodeMessage, type Encoded } from './message.ts';

/** [MS-SMB2] 2.2.15 SMB2 CLOSE Request */
export const CloseRequest = struct('CLOSE request', {
  structureSize: constant(u16, 24),
  flags: u16,
  reserved: reserved(4),
  fileId: FileId,
});

/** [MS-SMB2] 2.2.16 SMB2 CLOSE Response */
export const CloseResponse = struct('CLOSE response', {
  structureSize: constant(u16, 60),
  flags: u16,
  reserved: reserved(4),
  creationTime: u64,
  lastAccessTime: u64,
  lastWriteTime: u64,
  changeTime: u64,
  allocationSize: u64,
  endOfFile: u64,
  fileAttributes: u32,
});

/** [MS-SMB2] 2.2.17 SMB2 FLUSH Request */
export const FlushRequest = struct('FLUSH request', {
  structureSize: constant(u16, 24),
  reserved1: reserved(2),
  reserved2: reserved(4),
  fileId: FileId,
});

/** [MS-SMB2] 2.2.18 SMB2 FLUSH Response */
export const FlushResponse = struct('FLUSH response', { structureSize: constant(u16, 4), reserved: reserved(2) });

/** [MS-SMB2] 2.2.19 SMB2 READ Request */
export const ReadRequest = struct('READ request', {
  structureSize: constant(u16, 49),
  padding: u8, // where the data should stand in the response
  flags: u8,
  length: u32,
  offset: u64,
  fileId: FileId,
  minimumCount: u32,
  channel: reserved(4),
  remainingBytes: u32,
  channelInfo: reserved(4),
});

/** [MS-SMB2] 2.2.20 SMB2 READ Response */
export const ReadResponse = struct('READ response', {
  structureSize: constant(u16, 17),
  dataOffset: offsetOf('data', u8),
  reserved: reserved(1),
  dataLength: lengthOf('data', u32),
  dataRemaining: u32,
  flags: u32,
  data: located(rest),
});

/** [MS-SMB2] 2.2.21 SMB2 WRITE Request */
export const WriteRequest = struct('WRITE request', {
  structureSize: constant(u16, 49),
  dataOffset: offsetOf('data', u16),
  length: lengthOf('data', u32),
  offset: u64,
  fileId: FileId,
  channel: reserved(4),
  remainingBytes: u32,
  channelInfo: reserved(4),
  flags: u32,
  data: located(rest),
});

/** WriteFields is a WRITE without its data. */
export type WriteFields = Omit<Of<typeof WriteRequest>, 'data'>;

const WRITE_SIZE = 48;
const WRITE_LENGTH_AT = 4;
const nothing = new Uint8Array(0);

/** encodeWrite writes a WRITE up to its data, which is not copied behind it. */
export function encodeWrite(head: Header, fields: WriteFields, data: Bytes, reserve: number): Encoded {
  const end = reserve + HEADER_SIZE + WRITE_SIZE;
  const octets = encodeMessage(head, WriteRequest, { ...fields, data: nothing }, reserve, end + 1).subarray(0, end);
  const at = reserve + HEADER_SIZE + WRITE_LENGTH_AT;
  new DataView(octets.buffer, octets.byteOffset).setUint32(at, data.length, true);
  return { octets, tail: data };
}

/** [MS-SMB2] 2.2.22 SMB2 WRITE Response */
export const WriteResponse = struct('WRITE response', {
  structureSize: constant(u16, 17),
  reserved: reserved(2),
  count: u32,
  remaining: u32,
  channelInfo: reserved(4),
});
