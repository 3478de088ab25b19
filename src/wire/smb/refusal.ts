import { isCode, raise, type Code } from '#base/errors';
import { causeOf, STATUS, statusName, WIN32, win32OfStatus } from '#wire/status';

/** What machines and domains say to an account; the rest of logon refusals is PP_LOGON_REFUSED. */
const logon = new Map<number, Code>([
  [STATUS.LOGON_FAILURE, 'PP_LOGON_FAILURE'],
  [STATUS.NO_SUCH_USER, 'PP_LOGON_FAILURE'],
  [STATUS.WRONG_PASSWORD, 'PP_LOGON_FAILURE'],
  [STATUS.ACCOUNT_RESTRICTION, 'PP_LOGON_RESTRICTED'],
  [STATUS.INVALID_LOGON_HOURS, 'PP_LOGON_HOURS'],
  [STATUS.INVALID_WORKSTATION, 'PP_LOGON_WORKSTATION'],
  [STATUS.PASSWORD_EXPIRED, 'PP_LOGON_PASSWORD_EXPIRED'],
  [STATUS.PASSWORD_MUST_CHANGE, 'PP_LOGON_PASSWORD_CHANGE'],
  [STATUS.ACCOUNT_DISABLED, 'PP_LOGON_ACCOUNT_DISABLED'],
  [STATUS.ACCOUNT_EXPIRED, 'PP_LOGON_ACCOUNT_EXPIRED'],
  [STATUS.ACCOUNT_LOCKED_OUT, 'PP_LOGON_ACCOUNT_LOCKED'],
  [STATUS.LOGON_TYPE_NOT_GRANTED, 'PP_LOGON_TYPE'],
  [STATUS.TRUSTED_RELATIONSHIP_FAILURE, 'PP_LOGON_TRUST'],
  [STATUS.TRUSTED_DOMAIN_FAILURE, 'PP_LOGON_TRUST'],
  [STATUS.TRUST_FAILURE, 'PP_LOGON_TRUST'],
  [STATUS.NO_TRUST_SAM_ACCOUNT, 'PP_LOGON_TRUST'],
  [STATUS.NO_TRUST_LSA_SECRET, 'PP_LOGON_TRUST'],
  [STATUS.NO_LOGON_SERVERS, 'PP_LOGON_NO_SERVER'],
  [STATUS.TIME_DIFFERENCE_AT_DC, 'PP_LOGON_CLOCK'],
  [STATUS.NTLM_BLOCKED, 'PP_LOGON_NTLM_BLOCKED'],
  // Machines answer with this, too, where NTLM is denied to them; it says nothing about the password.
  [STATUS.NOT_SUPPORTED, 'PP_LOGON_NTLM_BLOCKED'],
  [STATUS.AUTHENTICATION_FIREWALL_FAILED, 'PP_LOGON_SELECTIVE'],
]);

/** The same by Win32 code, for what comes as 0xC007xxxx or under a rarer NTSTATUS. */
const logonByWin32 = new Map<number, Code>([
  ...[...logon].flatMap(([status, code]) => {
    const win32 = win32OfStatus(status);
    return win32 === undefined ? [] : [[win32, code] as const];
  }),
  [WIN32.ACCESS_DENIED, 'PP_LOGON_DENIED'],
  [WIN32.INVALID_PASSWORD, 'PP_LOGON_FAILURE'],
  [WIN32.WRONG_PASSWORD, 'PP_LOGON_FAILURE'],
  [WIN32.SESSION_CREDENTIAL_CONFLICT, 'PP_LOGON_CONFLICT'],
  [WIN32.DOWNGRADE_DETECTED, 'PP_LOGON_DOWNGRADE'],
  [WIN32.WRONG_TARGET_NAME, 'PP_LOGON_TARGET_NAME'],
]);

/** What machines say to an operation on a share, file or pipe, and to a logon for want of room; the rest is PP_SMB_REFUSED. */
const operation = new Map<number, Code>([
  [STATUS.ACCESS_DENIED, 'PP_SMB_ACCESS_DENIED'],
  [STATUS.CANNOT_DELETE, 'PP_SMB_ACCESS_DENIED'],
  [STATUS.MEDIA_WRITE_PROTECTED, 'PP_SMB_ACCESS_DENIED'],
  [STATUS.SHARING_VIOLATION, 'PP_SMB_SHARING_VIOLATION'],
  [STATUS.FILE_LOCK_CONFLICT, 'PP_SMB_SHARING_VIOLATION'],
  [STATUS.DELETE_PENDING, 'PP_SMB_SHARING_VIOLATION'],
  [STATUS.DISK_FULL, 'PP_SMB_DISK_FULL'],
  [STATUS.QUOTA_EXCEEDED, 'PP_SMB_DISK_FULL'],
  [STATUS.OBJECT_NAME_NOT_FOUND, 'PP_SMB_NO_FILE'],
  [STATUS.NO_SUCH_FILE, 'PP_SMB_NO_FILE'],
  [STATUS.OBJECT_PATH_NOT_FOUND, 'PP_SMB_NO_PATH'],
  [STATUS.NOT_A_DIRECTORY, 'PP_SMB_NO_PATH'],
  [STATUS.OBJECT_NAME_COLLISION, 'PP_SMB_EXISTS'],
  [STATUS.FILE_IS_A_DIRECTORY, 'PP_SMB_EXISTS'],
  [STATUS.DIRECTORY_NOT_EMPTY, 'PP_SMB_EXISTS'],
  [STATUS.PIPE_NOT_AVAILABLE, 'PP_SMB_PIPE_BUSY'],
  [STATUS.PIPE_BUSY, 'PP_SMB_PIPE_BUSY'],
  [STATUS.INSTANCE_NOT_AVAILABLE, 'PP_SMB_PIPE_BUSY'],
  [STATUS.PIPE_BROKEN, 'PP_SMB_PIPE_BROKEN'],
  [STATUS.PIPE_DISCONNECTED, 'PP_SMB_PIPE_BROKEN'],
  [STATUS.PIPE_CLOSING, 'PP_SMB_PIPE_BROKEN'],
  [STATUS.INSUFF_SERVER_RESOURCES, 'PP_SMB_RESOURCES'],
  [STATUS.INSUFFICIENT_RESOURCES, 'PP_SMB_RESOURCES'],
  [STATUS.NO_MEMORY, 'PP_SMB_RESOURCES'],
  [STATUS.REQUEST_NOT_ACCEPTED, 'PP_SMB_RESOURCES'],
  [STATUS.NETWORK_SESSION_EXPIRED, 'PP_SMB_SESSION_ENDED'],
  [STATUS.USER_SESSION_DELETED, 'PP_SMB_SESSION_ENDED'],
  [STATUS.NETWORK_NAME_DELETED, 'PP_SMB_SESSION_ENDED'],
  [STATUS.VIRUS_INFECTED, 'PP_SMB_VIRUS'],
  [STATUS.VIRUS_DELETED, 'PP_SMB_VIRUS'],
]);

const RESOURCES = operation.get(STATUS.INSUFF_SERVER_RESOURCES);

/** And by Win32 code, where a status of the table above has one of its own. */
const operationByWin32 = new Map<number, Code>(
  [...operation].flatMap(([status, code]) => {
    const win32 = win32OfStatus(status);
    return win32 === undefined ? [] : [[win32, code] as const];
  }),
);

function raised(code: Code, status: number, params: Record<string, string>): Error {
  const win32 = win32OfStatus(status);
  const detail = `NTSTATUS ${statusName(status)}`;
  // Many of them are answers that were expected ("no such file"): where in here they came from says nothing, and noting it costs the most.
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return raise(
      code,
      { ...params, status: statusName(status) },
      { ntstatus: status >>> 0, detail, ...(win32 === undefined ? {} : { win32 }) },
    );
  } finally {
    Error.stackTraceLimit = limit;
  }
}

/** logonRefusal is the error for a SESSION_SETUP that ended with `status`. */
export function logonRefusal(status: number, who: { host: string; account: string }): Error {
  const params = { ...who, doing: 'logging on' };
  if (operation.get(status) === RESOURCES) return raised('PP_SMB_RESOURCES', status, params);
  const win32 = win32OfStatus(status);
  return raised(logon.get(status) ?? logonByWin32.get(win32 ?? 0) ?? causeOf(win32) ?? 'PP_LOGON_REFUSED', status, params);
}

/** shareRefusal is the error for a TREE_CONNECT that ended with `status`. */
export function shareRefusal(status: number, what: { host: string; account: string; share: string }): Error {
  const params = { ...what, doing: `opening ${what.share}` };
  if (status === STATUS.ACCESS_DENIED) return raised('PP_SMB_NOT_ADMIN', status, params);
  const win32 = win32OfStatus(status);
  if (win32 === WIN32.BAD_NET_NAME || status === STATUS.BAD_DEVICE_TYPE) return raised('PP_SMB_NO_SHARE', status, params);
  return operationRefusal(status, params);
}

/** operationRefusal is the error for anything else that ended with `status`. */
export function operationRefusal(status: number, what: { host: string; doing: string }): Error {
  const win32 = win32OfStatus(status);
  return raised(operation.get(status) ?? causeOf(win32) ?? operationByWin32.get(win32 ?? 0) ?? 'PP_SMB_REFUSED', status, what);
}

/** pipeRefusal tells a pipe that is not there or not for us apart from a file: behind a pipe stands a service. */
export function pipeRefusal(error: unknown, what: { host: string; pipe: string }): unknown {
  if (!isCode(error, 'PP_SMB_NO_FILE', 'PP_SMB_NO_PATH', 'PP_SMB_ACCESS_DENIED')) return error;
  const { win32, ntstatus, detail } = error;
  const code = error.code === 'PP_SMB_ACCESS_DENIED' ? 'PP_SMB_PIPE_DENIED' : 'PP_SMB_NO_PIPE';
  return raise(code, what, { cause: error, win32, ntstatus, detail });
}
