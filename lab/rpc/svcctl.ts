import { toUtf16, Writer } from '#wire/bytes';
import { svcctl } from '#wire/rpc';
import { WIN32 } from '#wire/status';
import { offer, serve, type Call, type Handler, type Offer } from './offer.ts';
import { win32Of, Win32Refusal } from './refusal.ts';
import type { LabService, Services } from './services.ts';

/** A handle to the service manager, and one to a service. */
class ManagerHandle {}
class ServiceHandle {
  readonly service: LabService;
  constructor(service: LabService) {
    this.service = service;
  }
}

interface WithStatus {
  status: number;
}

/** The status of an answer is what the refusal says; a defect of the lab is a general failure. */
function refuse<A extends WithStatus>(error: unknown, empty: A): A {
  const code = win32Of(error);
  if (code === undefined) throw error;
  return { ...empty, status: code };
}

function administratorsOnly(call: Call): void {
  if (!call.identity.administrator) throw new Win32Refusal(WIN32.ACCESS_DENIED, 'only administrators');
}

const serviceOf = (call: Call, handle: Uint8Array): LabService => call.handles.get(handle, ServiceHandle).service;

function startTypeOf(number: number): svcctl.StartType {
  const type = svcctl.startTypes[number];
  if (type === undefined) throw new Win32Refusal(WIN32.INVALID_PARAMETER);
  return type;
}

/** svcctlOffer is the service control manager of a machine over RPC. */
export function svcctlOffer(services: Services): Offer {
  return offer(svcctl.SVCCTL, [
    ...managerHandlers(services),
    ...controlHandlers(services),
    ...configHandlers(),
    ...queryHandlers(),
  ]);
}

function open(services: Services, call: Call, service: LabService): Uint8Array {
  services.opened(service);
  return call.handles.open(new ServiceHandle(service), () => services.closed(service));
}

function managerHandlers(services: Services): Handler[] {
  return [
    serve(
      svcctl.openSCManager,
      (request, call) => {
        // Anybody may look from near; over the network only administrators may connect since Windows Server 2003.
        administratorsOnly(call);
        if (request.databaseName !== null && !/^ServicesActive$/i.test(request.databaseName))
          throw new Win32Refusal(WIN32.DATABASE_DOES_NOT_EXIST);
        return { manager: call.handles.open(new ManagerHandle()), status: 0 };
      },
      refuse,
    ),
    serve(
      svcctl.openService,
      (request, call) => {
        call.handles.get(request.manager, ManagerHandle);
        return { service: open(services, call, services.need(request.serviceName)), status: 0 };
      },
      refuse,
    ),
    serve(
      svcctl.createService,
      (request, call) => {
        call.handles.get(request.manager, ManagerHandle);
        administratorsOnly(call);
        const service = services.create({
          name: request.serviceName,
          displayName: request.displayName ?? request.serviceName,
          binaryPath: request.binaryPathName,
          serviceType: request.serviceType,
          startType: startTypeOf(request.startType),
          errorControl: request.errorControl,
          account: request.serviceStartName ?? 'LocalSystem',
        });
        return { tagId: request.tagId === null ? null : 0, service: open(services, call, service), status: 0 };
      },
      refuse,
    ),
    serve(
      svcctl.enumServicesStatus,
      (request, call) => {
        call.handles.get(request.manager, ManagerHandle);
        return enumerate(services, request);
      },
      refuse,
    ),
    serve(
      svcctl.closeServiceHandle,
      (request, call) => {
        call.handles.close(request.handle);
        return { handle: new Uint8Array(20), status: 0 };
      },
      refuse,
    ),
  ];
}

interface EnumRequest {
  serviceState: number;
  bufferSize: number;
  resumeIndex: number | null;
}

/** As many entries as fit; the index of the next one, and how much room the rest wants, go back with MORE_DATA. */
function enumerate(services: Services, request: EnumRequest) {
  const wanted = services
    .list()
    .filter((s) =>
      s.state === 'stopped'
        ? request.serviceState & svcctl.StateFilter.INACTIVE
        : request.serviceState & svcctl.StateFilter.ACTIVE,
    );
  const rest = wanted
    .slice(request.resumeIndex ?? 0)
    .map((s) => ({ name: s.name, displayName: s.displayName, status: s.status() }));
  const room = Math.min(request.bufferSize, 256 * 1024);
  let used = 0;
  let fit = 0;
  while (fit < rest.length && used + svcctl.entrySize(rest[fit]!) <= room) used += svcctl.entrySize(rest[fit++]!);
  const missing = rest.slice(fit).reduce((sum, entry) => sum + svcctl.entrySize(entry), 0);
  return {
    buffer: svcctl.writeServices(rest.slice(0, fit), room),
    bytesNeeded: missing,
    servicesReturned: fit,
    resumeIndex: request.resumeIndex === null ? null : missing > 0 ? (request.resumeIndex ?? 0) + fit : 0,
    status: missing > 0 ? WIN32.MORE_DATA : 0,
  };
}

function controlHandlers(services: Services): Handler[] {
  return [
    serve(
      svcctl.controlService,
      (request, call) => {
        administratorsOnly(call);
        const service = serviceOf(call, request.service);
        services.control(service, request.control);
        return { serviceStatus: service.status(), status: 0 };
      },
      refuse,
    ),
    serve(
      svcctl.startService,
      async (request, call) => {
        administratorsOnly(call);
        // The first argument is by custom the name of the service; the program gets those behind it.
        const args = (request.arguments ?? []).map((a) => a ?? '');
        await services.start(serviceOf(call, request.service), args);
        return { status: 0 };
      },
      refuse,
    ),
    serve(
      svcctl.deleteService,
      (request, call) => {
        administratorsOnly(call);
        services.remove(serviceOf(call, request.service));
        return { status: 0 };
      },
      refuse,
    ),
  ];
}

function configHandlers(): Handler[] {
  return [
    serve(
      svcctl.changeServiceConfig,
      (request, call) => {
        administratorsOnly(call);
        const service = serviceOf(call, request.service);
        if (service.marked) throw new Win32Refusal(WIN32.SERVICE_MARKED_FOR_DELETE);
        if (request.startType !== svcctl.NO_CHANGE) service.startType = startTypeOf(request.startType);
        if (request.serviceType !== svcctl.NO_CHANGE) service.serviceType = request.serviceType;
        if (request.errorControl !== svcctl.NO_CHANGE) service.errorControl = request.errorControl;
        service.binaryPath = request.binaryPathName ?? service.binaryPath;
        service.displayName = request.displayName ?? service.displayName;
        service.account = request.serviceStartName ?? service.account;
        return { tagId: request.tagId, status: 0 };
      },
      refuse,
    ),
    serve(
      svcctl.changeServiceConfig2,
      (request, call) => {
        administratorsOnly(call);
        const service = serviceOf(call, request.service);
        if (request.info.level === svcctl.ConfigLevel.DESCRIPTION) {
          const info = request.info.info as { description: string | null } | null | undefined;
          if (info?.description) service.description = info.description;
        }
        return { status: 0 };
      },
      refuse,
    ),
    serve(
      svcctl.queryServiceConfig,
      (request, call) => {
        const service = serviceOf(call, request.service);
        const texts = [service.binaryPath, '', '', service.account, service.displayName];
        const needed = 36 + texts.reduce((sum, text) => sum + 2 * (text.length + 1), 0);
        if (request.bufferSize < needed)
          return { ...svcctl.queryServiceConfig.response.empty(), bytesNeeded: needed, status: WIN32.INSUFFICIENT_BUFFER };
        const config = {
          serviceType: service.serviceType,
          startType: svcctl.startTypes.indexOf(service.startType),
          errorControl: service.errorControl,
          binaryPathName: service.binaryPath,
          loadOrderGroup: '',
          tagId: 0,
          dependencies: '',
          serviceStartName: service.account,
          displayName: service.displayName,
        };
        return { config, bytesNeeded: needed, status: 0 };
      },
      refuse,
    ),
    serve(
      svcctl.queryServiceConfig2,
      (request, call) => config2(serviceOf(call, request.service), request.level, request.bufferSize),
      refuse,
    ),
  ];
}

/** SERVICE_DESCRIPTION in a buffer: the offset of the text from the first octet, then the text ([MS-SCMR] 2.2.34). */
function config2(service: LabService, level: number, size: number) {
  const w = new Writer();
  if (level === svcctl.ConfigLevel.DESCRIPTION) {
    if (service.description === undefined) w.u32(0);
    else w.u32(4).bytes(toUtf16(`${service.description}\0`));
  } else if (level === svcctl.ConfigLevel.FAILURE_ACTIONS) w.zeros(20);
  else if (level === svcctl.ConfigLevel.DELAYED_AUTO_START) w.u32(0);
  else throw new Win32Refusal(WIN32.INVALID_LEVEL);
  const octets = w.done();
  const buffer = new Uint8Array(size);
  if (octets.length > size) return { buffer, bytesNeeded: octets.length, status: WIN32.INSUFFICIENT_BUFFER };
  buffer.set(octets);
  return { buffer, bytesNeeded: octets.length, status: 0 };
}

function queryHandlers(): Handler[] {
  return [
    serve(
      svcctl.queryServiceStatus,
      (request, call) => ({ serviceStatus: serviceOf(call, request.service).status(), status: 0 }),
      refuse,
    ),
    serve(
      svcctl.queryServiceStatusEx,
      (request, call) => {
        const service = serviceOf(call, request.service);
        if (request.level !== 0) throw new Win32Refusal(WIN32.INVALID_LEVEL);
        const octets = svcctl.ServiceStatusProcess.encode({ ...service.status(), processId: service.pid, serviceFlags: 0 });
        const buffer = new Uint8Array(request.bufferSize);
        if (octets.length > buffer.length) return { buffer, bytesNeeded: octets.length, status: WIN32.INSUFFICIENT_BUFFER };
        buffer.set(octets);
        return { buffer, bytesNeeded: octets.length, status: 0 };
      },
      refuse,
    ),
  ];
}
