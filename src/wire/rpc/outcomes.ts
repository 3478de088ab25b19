import { raise, type Code, type PushpointError } from '#base/errors';
import { causeOf, FAULT, faultName, WIN32, win32Name, win32OfFault } from '#wire/status';

/** Win32 codes by which Windows says that a policy or a scanner keeps a program from running. */
const INVALID_IMAGE_HASH = 577;
const ACCESS_DISABLED_BY_POLICY = 1260;
const ACCESS_DISABLED_NO_SAFER_UI = 1264;

/** How a machine is called where only its pipe is known. */
const MACHINE = 'the machine';

/** Rows that mean the same whatever was asked. */
const anywhere = new Map<number, Code>([
  [WIN32.INVALID_HANDLE, 'PP_RPC_HANDLE_LOST'],
  [WIN32.RPC_S_SERVER_UNAVAILABLE, 'PP_RPC_UNAVAILABLE'],
  [WIN32.RPC_S_SERVER_TOO_BUSY, 'PP_RPC_BUSY'],
  [WIN32.RPC_S_CALL_FAILED, 'PP_RPC_FAILED'],
  [WIN32.RPC_S_CALL_FAILED_DNE, 'PP_RPC_FAILED'],
  [WIN32.RPC_S_UNKNOWN_IF, 'PP_RPC_INTERFACE_UNKNOWN'],
  [WIN32.RPC_S_PROCNUM_OUT_OF_RANGE, 'PP_RPC_INTERFACE_UNKNOWN'],
  [WIN32.CALL_NOT_IMPLEMENTED, 'PP_RPC_INTERFACE_UNKNOWN'],
  [WIN32.SHUTDOWN_IN_PROGRESS, 'PP_TARGET_SHUTTING_DOWN'],
  [WIN32.NOT_ENOUGH_MEMORY, 'PP_TARGET_RESOURCES'],
  [WIN32.OUTOFMEMORY, 'PP_TARGET_RESOURCES'],
  [WIN32.NOT_ENOUGH_SERVER_MEMORY, 'PP_TARGET_RESOURCES'],
  [WIN32.NO_SYSTEM_RESOURCES, 'PP_TARGET_RESOURCES'],
  [WIN32.RPC_S_OUT_OF_RESOURCES, 'PP_TARGET_RESOURCES'],
]);

const services = new Map<number, Code>([
  [WIN32.FILE_NOT_FOUND, 'PP_SERVICE_BINARY_MISSING'],
  [WIN32.PATH_NOT_FOUND, 'PP_SERVICE_BINARY_MISSING'],
  [WIN32.ACCESS_DENIED, 'PP_SERVICE_ACCESS_DENIED'],
  [WIN32.BAD_EXE_FORMAT, 'PP_SERVICE_BINARY_WRONG'],
  [WIN32.EXE_MACHINE_TYPE_MISMATCH, 'PP_SERVICE_BINARY_WRONG'],
  [WIN32.VIRUS_INFECTED, 'PP_SERVICE_BINARY_BLOCKED'],
  [WIN32.VIRUS_DELETED, 'PP_SERVICE_BINARY_BLOCKED'],
  [INVALID_IMAGE_HASH, 'PP_SERVICE_BINARY_BLOCKED'],
  [ACCESS_DISABLED_BY_POLICY, 'PP_SERVICE_BINARY_BLOCKED'],
  [ACCESS_DISABLED_NO_SAFER_UI, 'PP_SERVICE_BINARY_BLOCKED'],
  [WIN32.INVALID_SERVICE_CONTROL, 'PP_SERVICE_BUSY'],
  [WIN32.SERVICE_REQUEST_TIMEOUT, 'PP_SERVICE_START_TIMEOUT'],
  [WIN32.SERVICE_NO_THREAD, 'PP_TARGET_RESOURCES'],
  [WIN32.SERVICE_DATABASE_LOCKED, 'PP_SERVICE_DATABASE_LOCKED'],
  [WIN32.SERVICE_ALREADY_RUNNING, 'PP_SERVICE_ALREADY_RUNNING'],
  [WIN32.INVALID_SERVICE_ACCOUNT, 'PP_SERVICE_LOGON'],
  [WIN32.SERVICE_DISABLED, 'PP_SERVICE_DISABLED'],
  [WIN32.SERVICE_DOES_NOT_EXIST, 'PP_SERVICE_UNKNOWN'],
  [WIN32.SERVICE_CANNOT_ACCEPT_CTRL, 'PP_SERVICE_BUSY'],
  [WIN32.SERVICE_NOT_ACTIVE, 'PP_SERVICE_NOT_RUNNING'],
  [WIN32.PROCESS_ABORTED, 'PP_SERVICE_DIED'],
  [WIN32.SERVICE_DEPENDENCY_FAIL, 'PP_SERVICE_DEPENDENCY'],
  [WIN32.SERVICE_DEPENDENCY_DELETED, 'PP_SERVICE_DEPENDENCY'],
  [WIN32.SERVICE_LOGON_FAILED, 'PP_SERVICE_LOGON'],
  [WIN32.SERVICE_MARKED_FOR_DELETE, 'PP_SERVICE_MARKED_FOR_DELETE'],
  [WIN32.SERVICE_EXISTS, 'PP_SERVICE_EXISTS'],
  [WIN32.DUPLICATE_SERVICE_NAME, 'PP_SERVICE_NAME_DUPLICATE'],
]);

const registry = new Map<number, Code>([[WIN32.ACCESS_DENIED, 'PP_REGISTRY_ACCESS_DENIED']]);
const server = new Map<number, Code>([[WIN32.ACCESS_DENIED, 'PP_RPC_ACCESS_DENIED']]);

/** Field is which part of the machine answered; the same number means different things in different parts. */
export type Field = 'services' | 'registry' | 'server';

const fields: Record<Field, Map<number, Code>> = { services, registry, server };

/** refusal makes the error for a Win32 code that an operation returned; `subject` is what it was asked of. */
export function refusal(field: Field, win32: number, operation: string, subject: string): PushpointError {
  const code = fields[field].get(win32) ?? anywhere.get(win32) ?? causeOf(win32) ?? 'PP_TARGET_ERROR';
  const heard = { host: MACHINE, doing: `${operation} on ${subject}` };
  return raise(code, { operation, subject, win32, name: win32Name(win32), ...heard }, { win32 });
}

/** faulted makes the error for a fault PDU, by which the RPC run time and not the operation itself answers. */
export function faulted(status: number, operation: string): PushpointError {
  const win32 = win32OfFault(status);
  const options = { win32, detail: `RPC fault 0x${status.toString(16).padStart(8, '0')} (${faultName(status)})` };
  // A fault without a Win32 code of its own is told as the fault it is, not as "the call broke off".
  const known =
    win32 === WIN32.RPC_S_CALL_FAILED && status !== WIN32.RPC_S_CALL_FAILED ? undefined : (anywhere.get(win32) ?? causeOf(win32));
  const code = status === WIN32.ACCESS_DENIED ? 'PP_RPC_ACCESS_DENIED' : (known ?? 'PP_RPC_FAULT');
  if (status === FAULT.fault_context_mismatch) return raise('PP_RPC_HANDLE_LOST', { operation }, options);
  return raise(code, { operation, fault: faultName(status), host: MACHINE, doing: operation }, options);
}
