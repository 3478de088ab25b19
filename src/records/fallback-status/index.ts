export { FallbackStatusRecord, type FallbackState, type FallbackStatusPage } from './record.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'fallback-status', folder: new URL('./migrations/', import.meta.url) };
