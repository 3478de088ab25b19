import { array, i32, ndr, record, u32, union, unique, wstr, type ValueIn } from '../ndr/index.ts';
import { operation, type RpcInterface } from '../operation.ts';

/** SRVSVC is the Server Service Remote Protocol ([MS-SRVS] 1.9). */
export const SRVSVC: RpcInterface = {
  name: 'srvsvc',
  uuid: '4b324fc8-1670-01d3-1278-5a47bf6ee188',
  version: 3,
  minorVersion: 0,
  pipe: 'srvsvc',
};

const status = u32;

/** [MS-SRVS] 2.2.4.22 SHARE_INFO_0, 2.2.4.23 SHARE_INFO_1, 2.2.4.24 SHARE_INFO_2 */
const shareInfo0 = record({ name: unique(wstr) });
const shareInfo1 = record({ name: unique(wstr), type: u32, remark: unique(wstr) });
const shareInfo2 = record({
  name: unique(wstr),
  type: u32,
  remark: unique(wstr),
  permissions: u32,
  maxUses: u32,
  currentUses: u32,
  path: unique(wstr),
  password: unique(wstr),
});

const container0 = record({ count: u32, entries: unique(array(shareInfo0)) });
const container1 = record({ count: u32, entries: unique(array(shareInfo1)) });
const container2 = record({ count: u32, entries: unique(array(shareInfo2)) });

/** [MS-SRVS] 2.2.4.38 SHARE_ENUM_STRUCT */
const shareEnum = record({
  level: u32,
  shares: union(u32, { 0: unique(container0), 1: unique(container1), 2: unique(container2) }),
});
export type ShareEnum = ValueIn<typeof shareEnum>;

/** [MS-SRVS] 3.1.4.8 NetrShareEnum */
export const shareEnumAll = operation(
  15,
  'NetrShareEnum',
  ndr('NetrShareEnum', { serverName: unique(wstr), info: shareEnum, preferredLength: u32, resumeHandle: unique(u32) }),
  ndr('NetrShareEnum answer', { info: shareEnum, total: u32, resumeHandle: unique(u32), status }),
);

/** [MS-SRVS] 3.1.4.10 NetrShareGetInfo */
export const shareGetInfo = operation(
  16,
  'NetrShareGetInfo',
  ndr('NetrShareGetInfo', { serverName: unique(wstr), shareName: wstr, level: u32 }),
  ndr('NetrShareGetInfo answer', {
    info: union(u32, { 0: unique(shareInfo0), 1: unique(shareInfo1), 2: unique(shareInfo2) }),
    status,
  }),
);

/** [MS-SRVS] 2.2.4.40 SERVER_INFO_100, 2.2.4.41 SERVER_INFO_101 */
const serverInfo100 = record({ platformId: u32, name: unique(wstr) });
const serverInfo101 = record({
  platformId: u32,
  name: unique(wstr),
  versionMajor: u32,
  versionMinor: u32,
  type: u32,
  comment: unique(wstr),
});

/** [MS-SRVS] 3.1.4.17 NetrServerGetInfo */
export const serverGetInfo = operation(
  21,
  'NetrServerGetInfo',
  ndr('NetrServerGetInfo', { serverName: unique(wstr), level: u32 }),
  ndr('NetrServerGetInfo answer', { info: union(u32, { 100: unique(serverInfo100), 101: unique(serverInfo101) }), status }),
);

/** [MS-SRVS] 2.2.4.105 TIME_OF_DAY_INFO */
const timeOfDay = record({
  elapsedSeconds: u32,
  milliseconds: u32,
  hours: u32,
  minutes: u32,
  seconds: u32,
  hundredths: u32,
  timezone: i32,
  tick: u32,
  day: u32,
  month: u32,
  year: u32,
  weekday: u32,
});

/** [MS-SRVS] 3.1.4.21 NetrRemoteTOD; the time is UTC, the zone in minutes west of it. */
export const remoteTimeOfDay = operation(
  28,
  'NetrRemoteTOD',
  ndr('NetrRemoteTOD', { serverName: unique(wstr) }),
  ndr('NetrRemoteTOD answer', { time: unique(timeOfDay), status }),
);

/** ServerType holds the bits of the type of a server ([MS-SRVS] 2.2.2.7) that tell a workstation, a server and a domain controller apart. */
export const ServerType = {
  WORKSTATION: 0x00000001,
  SERVER: 0x00000002,
  DOMAIN_CONTROLLER: 0x00000008,
  BACKUP_DOMAIN_CONTROLLER: 0x00000010,
  DOMAIN_MEMBER: 0x00000100,
  NT: 0x00001000,
  SERVER_NT: 0x00008000,
} as const;

/** ShareType holds the kinds of shares ([MS-SRVS] 2.2.2.4). */
export const ShareType = { DISK: 0, PRINTER: 1, IPC: 3, SPECIAL: 0x80000000 } as const;
