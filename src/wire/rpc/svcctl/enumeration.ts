import { fromUtf16, Reader, struct, toUtf16, u32, Writer } from '#wire/bytes';
import { reportOf, type ServiceReport } from './status.ts';
import type { ServiceStatus } from './definitions.ts';

/** [MS-SCMR] 2.2.11 ENUM_SERVICE_STATUSW as it stands in the buffer of REnumServicesStatusW: the names are offsets from its first octet. */
const EnumServiceStatus = struct('ENUM_SERVICE_STATUSW', {
  nameOffset: u32,
  displayNameOffset: u32,
  serviceType: u32,
  currentState: u32,
  controlsAccepted: u32,
  win32ExitCode: u32,
  serviceSpecificExitCode: u32,
  checkPoint: u32,
  waitHint: u32,
});
const ENTRY_SIZE = 36;
/** Names of services have at most 256 characters ([MS-SCMR] 3.1.4.12); some room for those who count otherwise. */
const MOST_CHARACTERS = 512;

/** ListedService is one entry of the list of services. */
export interface ListedService {
  name: string;
  displayName: string;
  serviceType: number;
  report: ServiceReport;
}

function textAt(r: Reader, offset: number, field: string): string {
  r.field = field;
  const from = r.part(offset, r.end - offset);
  let length = 0;
  // Many entries may point at one long text: what is read for each must not grow with the buffer.
  while (from.u16() !== 0) {
    length += 2;
    if (length > 2 * MOST_CHARACTERS) throw from.fail(`a name of more than ${MOST_CHARACTERS} characters`);
  }
  return fromUtf16(r.part(offset, length).rest());
}

/** readServices takes the entries out of an enumeration buffer. */
export function readServices(buffer: Uint8Array, count: number): ListedService[] {
  const r = new Reader(buffer, 'ENUM_SERVICE_STATUSW');
  r.field = 'servicesReturned';
  if (count * ENTRY_SIZE > buffer.length) throw r.fail(`${count} services announced in ${buffer.length} octets`);
  const list: ListedService[] = [];
  for (let i = 0; i < count; i++) {
    r.at = i * ENTRY_SIZE;
    const entry = EnumServiceStatus.read(r);
    const name = textAt(r, entry.nameOffset, 'serviceName');
    list.push({
      name,
      displayName: textAt(r, entry.displayNameOffset, 'displayName'),
      serviceType: entry.serviceType,
      report: reportOf(entry),
    });
  }
  return list;
}

/** ServiceEntry is one service as a server lists it. */
export interface ServiceEntry {
  name: string;
  displayName: string;
  status: ServiceStatus;
}

/** entrySize is how many octets a service takes in an enumeration buffer. */
export function entrySize(entry: ServiceEntry): number {
  return ENTRY_SIZE + 2 * (entry.name.length + 1 + entry.displayName.length + 1);
}

/** writeServices fills an enumeration buffer of `size` octets: entries from the front, names from the back, as Windows does. */
export function writeServices(entries: ServiceEntry[], size: number): Uint8Array {
  const buffer = new Uint8Array(size);
  const w = new Writer();
  let end = size - (size % 2);
  const place = (text: string): number => {
    const octets = toUtf16(`${text}\0`);
    end -= octets.length;
    buffer.set(octets, end);
    return end;
  };
  for (const { name, displayName, status } of entries) {
    EnumServiceStatus.write(w, { nameOffset: place(name), displayNameOffset: place(displayName), ...status });
  }
  buffer.set(w.done());
  return buffer;
}
