export { array, buffer, byteArray, countedBuffer, countedString, unicodeString, wstr } from './arrays.ts';
export {
  contextHandle,
  fileTime,
  i32,
  ndr,
  octets,
  record,
  u16,
  u32,
  u8,
  union,
  unique,
  type Message,
  type Ndr,
  type ValueIn,
} from './codec.ts';
