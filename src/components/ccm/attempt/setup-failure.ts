import { raise, type Code, type PushpointError } from '#base/errors';
import { causeOf, win32Name } from '#wire/status';

/** HRESULTs that have no Win32 code in them. */
const E_FAIL = -2147467259;
const CCM_E_ITEMNOTFOUND = -2016411115;
/** The installer succeeded, and the machine is to be restarted, or restarts by itself. */
const RESTART: ReadonlySet<number> = new Set([3010, 1641]);

const rows = new Map<number, Code>([
  [5, 'PP_SETUP_ACCESS_DENIED'],
  [1117, 'PP_SETUP_DISK_ERROR'],
  [1603, 'PP_SETUP_FATAL'],
  [1618, 'PP_SETUP_BUSY'],
  [1622, 'PP_SETUP_LOG'],
  [1722, 'PP_SETUP_RPC'],
  [1825, 'PP_SETUP_SECURITY_PACKAGE'],
  [E_FAIL, 'PP_SETUP_UNSPECIFIED'],
  [CCM_E_ITEMNOTFOUND, 'PP_SETUP_ITEM_NOT_FOUND'],
]);

/** plainExit is an exit code as administrators search for it: the Win32 code in an HRESULT of that kind ([MS-ERREF] 2.1), else the signed number. */
export function plainExit(exit: number): number {
  return exit >>> 16 === 0x8007 ? exit & 0xffff : exit | 0;
}

/** isSuccess tells whether a bootstrap that ended with this code has done its work. */
export function isSuccess(exit: number): boolean {
  return exit === 0 || RESTART.has(plainExit(exit));
}

function shown(exit: number): string {
  return exit >>> 16 === 0 ? String(exit) : `0x${(exit >>> 0).toString(16).toUpperCase()}`;
}

/** setupFailure is the error for a bootstrap that ended with a code; `detail` is what else it said. */
export function setupFailure(machine: string, exit: number, detail?: string): PushpointError {
  const win32 = plainExit(exit);
  const code = rows.get(win32) ?? causeOf(win32) ?? 'PP_PUSH_SETUP_FAILED';
  const params = { machine, exit: shown(exit), host: machine, doing: `the bootstrap ended with code ${shown(exit)}` };
  return raise(code, params, { win32, detail: [win32Name(exit), detail].filter(Boolean).join(': ') });
}

/** isSetupFailure tells whether an error says that the bootstrap itself gave up. */
export function isSetupFailure(error: PushpointError): boolean {
  return error.params['exit'] !== undefined;
}
