import { fromUtf16 } from '#wire/bytes';
import { svcctl } from '#wire/rpc';
import { WIN32 } from '#wire/status';
import { offer, serve, type Call, type Handler, type Offer } from './offer.ts';
import { Win32Refusal } from './refusal.ts';
import { demand, managerRights, serviceRights } from './service-rights.ts';
import { configOf, enumeration, moreConfigOf } from './service-views.ts';
import type { LabService, Services } from './services.ts';

const { ConfigLevel, ManagerRight, NO_CHANGE, ServiceControl, ServiceRight } = svcctl;
const SUCCESS = WIN32.SUCCESS;
/** The most that the status and configuration calls may be asked for ([MS-SCMR] 3.1.4.37 and .38). */
const MOST_BUFFER = 8192;

/** ManagerHandle is the open service database. */
class ManagerHandle {
  readonly rights: number;
  constructor(rights: number) {
    this.rights = rights;
  }
}

/** ServiceHandle is an open service. */
class ServiceHandle {
  readonly service: LabService;
  readonly rights: number;
  constructor(service: LabService, rights: number) {
    this.service = service;
    this.rights = rights;
  }
}

function manager(call: Call, handle: Uint8Array, right: number): void {
  demand(call.handles.get(handle, ManagerHandle).rights, right);
}

function serviceFor(call: Call, handle: Uint8Array, right: number): LabService {
  const { service, rights } = call.handles.get(handle, ServiceHandle);
  demand(rights, right);
  return service;
}

function startTypeOf(number: number): svcctl.StartType {
  const type = svcctl.startTypes[number];
  // Boot and system are for drivers alone.
  if (type === undefined || number < 2) throw new Win32Refusal(WIN32.INVALID_PARAMETER);
  return type;
}

const isProgram = (serviceType: number) => (serviceType & ~(svcctl.ServiceType.WIN32 | svcctl.ServiceType.INTERACTIVE)) === 0;

function dependenciesOf(octets: Uint8Array | null): string[] {
  return fromUtf16(octets ?? new Uint8Array(0))
    .split('\0')
    .filter((name) => name !== '');
}

/** bufferOf answers the calls whose buffer has the size the caller chose: 122 and the needed size when that is too little. */
function bufferOf(octets: Uint8Array, bufferSize: number): { buffer: Uint8Array; bytesNeeded: number; status: number } {
  const buffer = new Uint8Array(Math.min(bufferSize, MOST_BUFFER));
  const fits = octets.length <= buffer.length;
  if (fits) buffer.set(octets);
  return { buffer, bytesNeeded: octets.length, status: fits ? SUCCESS : WIN32.INSUFFICIENT_BUFFER };
}

function managerHandlers(services: Services): Handler[] {
  const open = (call: Call, service: LabService, desired: number) => {
    services.opened(service);
    return call.handles.open(new ServiceHandle(service, serviceRights(desired)), () => services.closed(service));
  };
  return [
    serve(svcctl.openSCManager, (request, call) => {
      // Anybody may look from near; over the network only administrators may connect since Windows Server 2003.
      if (!call.identity.administrator) throw new Win32Refusal(WIN32.ACCESS_DENIED, 'only administrators');
      if (request.databaseName !== null && !/^ServicesActive$/i.test(request.databaseName))
        throw new Win32Refusal(WIN32.DATABASE_DOES_NOT_EXIST);
      return { manager: call.handles.open(new ManagerHandle(managerRights(request.desiredAccess))), status: SUCCESS };
    }),
    serve(svcctl.openService, (request, call) => {
      manager(call, request.manager, ManagerRight.CONNECT);
      return { service: open(call, services.need(request.serviceName), request.desiredAccess), status: SUCCESS };
    }),
    serve(svcctl.createService, (request, call) => {
      manager(call, request.manager, ManagerRight.CREATE_SERVICE);
      if (!isProgram(request.serviceType)) throw new Win32Refusal(WIN32.INVALID_PARAMETER);
      const service = services.create({
        name: request.serviceName,
        displayName: request.displayName || request.serviceName,
        binaryPath: request.binaryPathName,
        serviceType: request.serviceType,
        startType: startTypeOf(request.startType),
        errorControl: request.errorControl,
        account: request.serviceStartName ?? 'LocalSystem',
        dependencies: dependenciesOf(request.dependencies),
      });
      return { tagId: request.tagId, service: open(call, service, request.desiredAccess), status: SUCCESS };
    }),
    serve(svcctl.enumServicesStatus, (request, call) => {
      manager(call, request.manager, ManagerRight.ENUMERATE);
      return enumeration(services.list(), request);
    }),
    serve(svcctl.closeServiceHandle, (request, call) => {
      call.handles.close(request.handle);
      return { handle: new Uint8Array(20), status: SUCCESS };
    }),
  ];
}

function controlHandlers(services: Services): Handler[] {
  return [
    serve(svcctl.controlService, (request, call) => {
      const right = request.control === ServiceControl.INTERROGATE ? ServiceRight.INTERROGATE : ServiceRight.STOP;
      const service = serviceFor(call, request.service, right);
      services.control(service, request.control);
      return { serviceStatus: service.status(), status: SUCCESS };
    }),
    serve(svcctl.startService, async (request, call) => {
      const service = serviceFor(call, request.service, ServiceRight.START);
      // The first argument is by custom the name of the service; the program gets those behind it.
      const args = (request.arguments ?? []).slice(1).map((one) => one ?? '');
      await services.start(service, args);
      return { status: SUCCESS };
    }),
    serve(svcctl.deleteService, (request, call) => {
      services.remove(serviceFor(call, request.service, ServiceRight.DELETE));
      return { status: SUCCESS };
    }),
  ];
}

function configHandlers(services: Services): Handler[] {
  return [
    serve(svcctl.changeServiceConfig, (request, call) => {
      const service = serviceFor(call, request.service, ServiceRight.CHANGE_CONFIG);
      services.change(service, {
        ...(request.startType !== NO_CHANGE && { startType: startTypeOf(request.startType) }),
        ...(request.serviceType !== NO_CHANGE && { serviceType: request.serviceType }),
        ...(request.errorControl !== NO_CHANGE && { errorControl: request.errorControl }),
        ...(request.binaryPathName !== null && { binaryPath: request.binaryPathName }),
        ...(request.displayName !== null && { displayName: request.displayName }),
        ...(request.serviceStartName !== null && { account: request.serviceStartName }),
        ...(request.dependencies !== null && { dependencies: dependenciesOf(request.dependencies) }),
      });
      return { tagId: request.tagId, status: SUCCESS };
    }),
    serve(svcctl.changeServiceConfig2, (request, call) => {
      const service = serviceFor(call, request.service, ServiceRight.CHANGE_CONFIG);
      const { level, info } = request.info;
      if (level === ConfigLevel.DESCRIPTION && info && 'description' in info) {
        services.change(service, { description: info.description || undefined });
      }
      return { status: SUCCESS };
    }),
    serve(svcctl.queryServiceConfig, (request, call) => {
      const { config, size } = configOf(serviceFor(call, request.service, ServiceRight.QUERY_CONFIG));
      if (request.bufferSize >= size) return { config, bytesNeeded: size, status: SUCCESS };
      return { ...svcctl.queryServiceConfig.response.empty(), bytesNeeded: size, status: WIN32.INSUFFICIENT_BUFFER };
    }),
    serve(svcctl.queryServiceConfig2, (request, call) => {
      const octets = moreConfigOf(serviceFor(call, request.service, ServiceRight.QUERY_CONFIG), request.level);
      if (!octets) throw new Win32Refusal(WIN32.INVALID_LEVEL);
      return bufferOf(octets, request.bufferSize);
    }),
  ];
}

function queryHandlers(): Handler[] {
  return [
    serve(svcctl.queryServiceStatus, (request, call) => {
      const service = serviceFor(call, request.service, ServiceRight.QUERY_STATUS);
      return { serviceStatus: service.status(), status: SUCCESS };
    }),
    serve(svcctl.queryServiceStatusEx, (request, call) => {
      const service = serviceFor(call, request.service, ServiceRight.QUERY_STATUS);
      if (request.level !== 0) throw new Win32Refusal(WIN32.INVALID_LEVEL);
      const status = { ...service.status(), processId: service.pid, serviceFlags: 0 };
      return bufferOf(svcctl.ServiceStatusProcess.encode(status), request.bufferSize);
    }),
  ];
}

/** svcctlOffer is the service control manager of a machine over RPC. */
export function svcctlOffer(services: Services): Offer {
  return offer(svcctl.SVCCTL, [
    ...managerHandlers(services),
    ...controlHandlers(services),
    ...configHandlers(services),
    ...queryHandlers(),
  ]);
}
