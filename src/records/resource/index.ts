export {
  nameKey,
  namePattern,
  sameDomain,
  shortKey,
  shownName,
  validDomain,
  validName,
  whyNotName,
  type ValidName,
} from './names.ts';
export type { Device, DeviceClient, Source, SystemType } from './device.ts';
export { canonicalAddress, type RawDevice, type Rejected } from './row.ts';
export { parseDevices, type ParsedDevices } from './parse.ts';
export type { Imported, ImportOptions } from './merge.ts';
export { ResourceRecord, type DevicePage, type DeviceQuery, type Named, type Observed } from './record.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'resource', folder: new URL('./migrations/', import.meta.url) };
