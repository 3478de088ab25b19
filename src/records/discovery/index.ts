export { automatic, type Automatic, type AutomaticFacts } from './automatic.ts';
export type { Maintained, Task as MaintenanceTask } from './maintenance.ts';
export { DiscoveryRecord, type DdrOutcome, type Ingested } from './record.ts';
export type { Repeated, Taken } from './intake.ts';
export type { Reassigned } from './reassign.ts';
export type { DdrOrigin, OnStored, StoredDdrs } from './stored.ts';
export type { Swept } from './sweep.ts';
export type { WhomToReassign } from './pages.ts';
export type { QueuedDdr } from './queue.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'discovery', folder: new URL('./migrations/', import.meta.url) };
