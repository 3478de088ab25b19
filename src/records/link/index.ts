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
export { LinkRecord } from './record.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'link', folder: new URL('./migrations/', import.meta.url) };
