export type { SiteKey } from './key.ts';
export type { Line } from './line.ts';
export type {
  Delivery,
  Link,
  LinkHandler,
  LinkHandlers,
  LinkItem,
  LinkState,
  Outgoing,
  Peer,
  ReceivedItem,
  Role,
} from './link.ts';
export type { OutBatch } from './outbox.ts';
export { LinkRecord } from './record.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'link', folder: new URL('./migrations/', import.meta.url) };
