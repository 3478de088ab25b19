export { type MethodName, type NetworkPatch, type NetworkSettings, type ProbePort } from './settings.ts';
export { MethodRecord, type MethodShown, type RunWish, type Schedule } from './record.ts';
export { emptyReport, type NetworkReport, type Note } from './report.ts';
export { type Run, type RunKind } from './run.ts';
export { Targets } from './targets.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'method', folder: new URL('./migrations/', import.meta.url) };
