export {
  isLocal,
  logonName,
  passwordPurpose,
  type Account,
  type AccountListed,
  type AccountState,
  type LogonName,
  type Machine,
  type Scope,
} from './account.ts';
export { AccountRecord } from './record.ts';
export { Refusals } from './refusals.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'account', folder: new URL('./migrations/', import.meta.url) };
