import { STATUS, WIN32, WIN32_OF_STATUS } from './codes.generated.ts';

function inverted(table: Record<string, number>): Map<number, string> {
  return new Map(Object.entries(table).map(([name, code]) => [code, name]));
}

const statuses = inverted(STATUS);
const win32s = inverted(WIN32);

/** The HRESULT facility whose low half is a Win32 code ([MS-ERREF] 2.1): 0x8007xxxx. */
const FACILITY_WIN32 = 0x8007;

/** HRESULTs outside that facility that administrators of push meet. */
const HRESULTS = new Map([
  [0x80004005, 'E_FAIL'],
  [0x80041003, 'WBEM_E_ACCESS_DENIED'],
  [0x87d00215, 'CCM_E_ITEMNOTFOUND'],
]);

const hex = (code: number) => `0x${(code >>> 0).toString(16).toUpperCase().padStart(8, '0')}`;
const prefixed = (name: string, prefix: string) => (/^(RPC|EPT)_/.test(name) ? name : prefix + name);

/** statusName is how [MS-ERREF] calls an NTSTATUS, or its hexadecimal value when the table does not know it. */
export function statusName(code: number): string {
  const name = statuses.get(code >>> 0);
  return name === undefined ? hex(code) : prefixed(name, 'STATUS_');
}

/** win32OfStatus is the Win32 code that Windows itself shows for an NTSTATUS, or undefined where there is none. */
export function win32OfStatus(code: number): number | undefined {
  const status = code >>> 0;
  // FACILITY_NTWIN32 (0xC007xxxx) carries the Win32 code in its low half ([MS-ERREF] 2.3).
  if (status >>> 16 === 0xc007) return status & 0xffff;
  const name = statuses.get(status);
  return name === undefined ? undefined : WIN32_OF_STATUS[name as keyof typeof STATUS];
}

/** win32Name is how the headers of Windows call a Win32 code or an HRESULT that wraps one, or its number when the table does not know it. */
export function win32Name(code: number): string {
  const value = code >>> 0;
  const plain = value >>> 16 === FACILITY_WIN32 ? value & 0xffff : value;
  const name = win32s.get(plain);
  if (name !== undefined) return prefixed(name, 'ERROR_');
  return HRESULTS.get(value) ?? (value > 0xffff ? hex(value) : `error ${value}`);
}
