import { svcctl } from '#wire/rpc';
import { WIN32 } from '#wire/status';
import { Win32Refusal } from './refusal.ts';

const { ManagerRight, ServiceRight } = svcctl;

/** Rights that stand for others ([MS-DTYP] 2.4.3); MAXIMUM_ALLOWED is whatever the caller may have. */
const GENERIC_ALL = 0x10000000;
const GENERIC_EXECUTE = 0x20000000;
const GENERIC_WRITE = 0x40000000;
const GENERIC_READ = 0x80000000;
const MAXIMUM_ALLOWED = 0x02000000;

interface Mapping {
  all: number;
  read: number;
  write: number;
  execute: number;
}

const STANDARD = 0x000f0000;
const READ_CONTROL = 0x00020000;

/** [MS-SCMR] 3.1.4.15 and 3.1.4.16: what the generic rights stand for. */
const managerMapping: Mapping = {
  all: STANDARD | 0x3f,
  read: READ_CONTROL | ManagerRight.ENUMERATE | ManagerRight.QUERY_LOCK,
  write: READ_CONTROL | ManagerRight.CREATE_SERVICE | 0x20,
  execute: READ_CONTROL | ManagerRight.CONNECT | ManagerRight.LOCK,
};
const serviceMapping: Mapping = {
  all: STANDARD | 0x1ff,
  read:
    READ_CONTROL |
    ServiceRight.QUERY_CONFIG |
    ServiceRight.QUERY_STATUS |
    ServiceRight.INTERROGATE |
    ServiceRight.ENUMERATE_DEPENDENTS,
  write: READ_CONTROL | ServiceRight.CHANGE_CONFIG,
  execute: READ_CONTROL | ServiceRight.START | ServiceRight.STOP | ServiceRight.PAUSE_CONTINUE | ServiceRight.USER_CONTROL,
};

function granted(desired: number, mapping: Mapping): number {
  if (desired & (GENERIC_ALL | MAXIMUM_ALLOWED)) return mapping.all;
  let rights = desired & (STANDARD | 0xffff);
  if (desired & GENERIC_READ) rights |= mapping.read;
  if (desired & GENERIC_WRITE) rights |= mapping.write;
  if (desired & GENERIC_EXECUTE) rights |= mapping.execute;
  return rights;
}

/** managerRights is what a handle to the manager allows that an administrator asked for; connecting is always part of it. */
export const managerRights = (desired: number): number => granted(desired, managerMapping) | ManagerRight.CONNECT;
/** serviceRights is what a handle to a service allows that an administrator asked for. */
export const serviceRights = (desired: number): number => granted(desired, serviceMapping);

/** demand refuses with 5 what a handle was not opened for. */
export function demand(rights: number, needed: number): void {
  if ((rights & needed) !== needed) throw new Win32Refusal(WIN32.ACCESS_DENIED);
}
