export { AuditRecord, type AuditEntry, type AuditLine, type AuditPage, type Verified } from './record.ts';

/** migrations are the table of this record. */
export const migrations = { record: 'audit', folder: new URL('./migrations/', import.meta.url) };
