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
export { canonicalAddress, systemType, type RawDevice, type Rejected } from './row.ts';
export { WITH_CLIENT } from './device.ts';
export { compileFilter, compileSearch, type Compiled, type Place } from './filter/compile.ts';
export { FIELDS, FLAGGED, type Field } from './filter/fields.ts';
export { LONGEST as LONGEST_FILTER } from './filter/words.ts';
export { propertiesOf, type ToldProperty } from './told.ts';
export { parseDevices, type ImportFormat, type ImportMap, type ParsedDevices } from './parse.ts';
export { BATCH, type Imported, type ImportOptions, type RowOutcome } from './batch.ts';
export type { DeviceQuery } from './asked.ts';
export type { DevicePage } from './list.ts';
export { ResourceRecord, type Named, type Observed } from './record.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'resource', folder: new URL('./migrations/', import.meta.url) };
