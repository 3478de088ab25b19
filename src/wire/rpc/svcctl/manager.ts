import { raise } from '#base/errors';
import { WIN32 } from '#wire/status';
import type { RpcClient } from '../client.ts';
import { refusal } from '../outcomes.ts';
import { closeServiceHandle, createService, enumServicesStatus, openSCManager, openService } from './definitions.ts';
import { readServices, type ListedService } from './enumeration.ts';
import { ErrorControl, ManagerRight, ServiceRight, ServiceType, StateFilter, type StartType } from './rights.ts';
import { Service, startTypeNumber } from './service.ts';

/** The most that REnumServicesStatusW may be asked for at a time ([MS-SCMR] 3.1.4.14). */
const MOST_ROOM = 256 * 1024;
/** Room beyond what was said to be needed, for services that appear in between. */
const SLACK = 1024;
/** An enumeration that goes round more often than this is no honest one. */
const MOST_ROUNDS = 64;
/** No machine has as many services. */
const MOST_SERVICES = 10_000;

/** NewService is how a service is to be created; it runs as LocalSystem unless an account is named. */
export interface NewService {
  name: string;
  displayName: string;
  binaryPath: string;
  startType: StartType;
  account?: string;
  /** access to the handle that comes back; everything by default. */
  access?: number;
}

function lie(field: string, why: string): Error {
  return raise('PP_WIRE_MALFORMED', { message: 'REnumServicesStatusW response', field, offset: 0, why });
}

/** ServiceManager is the open database of services of a machine. */
export class ServiceManager {
  readonly #rpc: RpcClient;
  readonly #handle: Uint8Array;

  constructor(rpc: RpcClient, handle: Uint8Array) {
    this.#rpc = rpc;
    this.#handle = handle;
  }

  /** create makes a service with a program of its own and gives it opened. */
  async create(wanted: NewService): Promise<Service> {
    const { service, status } = await this.#rpc.call(createService, {
      manager: this.#handle,
      serviceName: wanted.name,
      displayName: wanted.displayName,
      desiredAccess: wanted.access ?? ServiceRight.ALL,
      serviceType: ServiceType.OWN_PROCESS,
      startType: startTypeNumber(wanted.startType),
      errorControl: ErrorControl.NORMAL,
      binaryPathName: wanted.binaryPath,
      loadOrderGroup: null,
      tagId: null,
      dependencies: null,
      dependenciesSize: 0,
      serviceStartName: wanted.account ?? null,
      password: null,
      passwordSize: 0,
    });
    if (status !== WIN32.SUCCESS) throw refusal('services', status, 'CreateService', `the service ${wanted.name}`);
    return new Service(this.#rpc, service, wanted.name);
  }

  /** open gives a service, or undefined when the machine has none of that name. */
  async open(name: string, access: number = ServiceRight.ALL): Promise<Service | undefined> {
    const request = { manager: this.#handle, serviceName: name, desiredAccess: access };
    const { service, status } = await this.#rpc.call(openService, request);
    if (status === WIN32.SERVICE_DOES_NOT_EXIST) return undefined;
    if (status !== WIN32.SUCCESS) throw refusal('services', status, 'OpenService', `the service ${name}`);
    return new Service(this.#rpc, service, name);
  }

  /** list gives every service that is a program, not the drivers. */
  async list(): Promise<ListedService[]> {
    const services: ListedService[] = [];
    let resumeIndex = 0;
    let bufferSize = 0;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const request = {
        manager: this.#handle,
        serviceType: ServiceType.WIN32,
        serviceState: StateFilter.ALL,
        bufferSize,
        resumeIndex,
      };
      const answer = await this.#rpc.call(enumServicesStatus, request);
      const more = answer.status === WIN32.MORE_DATA || answer.status === WIN32.INSUFFICIENT_BUFFER;
      if (answer.status !== WIN32.SUCCESS && !more)
        throw refusal('services', answer.status, 'EnumServicesStatus', 'all services');
      const { buffer, servicesReturned } = answer;
      if (buffer.length > bufferSize) throw lie('buffer', `${buffer.length} octets, asked were ${bufferSize}`);
      if (services.length + servicesReturned > MOST_SERVICES)
        throw lie('servicesReturned', `more than ${MOST_SERVICES} services`);
      services.push(...readServices(buffer, servicesReturned));
      if (!more) return services;
      resumeIndex = answer.resumeIndex ?? 0;
      bufferSize = Math.min(answer.bytesNeeded + SLACK, MOST_ROOM);
    }
    throw refusal('services', WIN32.MORE_DATA, 'EnumServicesStatus', 'all services');
  }

  /** close gives the handle back; it never fails, since closing the pipe would do the same. */
  async close(): Promise<void> {
    await this.#rpc.call(closeServiceHandle, { handle: this.#handle }).catch(() => undefined);
  }
}

/** openServiceManager opens the service database; only administrators of the machine may. */
export async function openServiceManager(
  rpc: RpcClient,
  access: number = ManagerRight.CONNECT | ManagerRight.CREATE_SERVICE | ManagerRight.ENUMERATE,
): Promise<ServiceManager> {
  const request = { machineName: null, databaseName: null, desiredAccess: access };
  const { manager, status } = await rpc.call(openSCManager, request);
  if (status !== WIN32.SUCCESS) throw refusal('services', status, 'OpenSCManager', 'the service database');
  return new ServiceManager(rpc, manager);
}
