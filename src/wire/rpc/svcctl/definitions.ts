import { array, byteArray, contextHandle, ndr, record, u32, union, unique, wstr, type ValueIn } from '../ndr/index.ts';
import { operation, type RpcInterface } from '../operation.ts';

/** SVCCTL is the Service Control Manager Remote Protocol ([MS-SCMR] 1.9). */
export const SVCCTL: RpcInterface = {
  name: 'svcctl',
  uuid: '367abb81-9844-35f1-ad32-98f038001003',
  version: 2,
  minorVersion: 0,
  pipe: 'svcctl',
};

const status = u32;

/** [MS-SCMR] 2.2.47 SERVICE_STATUS */
export const ServiceStatus = record({
  serviceType: u32,
  currentState: u32,
  controlsAccepted: u32,
  win32ExitCode: u32,
  serviceSpecificExitCode: u32,
  checkPoint: u32,
  waitHint: u32,
});
export type ServiceStatus = ValueIn<typeof ServiceStatus>;

/** [MS-SCMR] 2.2.49 SERVICE_STATUS_PROCESS, as the buffer of RQueryServiceStatusEx holds it. */
export const ServiceStatusProcess = ndr('SERVICE_STATUS_PROCESS', {
  serviceType: u32,
  currentState: u32,
  controlsAccepted: u32,
  win32ExitCode: u32,
  serviceSpecificExitCode: u32,
  checkPoint: u32,
  waitHint: u32,
  processId: u32,
  serviceFlags: u32,
});

/** [MS-SCMR] 2.2.15 QUERY_SERVICE_CONFIGW: nine fixed fields, then the texts they point to. */
export const QueryServiceConfig = record({
  serviceType: u32,
  startType: u32,
  errorControl: u32,
  binaryPathName: unique(wstr),
  loadOrderGroup: unique(wstr),
  tagId: u32,
  dependencies: unique(wstr),
  serviceStartName: unique(wstr),
  displayName: unique(wstr),
});

/** [MS-SCMR] 3.1.4.1 RCloseServiceHandle */
export const closeServiceHandle = operation(
  0,
  'RCloseServiceHandle',
  ndr('RCloseServiceHandle', { handle: contextHandle }),
  ndr('RCloseServiceHandle answer', { handle: contextHandle, status }),
);

/** [MS-SCMR] 3.1.4.2 RControlService */
export const controlService = operation(
  1,
  'RControlService',
  ndr('RControlService', { service: contextHandle, control: u32 }),
  ndr('RControlService answer', { serviceStatus: ServiceStatus, status }),
);

/** [MS-SCMR] 3.1.4.3 RDeleteService */
export const deleteService = operation(
  2,
  'RDeleteService',
  ndr('RDeleteService', { service: contextHandle }),
  ndr('RDeleteService answer', { status }),
);

/** [MS-SCMR] 3.1.4.7 RQueryServiceStatus */
export const queryServiceStatus = operation(
  6,
  'RQueryServiceStatus',
  ndr('RQueryServiceStatus', { service: contextHandle }),
  ndr('RQueryServiceStatus answer', { serviceStatus: ServiceStatus, status }),
);

/** [MS-SCMR] 3.1.4.11 RChangeServiceConfigW; NO_CHANGE and null leave a setting as it is. */
export const changeServiceConfig = operation(
  11,
  'RChangeServiceConfigW',
  ndr('RChangeServiceConfigW', {
    service: contextHandle,
    serviceType: u32,
    startType: u32,
    errorControl: u32,
    binaryPathName: unique(wstr),
    loadOrderGroup: unique(wstr),
    tagId: unique(u32),
    dependencies: unique(byteArray),
    dependenciesSize: u32,
    serviceStartName: unique(wstr),
    password: unique(byteArray),
    passwordSize: u32,
    displayName: unique(wstr),
  }),
  ndr('RChangeServiceConfigW answer', { tagId: unique(u32), status }),
);

/** [MS-SCMR] 3.1.4.12 RCreateServiceW */
export const createService = operation(
  12,
  'RCreateServiceW',
  ndr('RCreateServiceW', {
    manager: contextHandle,
    serviceName: wstr,
    displayName: unique(wstr),
    desiredAccess: u32,
    serviceType: u32,
    startType: u32,
    errorControl: u32,
    binaryPathName: wstr,
    loadOrderGroup: unique(wstr),
    tagId: unique(u32),
    dependencies: unique(byteArray),
    dependenciesSize: u32,
    serviceStartName: unique(wstr),
    password: unique(byteArray),
    passwordSize: u32,
  }),
  ndr('RCreateServiceW answer', { tagId: unique(u32), service: contextHandle, status }),
);

/** [MS-SCMR] 3.1.4.14 REnumServicesStatusW; the buffer holds offsets, not NDR pointers. */
export const enumServicesStatus = operation(
  14,
  'REnumServicesStatusW',
  ndr('REnumServicesStatusW', {
    manager: contextHandle,
    serviceType: u32,
    serviceState: u32,
    bufferSize: u32,
    resumeIndex: unique(u32),
  }),
  ndr('REnumServicesStatusW answer', {
    buffer: byteArray,
    bytesNeeded: u32,
    servicesReturned: u32,
    resumeIndex: unique(u32),
    status,
  }),
);

/** [MS-SCMR] 3.1.4.15 ROpenSCManagerW */
export const openSCManager = operation(
  15,
  'ROpenSCManagerW',
  ndr('ROpenSCManagerW', { machineName: unique(wstr), databaseName: unique(wstr), desiredAccess: u32 }),
  ndr('ROpenSCManagerW answer', { manager: contextHandle, status }),
);

/** [MS-SCMR] 3.1.4.16 ROpenServiceW */
export const openService = operation(
  16,
  'ROpenServiceW',
  ndr('ROpenServiceW', { manager: contextHandle, serviceName: wstr, desiredAccess: u32 }),
  ndr('ROpenServiceW answer', { service: contextHandle, status }),
);

/** [MS-SCMR] 3.1.4.17 RQueryServiceConfigW */
export const queryServiceConfig = operation(
  17,
  'RQueryServiceConfigW',
  ndr('RQueryServiceConfigW', { service: contextHandle, bufferSize: u32 }),
  ndr('RQueryServiceConfigW answer', { config: QueryServiceConfig, bytesNeeded: u32, status }),
);

/** [MS-SCMR] 3.1.4.19 RStartServiceW; the arguments are an array of pointers, the texts behind all of them. */
export const startService = operation(
  19,
  'RStartServiceW',
  ndr('RStartServiceW', { service: contextHandle, argumentCount: u32, arguments: unique(array(unique(wstr), 1024)) }),
  ndr('RStartServiceW answer', { status }),
);

/** ConfigLevel is what RChangeServiceConfig2W and RQueryServiceConfig2W are about ([MS-SCMR] 2.2.22). */
export const ConfigLevel = { DESCRIPTION: 1, FAILURE_ACTIONS: 2, DELAYED_AUTO_START: 3 } as const;

/** [MS-SCMR] 2.2.34, 2.2.40 */
const description = record({ description: unique(wstr) });
const failureActions = record({
  resetPeriod: u32,
  rebootMessage: unique(wstr),
  command: unique(wstr),
  actionCount: u32,
  actions: unique(array(record({ type: u32, delay: u32 }), 1024)),
});
const delayedAutoStart = record({ delayed: u32 });

/** [MS-SCMR] 3.1.4.35 RChangeServiceConfig2W */
export const changeServiceConfig2 = operation(
  37,
  'RChangeServiceConfig2W',
  ndr('RChangeServiceConfig2W', {
    service: contextHandle,
    level: u32,
    info: union(u32, {
      [ConfigLevel.DESCRIPTION]: unique(description),
      [ConfigLevel.FAILURE_ACTIONS]: unique(failureActions),
      [ConfigLevel.DELAYED_AUTO_START]: unique(delayedAutoStart),
    }),
  }),
  ndr('RChangeServiceConfig2W answer', { status }),
);

/** [MS-SCMR] 3.1.4.37 RQueryServiceConfig2W; texts in the buffer stand at offsets from its first octet. */
export const queryServiceConfig2 = operation(
  39,
  'RQueryServiceConfig2W',
  ndr('RQueryServiceConfig2W', { service: contextHandle, level: u32, bufferSize: u32 }),
  ndr('RQueryServiceConfig2W answer', { buffer: byteArray, bytesNeeded: u32, status }),
);

/** [MS-SCMR] 3.1.4.38 RQueryServiceStatusEx; level 0 is SERVICE_STATUS_PROCESS, the only one there is. */
export const queryServiceStatusEx = operation(
  40,
  'RQueryServiceStatusEx',
  ndr('RQueryServiceStatusEx', { service: contextHandle, level: u32, bufferSize: u32 }),
  ndr('RQueryServiceStatusEx answer', { buffer: byteArray, bytesNeeded: u32, status }),
);
