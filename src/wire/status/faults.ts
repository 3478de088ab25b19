import { WIN32 } from './codes.generated.ts';
import { win32Name } from './names.ts';

/** FAULT holds the status codes of an RPC fault PDU: [C706] appendix E, names without nca_s_. */
export const FAULT = {
  fault_int_div_by_zero: 0x1c000001,
  fault_addr_error: 0x1c000002,
  fault_invalid_tag: 0x1c000006,
  fault_invalid_bound: 0x1c000007,
  rpc_version_mismatch: 0x1c000008,
  unspec_reject: 0x1c000009,
  bad_actid: 0x1c00000a,
  who_are_you_failed: 0x1c00000b,
  manager_not_entered: 0x1c00000c,
  fault_cancel: 0x1c00000d,
  fault_ill_inst: 0x1c00000e,
  fault_int_overflow: 0x1c000010,
  fault_unspec: 0x1c000012,
  fault_remote_comm_failure: 0x1c000013,
  fault_context_mismatch: 0x1c00001a,
  fault_remote_no_memory: 0x1c00001b,
  invalid_pres_context_id: 0x1c00001c,
  unsupported_authn_level: 0x1c00001d,
  invalid_checksum: 0x1c00001f,
  fault_user_defined: 0x1c000021,
  fault_object_not_found: 0x1c000024,
  op_rng_error: 0x1c010002,
  unk_if: 0x1c010003,
  wrong_boot_time: 0x1c010006,
  you_crashed: 0x1c010009,
  proto_error: 0x1c01000b,
  out_args_too_big: 0x1c010013,
  server_too_busy: 0x1c010014,
  unsupported_type: 0x1c010017,
} as const;

const names = new Map<number, string>(Object.entries(FAULT).map(([name, code]) => [code, name]));

const win32s = new Map<number, number>([
  [FAULT.fault_context_mismatch, WIN32.INVALID_HANDLE],
  [FAULT.fault_remote_no_memory, WIN32.NOT_ENOUGH_SERVER_MEMORY],
  [FAULT.op_rng_error, WIN32.RPC_S_PROCNUM_OUT_OF_RANGE],
  [FAULT.unk_if, WIN32.RPC_S_UNKNOWN_IF],
  [FAULT.proto_error, WIN32.RPC_S_PROTOCOL_ERROR],
  [FAULT.server_too_busy, WIN32.RPC_S_SERVER_TOO_BUSY],
  [FAULT.unsupported_authn_level, WIN32.RPC_S_CANNOT_SUPPORT],
]);

/** Windows puts plain Win32 codes (5, 1783 …) into the status of a fault as well ([MS-RPCE] 2.2.2.10). */
const isWin32 = (code: number) => code > 0 && code < 0x10000;

/** faultName is how the specification calls the status of an RPC fault; Windows also puts plain Win32 codes there. */
export function faultName(code: number): string {
  const name = names.get(code);
  return name === undefined ? win32Name(code) : `nca_s_${name}`;
}

/** win32OfFault is the Win32 code that a Windows caller sees for an RPC fault; RPC_S_CALL_FAILED for the ones without their own. */
export function win32OfFault(code: number): number {
  return win32s.get(code) ?? (isWin32(code) ? code : WIN32.RPC_S_CALL_FAILED);
}
