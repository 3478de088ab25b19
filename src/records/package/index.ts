export { filesOf, packageDefinition, type PackageDefinition } from './definition.ts';
export { PackageRecord, type Package, type PackageFile } from './record.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'package', folder: new URL('./migrations/', import.meta.url) };
