export type { Assignment, Target } from './assignment.ts';
export type { Ask } from './make.ts';
export { secretPurpose } from './secrets.ts';
export { PolicyRecord } from './record.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'policy', folder: new URL('./migrations/', import.meta.url) };
