import {
  buffer,
  byteArray,
  contextHandle,
  countedBuffer,
  countedString,
  fileTime,
  ndr,
  record,
  u16,
  u32,
  u8,
  unique,
} from '../ndr/index.ts';
import { operation, type Operation, type RpcInterface } from '../operation.ts';

/** WINREG is the Windows Remote Registry Protocol ([MS-RRP] 1.9). */
export const WINREG: RpcInterface = {
  name: 'winreg',
  uuid: '338cd001-2244-31f1-aaaa-900038001003',
  version: 1,
  minorVersion: 0,
  pipe: 'winreg',
};

const status = u32;

type OpenRoot = Operation<{ serverName: number | null; desiredAccess: number }, { key: Uint8Array; status: number }>;

/** openRoot has one form for all predefined keys; PREGISTRY_SERVER_NAME points to a single character and is not looked at. */
function openRoot(opnum: number, name: string): OpenRoot {
  return operation(
    opnum,
    name,
    ndr(name, { serverName: unique(u16), desiredAccess: u32 }),
    ndr(`${name} answer`, { key: contextHandle, status }),
  );
}

/** [MS-RRP] 3.1.5.1 */
export const openClassesRoot = openRoot(0, 'OpenClassesRoot');
/** [MS-RRP] 3.1.5.2 */
export const openCurrentUser = openRoot(1, 'OpenCurrentUser');
/** [MS-RRP] 3.1.5.3 */
export const openLocalMachine = openRoot(2, 'OpenLocalMachine');
/** [MS-RRP] 3.1.5.5 */
export const openUsers = openRoot(4, 'OpenUsers');

/** [MS-RRP] 3.1.5.6 BaseRegCloseKey */
export const closeKey = operation(
  5,
  'BaseRegCloseKey',
  ndr('BaseRegCloseKey', { key: contextHandle }),
  ndr('BaseRegCloseKey answer', { key: contextHandle, status }),
);

/** [MS-RRP] 2.2.8 RPC_SECURITY_ATTRIBUTES with the RPC_SECURITY_DESCRIPTOR (2.2.7) inside it. */
const securityAttributes = record({
  length: u32,
  descriptor: unique(buffer),
  descriptorSize: u32,
  descriptorLength: u32,
  inheritHandle: u8,
});

/** [MS-RRP] 3.1.5.7 BaseRegCreateKey; the disposition that comes back is 1 = created, 2 = opened. */
export const createKey = operation(
  6,
  'BaseRegCreateKey',
  ndr('BaseRegCreateKey', {
    key: contextHandle,
    subKey: countedString,
    className: countedString,
    options: u32,
    desiredAccess: u32,
    securityAttributes: unique(securityAttributes),
    disposition: unique(u32),
  }),
  ndr('BaseRegCreateKey answer', { result: contextHandle, disposition: unique(u32), status }),
);

/** [MS-RRP] 3.1.5.8 BaseRegDeleteKey */
export const deleteKey = operation(
  7,
  'BaseRegDeleteKey',
  ndr('BaseRegDeleteKey', { key: contextHandle, subKey: countedString }),
  ndr('BaseRegDeleteKey answer', { status }),
);

/** [MS-RRP] 3.1.5.9 BaseRegDeleteValue */
export const deleteValue = operation(
  8,
  'BaseRegDeleteValue',
  ndr('BaseRegDeleteValue', { key: contextHandle, valueName: countedString }),
  ndr('BaseRegDeleteValue answer', { status }),
);

/** [MS-RRP] 3.1.5.10 BaseRegEnumKey; the names carry room one way and text the other. */
export const enumKey = operation(
  9,
  'BaseRegEnumKey',
  ndr('BaseRegEnumKey', {
    key: contextHandle,
    index: u32,
    name: countedBuffer,
    className: unique(countedBuffer),
    lastWriteTime: unique(fileTime),
  }),
  ndr('BaseRegEnumKey answer', {
    name: countedBuffer,
    className: unique(countedBuffer),
    lastWriteTime: unique(fileTime),
    status,
  }),
);

/** [MS-RRP] 3.1.5.11 BaseRegEnumValue */
export const enumValue = operation(
  10,
  'BaseRegEnumValue',
  ndr('BaseRegEnumValue', {
    key: contextHandle,
    index: u32,
    valueName: countedBuffer,
    type: unique(u32),
    data: unique(buffer),
    dataSize: unique(u32),
    dataLength: unique(u32),
  }),
  ndr('BaseRegEnumValue answer', {
    valueName: countedBuffer,
    type: unique(u32),
    data: unique(buffer),
    dataSize: unique(u32),
    dataLength: unique(u32),
    status,
  }),
);

/** [MS-RRP] 3.1.5.15 BaseRegOpenKey */
export const openKey = operation(
  15,
  'BaseRegOpenKey',
  ndr('BaseRegOpenKey', { key: contextHandle, subKey: countedString, options: u32, desiredAccess: u32 }),
  ndr('BaseRegOpenKey answer', { result: contextHandle, status }),
);

/** [MS-RRP] 3.1.5.16 BaseRegQueryInfoKey; the lengths of names are in octets. */
export const queryInfoKey = operation(
  16,
  'BaseRegQueryInfoKey',
  ndr('BaseRegQueryInfoKey', { key: contextHandle, className: countedBuffer }),
  ndr('BaseRegQueryInfoKey answer', {
    className: countedBuffer,
    subKeys: u32,
    maxSubKeyLength: u32,
    maxClassLength: u32,
    values: u32,
    maxValueNameLength: u32,
    maxValueLength: u32,
    securityDescriptorLength: u32,
    lastWriteTime: fileTime,
    status,
  }),
);

/** [MS-RRP] 3.1.5.17 BaseRegQueryValue */
export const queryValue = operation(
  17,
  'BaseRegQueryValue',
  ndr('BaseRegQueryValue', {
    key: contextHandle,
    valueName: countedString,
    type: unique(u32),
    data: unique(buffer),
    dataSize: unique(u32),
    dataLength: unique(u32),
  }),
  ndr('BaseRegQueryValue answer', {
    type: unique(u32),
    data: unique(buffer),
    dataSize: unique(u32),
    dataLength: unique(u32),
    status,
  }),
);

/** [MS-RRP] 3.1.5.22 BaseRegSetValue */
export const setValue = operation(
  22,
  'BaseRegSetValue',
  ndr('BaseRegSetValue', { key: contextHandle, valueName: countedString, type: u32, data: byteArray, dataSize: u32 }),
  ndr('BaseRegSetValue answer', { status }),
);

/** [MS-RRP] 3.1.5.24 BaseRegGetVersion */
export const getVersion = operation(
  26,
  'BaseRegGetVersion',
  ndr('BaseRegGetVersion', { key: contextHandle }),
  ndr('BaseRegGetVersion answer', { version: u32, status }),
);
