import { fromUtf16 } from '#wire/bytes';

/** RegistryType is the type of a registry value ([MS-RRP] 3.1.1.5). */
export const RegistryType = {
  NONE: 0,
  SZ: 1,
  EXPAND_SZ: 2,
  BINARY: 3,
  DWORD: 4,
  DWORD_BIG_ENDIAN: 5,
  MULTI_SZ: 7,
  QWORD: 11,
} as const;

/** RegistryValue is a value as it stands in the registry. */
export interface RegistryValue {
  type: number;
  data: Uint8Array;
}

/** textOf is the text of a value, or undefined when it is none; what follows the first NUL does not belong to it. */
export function textOf(value: RegistryValue): string | undefined {
  if (value.type !== RegistryType.SZ && value.type !== RegistryType.EXPAND_SZ) return undefined;
  return fromUtf16(value.data).split('\0', 1)[0];
}

/** numberOf is the number of a value, or undefined when it is none. */
export function numberOf(value: RegistryValue): number | undefined {
  if (value.type !== RegistryType.DWORD || value.data.length !== 4) return undefined;
  return new DataView(value.data.buffer, value.data.byteOffset, 4).getUint32(0, true);
}
