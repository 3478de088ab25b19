export { BranchRecord, type News, type WantedPackage } from './record.ts';
export type { Aside } from './aside.ts';
export type { BranchCcr } from './ccrs.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'branch', folder: new URL('./migrations/', import.meta.url) };
