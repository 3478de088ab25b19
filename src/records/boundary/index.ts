export { ipText, numberOf, readIp } from './address.ts';
export { BoundaryRecord, type Added } from './record.ts';
export { BoundaryIndex, boundaryText, type Boundary, type Judged, type Which } from './lookup.ts';
export type { BoundaryKind, Parsed } from './parse.ts';
export { parseBoundary } from './parse.ts';
export type { Overlap } from './overlaps.ts';
export type { Gap, Report } from './report.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'boundary', folder: new URL('./migrations/', import.meta.url) };
