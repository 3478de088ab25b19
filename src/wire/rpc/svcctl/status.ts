import { raise } from '#base/errors';
import { serviceStates, type ServiceState } from './rights.ts';
import type { ServiceStatus } from './definitions.ts';

/** ServiceReport is what a service says of itself at one moment. */
export interface ServiceReport {
  state: ServiceState;
  /** win32ExitCode is 1066 when the service gave a code of its own, which is then `serviceExitCode`; 1077 if it never ran. */
  win32ExitCode: number;
  serviceExitCode: number;
  /** checkPoint grows while a pending service makes progress; waitHintMs is how long it wants until the next step. */
  checkPoint: number;
  waitHintMs: number;
  controlsAccepted: number;
  /** pid is known where the machine answers RQueryServiceStatusEx and the service has a process. */
  pid?: number;
}

/** reportOf turns the numbers of a SERVICE_STATUS into a report; a state that does not exist is malformed. */
export function reportOf(status: ServiceStatus & { processId?: number }): ServiceReport {
  const state = serviceStates[status.currentState - 1];
  if (!state) {
    const why = `state ${status.currentState} does not exist`;
    throw raise('PP_WIRE_MALFORMED', { message: 'SERVICE_STATUS', field: 'currentState', offset: 4, why });
  }
  return {
    state,
    win32ExitCode: status.win32ExitCode,
    serviceExitCode: status.serviceSpecificExitCode,
    checkPoint: status.checkPoint,
    waitHintMs: status.waitHint,
    controlsAccepted: status.controlsAccepted,
    ...(status.processId ? { pid: status.processId } : {}),
  };
}
