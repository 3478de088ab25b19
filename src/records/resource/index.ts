export { nameKey, sameDomain, shortKey, shownName, validDomain, validName, whyNotName, type ValidName } from './names.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'resource', folder: new URL('./migrations/', import.meta.url) };
