import { isCode } from '#base/errors';
import type { Clock } from '#base/clock';
import { WIN32 } from '#wire/status';
import type { RpcClient } from '../client.ts';
import { refusal } from '../outcomes.ts';
import {
  changeServiceConfig,
  closeServiceHandle,
  controlService,
  deleteService,
  queryServiceConfig,
  queryServiceStatus,
  queryServiceStatusEx,
  ServiceStatusProcess,
  startService,
} from './definitions.ts';
import { NO_CHANGE, ServiceControl, startTypes, type StartType } from './rights.ts';
import { reportOf, type ServiceReport } from './status.ts';

/** SERVICE_STATUS_PROCESS has nine numbers. */
const STATUS_PROCESS_SIZE = 36;
/** The most that RQueryServiceConfigW may be asked for ([MS-SCMR] 3.1.4.17). */
const CONFIG_ROOM = 8192;
/** The shortest and longest pause between two looks at a pending service. */
const LEAST_PAUSE_MS = 100;
const MOST_PAUSE_MS = 2000;

/** ServiceConfig is how a service is set up. */
export interface ServiceConfig {
  displayName: string;
  binaryPath: string;
  startType: StartType;
  account: string;
  serviceType: number;
  errorControl: number;
  dependencies: string[];
}

/** ServiceChange holds the settings to change; what is left out stays. */
export interface ServiceChange {
  displayName?: string;
  binaryPath?: string;
  startType?: StartType;
  account?: string;
}

/** startTypeNumber is how the protocol writes a start type. */
export function startTypeNumber(startType: StartType): number {
  return startTypes.indexOf(startType);
}

function dependenciesOf(text: string | null): string[] {
  return (text ?? '').split('/').filter((name) => name !== '');
}

/** Service is one service of the machine, held open by a handle; close it, for a deleted service goes only with its last handle. */
export class Service {
  readonly name: string;
  readonly #rpc: RpcClient;
  readonly #handle: Uint8Array;
  #statusEx = true;

  constructor(rpc: RpcClient, handle: Uint8Array, name: string) {
    this.#rpc = rpc;
    this.#handle = handle;
    this.name = name;
  }

  /** start asks for a start with arguments; it comes back as soon as the program has called in, most often while START_PENDING. */
  async start(args: string[] = []): Promise<void> {
    // By convention the first argument is the name of the service; the service manager does not put it there by itself.
    const list = args.length === 0 ? null : [this.name, ...args];
    const request = { service: this.#handle, argumentCount: list?.length ?? 0, arguments: list };
    const { status } = await this.#rpc.call(startService, request);
    this.#check(status, 'StartService');
  }

  /** stop sends the stop control; the service may go on for a while (see `settled`). */
  async stop(): Promise<void> {
    const { status } = await this.#rpc.call(controlService, { service: this.#handle, control: ServiceControl.STOP });
    this.#check(status, 'ControlService');
  }

  /** status asks with RQueryServiceStatusEx, and with the older call when the machine does not have that one. */
  async status(): Promise<ServiceReport> {
    if (this.#statusEx) {
      const report = await this.#extendedStatus();
      if (report) return report;
      this.#statusEx = false;
    }
    const { serviceStatus, status } = await this.#rpc.call(queryServiceStatus, { service: this.#handle });
    this.#check(status, 'QueryServiceStatus');
    return reportOf(serviceStatus);
  }

  async #extendedStatus(): Promise<ServiceReport | undefined> {
    try {
      const request = { service: this.#handle, level: 0, bufferSize: STATUS_PROCESS_SIZE };
      const { buffer, status } = await this.#rpc.call(queryServiceStatusEx, request);
      this.#check(status, 'QueryServiceStatusEx');
      return reportOf(ServiceStatusProcess.decode(buffer));
    } catch (error) {
      // 1717, 120 and the fault for an unknown call all end in this row.
      if (isCode(error, 'PP_RPC_INTERFACE_UNKNOWN')) return undefined;
      throw error;
    }
  }

  /** settled looks at the service, in steps it hints at, until it is no longer pending or `timeoutMs` are over, and gives the last report. */
  async settled(clock: Clock, timeoutMs: number, signal?: AbortSignal): Promise<ServiceReport> {
    const end = clock.monotonic() + timeoutMs;
    for (;;) {
      const report = await this.status();
      const left = end - clock.monotonic();
      if (!report.state.endsWith('-pending') || left <= 0) return report;
      // A tenth of the hint is the pace that the documentation of the service manager asks of callers.
      const pause = Math.min(Math.max(report.waitHintMs / 10, LEAST_PAUSE_MS), MOST_PAUSE_MS, left);
      await clock.sleep(pause, signal);
    }
  }

  /** config gives how the service is set up. */
  async config(): Promise<ServiceConfig> {
    let answer = await this.#rpc.call(queryServiceConfig, { service: this.#handle, bufferSize: CONFIG_ROOM });
    if (answer.status === WIN32.INSUFFICIENT_BUFFER) {
      answer = await this.#rpc.call(queryServiceConfig, { service: this.#handle, bufferSize: answer.bytesNeeded });
    }
    this.#check(answer.status, 'QueryServiceConfig');
    const { config } = answer;
    return {
      displayName: config.displayName ?? '',
      binaryPath: config.binaryPathName ?? '',
      startType: startTypes[config.startType] ?? 'demand',
      account: config.serviceStartName ?? '',
      serviceType: config.serviceType,
      errorControl: config.errorControl,
      dependencies: dependenciesOf(config.dependencies),
    };
  }

  /** change alters settings; what is left out stays as it is. */
  async change(wanted: ServiceChange): Promise<void> {
    const { status } = await this.#rpc.call(changeServiceConfig, {
      service: this.#handle,
      serviceType: NO_CHANGE,
      startType: wanted.startType === undefined ? NO_CHANGE : startTypeNumber(wanted.startType),
      errorControl: NO_CHANGE,
      binaryPathName: wanted.binaryPath ?? null,
      loadOrderGroup: null,
      tagId: null,
      dependencies: null,
      dependenciesSize: 0,
      serviceStartName: wanted.account ?? null,
      password: null,
      passwordSize: 0,
      displayName: wanted.displayName ?? null,
    });
    this.#check(status, 'ChangeServiceConfig');
  }

  /** delete marks the service; it is gone when the last handle to it is closed and it does not run. */
  async delete(): Promise<void> {
    const { status } = await this.#rpc.call(deleteService, { service: this.#handle });
    this.#check(status, 'DeleteService');
  }

  /** close gives the handle back; it never fails, since closing the pipe would do the same. */
  async close(): Promise<void> {
    await this.#rpc.call(closeServiceHandle, { handle: this.#handle }).catch(() => undefined);
  }

  #check(status: number, operation: string): void {
    if (status !== WIN32.SUCCESS) throw refusal('services', status, operation, `the service ${this.name}`);
  }
}
