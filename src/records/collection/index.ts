export type { Collection } from './collection.ts';
export type { Moved } from './evaluate.ts';
export type { CollectionChange, Definitions } from './define.ts';
export { CollectionRecord, type Caught, type Evaluated, type NewCollection } from './record.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'collection', folder: new URL('./migrations/', import.meta.url) };
