export { automatic, type Automatic, type AutomaticFacts } from './automatic.ts';
export type { Maintained, Task as MaintenanceTask } from './maintenance.ts';
export {
  DiscoveryRecord,
  type DdrOrigin,
  type DdrOutcome,
  type Ingested,
  type OnStored,
  type StoredDdrs,
  type Reassigned,
  type Swept,
  type Taken,
} from './record.ts';
export type { WhomToReassign } from './pages.ts';
export type { QueuedDdr } from './queue.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'discovery', folder: new URL('./migrations/', import.meta.url) };
