/** ManagerRight holds access rights of the service control manager ([MS-SCMR] 2.2.3). */
export const ManagerRight = { CONNECT: 0x01, CREATE_SERVICE: 0x02, ENUMERATE: 0x04, LOCK: 0x08, QUERY_LOCK: 0x10 } as const;

/** ServiceRight holds access rights of one service ([MS-SCMR] 2.2.4), and the standard right to delete it. */
export const ServiceRight = {
  QUERY_CONFIG: 0x0001,
  CHANGE_CONFIG: 0x0002,
  QUERY_STATUS: 0x0004,
  ENUMERATE_DEPENDENTS: 0x0008,
  START: 0x0010,
  STOP: 0x0020,
  PAUSE_CONTINUE: 0x0040,
  INTERROGATE: 0x0080,
  USER_CONTROL: 0x0100,
  DELETE: 0x00010000,
  ALL: 0x000f01ff,
} as const;

/** ServiceType, of which a push makes only a program in a process of its own ([MS-SCMR] 3.1.4.11). */
export const ServiceType = { DRIVERS: 0x0b, OWN_PROCESS: 0x10, SHARE_PROCESS: 0x20, WIN32: 0x30, INTERACTIVE: 0x100 } as const;

/** startTypes are the start types by their numbers ([MS-SCMR] 2.2.15 dwStartType). */
export const startTypes = ['boot', 'system', 'auto', 'demand', 'disabled'] as const;
export type StartType = (typeof startTypes)[number];

/** ServiceState numbers are dwCurrentState less one ([MS-SCMR] 2.2.47). */
export const serviceStates = [
  'stopped',
  'start-pending',
  'stop-pending',
  'running',
  'continue-pending',
  'pause-pending',
  'paused',
] as const;
export type ServiceState = (typeof serviceStates)[number];

/** ServiceControl holds the controls that RControlService takes ([MS-SCMR] 3.1.4.2). */
export const ServiceControl = { STOP: 1, PAUSE: 2, CONTINUE: 3, INTERROGATE: 4 } as const;

/** ErrorControl is what the boot does when the service fails ([MS-SCMR] 2.2.15 dwErrorControl). */
export const ErrorControl = { IGNORE: 0, NORMAL: 1, SEVERE: 2, CRITICAL: 3 } as const;

/** NO_CHANGE leaves a number as it is in RChangeServiceConfigW ([MS-SCMR] 3.1.4.11). */
export const NO_CHANGE = 0xffffffff;

/** StateFilter chooses in REnumServicesStatusW by state ([MS-SCMR] 3.1.4.14). */
export const StateFilter = { ACTIVE: 1, INACTIVE: 2, ALL: 3 } as const;
