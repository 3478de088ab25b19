import { concat, toUtf16, Writer } from '#wire/bytes';
import { svcctl, type ValueIn } from '#wire/rpc';
import { WIN32 } from '#wire/status';
import type { LabService } from './services.ts';

const { ConfigLevel, StateFilter } = svcctl;
/** The most that one enumeration answers ([MS-SCMR] 3.1.4.14). */
const MOST_ROOM = 256 * 1024;
/** QUERY_SERVICE_CONFIGW as a 32-bit caller counts it, without its texts. */
const CONFIG_SIZE = 36;

/** configOf is QUERY_SERVICE_CONFIGW of a service, and how large a caller's buffer must be for it. */
export function configOf(service: LabService): { config: ValueIn<typeof svcctl.QueryServiceConfig>; size: number } {
  const config = {
    serviceType: service.serviceType,
    startType: svcctl.startTypes.indexOf(service.startType),
    errorControl: service.errorControl,
    binaryPathName: service.binaryPath,
    loadOrderGroup: '',
    tagId: 0,
    dependencies: service.dependencies.join('/'),
    serviceStartName: service.account,
    displayName: service.displayName,
  };
  const texts = [config.binaryPathName, '', config.dependencies, config.serviceStartName, config.displayName];
  return { config, size: texts.reduce((sum, text) => sum + 2 * (text.length + 1), CONFIG_SIZE) };
}

/** moreConfigOf is the buffer of RQueryServiceConfig2W, or undefined for a level that is not played; offsets count from its first octet ([MS-SCMR] 2.2.36). */
export function moreConfigOf(service: LabService, level: number): Uint8Array | undefined {
  const w = new Writer();
  if (level === ConfigLevel.DESCRIPTION) {
    return service.description === undefined ? w.u32(0).done() : concat(w.u32(4).done(), toUtf16(`${service.description}\0`));
  }
  if (level === ConfigLevel.FAILURE_ACTIONS) return w.zeros(20).done();
  if (level === ConfigLevel.DELAYED_AUTO_START) return w.u32(0).done();
  return undefined;
}

type Asked = ValueIn<typeof svcctl.enumServicesStatus.request>;
type Listed = ValueIn<typeof svcctl.enumServicesStatus.response>;

/** enumeration lists services from where the caller stopped, as many as its buffer takes, and says how much room the rest wants. */
export function enumeration(services: LabService[], asked: Asked): Listed {
  const wanted = services
    .filter(({ serviceType }) => (serviceType & asked.serviceType) !== 0)
    .filter(({ state }) => (asked.serviceState & (state === 'stopped' ? StateFilter.INACTIVE : StateFilter.ACTIVE)) !== 0)
    .map((service) => ({ name: service.name, displayName: service.displayName, status: service.status() }));
  const room = Math.min(asked.bufferSize, MOST_ROOM);
  const from = Math.min(asked.resumeIndex ?? 0, wanted.length);
  let used = 0;
  let upTo = from;
  while (upTo < wanted.length && used + svcctl.entrySize(wanted[upTo]!) <= room) used += svcctl.entrySize(wanted[upTo++]!);
  const rest = wanted.slice(upTo);
  return {
    buffer: svcctl.writeServices(wanted.slice(from, upTo), room),
    bytesNeeded: rest.reduce((sum, one) => sum + svcctl.entrySize(one), 0),
    servicesReturned: upTo - from,
    resumeIndex: asked.resumeIndex === null ? null : rest.length > 0 ? upTo : 0,
    status: rest.length > 0 ? WIN32.MORE_DATA : WIN32.SUCCESS,
  };
}
