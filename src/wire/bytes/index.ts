export { Reader } from './reader.ts';
export { Writer } from './writer.ts';
export {
  bytes,
  constant,
  countOf,
  lengthOf,
  located,
  offsetOf,
  repeat,
  reserved,
  rest,
  struct,
  u16,
  u32,
  u64,
  u8,
  utf16Rest,
  type Codec,
  type Of,
  type Struct,
} from './struct.ts';
export { bytesEqual, concat, fromHex, fromUtf16, toHex, toUtf16, type Bytes } from './octets.ts';
