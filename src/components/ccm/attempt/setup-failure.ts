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
function plainExit(exit: number): number {
  return exit >>> 16 === 0x8007 ? exit & 0xffff : exit | 0;
}

/** ERROR_SERVICE_SPECIFIC_ERROR: the service gave a code of its own. */
const SERVICE_SPECIFIC = 1066;
/** ERROR_SERVICE_NEVER_STARTED: no attempt to start it has been made since the last boot. */
const NEVER_STARTED = 1077;

/** The return codes of ccmsetup (facts D2); in a service of that name they are its own codes. 7 is no failure: see `setupEnd`. */
const OWN_RESTART = 7;
const ownRows = new Map<number, Code>([
  [6, 'PP_PUSH_SETUP_FAILED'],
  [8, 'PP_PUSH_SETUP_BUSY'],
  [9, 'PP_PUSH_SETUP_UNFIT'],
  [10, 'PP_PUSH_SETUP_HASH'],
]);

/** SetupEnd is how a bootstrap ended: well, well but for a restart of the machine, not at all yet, or with this error. */
export type SetupEnd = { kind: 'done' | 'restart' | 'not-started' } | { kind: 'failed'; error: PushpointError };

/** isCcmsetup tells whether a bootstrap is ours, or the one that ours is named after: such a one has the parameters and codes of facts D2. */
export function isCcmsetup(bootstrap: { file: string }): boolean {
  return /^ccmsetup\.exe$/i.test(bootstrap.file);
}

/** setupEnd judges the codes with which the service of a bootstrap stopped. */
export function setupEnd(
  machine: string,
  { win32ExitCode, serviceExitCode }: { win32ExitCode: number; serviceExitCode: number },
  bootstrap: { file: string },
): SetupEnd {
  if (win32ExitCode === NEVER_STARTED) return { kind: 'not-started' };
  const isOwn = win32ExitCode === SERVICE_SPECIFIC;
  const exit = isOwn ? serviceExitCode : win32ExitCode;
  if (isOwn && isCcmsetup(bootstrap)) return ownEnd(machine, exit);
  if (exit === 0) return { kind: 'done' };
  return RESTART.has(plainExit(exit)) ? { kind: 'restart' } : { kind: 'failed', error: setupFailure(machine, exit) };
}

/** ownEnd judges a return code of ccmsetup, as its service or one of its state messages told it; `detail` is what else it said. */
export function ownEnd(machine: string, exit: number, detail?: string): SetupEnd {
  if (exit === 0) return { kind: 'done' };
  if (exit === OWN_RESTART || RESTART.has(plainExit(exit))) return { kind: 'restart' };
  const code = ownRows.get(exit);
  if (code === undefined) return { kind: 'failed', error: setupFailure(machine, exit, detail) };
  return { kind: 'failed', error: raise(code, { machine, exit: String(exit) }, detail === undefined ? {} : { detail }) };
}

function shown(exit: number): string {
  return exit >>> 16 === 0 ? String(exit) : `0x${(exit >>> 0).toString(16).toUpperCase()}`;
}

/** setupFailure is the error for a bootstrap that ended with a code of Windows; `detail` is what else it said. */
function setupFailure(machine: string, exit: number, detail?: string): PushpointError {
  const win32 = plainExit(exit);
  const code = rows.get(win32) ?? causeOf(win32) ?? 'PP_PUSH_SETUP_FAILED';
  const params = { machine, exit: shown(exit), host: machine, doing: `the bootstrap ended with code ${shown(exit)}` };
  return raise(code, params, { win32, detail: [win32Name(exit), detail].filter(Boolean).join(': ') });
}

/** isSetupFailure tells whether an error says that the bootstrap itself gave up. */
export function isSetupFailure(error: PushpointError): boolean {
  return error.params['exit'] !== undefined;
}
