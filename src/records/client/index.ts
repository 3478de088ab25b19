export type { UnsentClient } from './branch.ts';
export type { Client, KnownClient, TrustRules } from './client.ts';
export type { ClientEvent } from './event.ts';
export type { ConflictShown } from './trust.ts';
export type { Registered, RegisterOptions } from './register.ts';
export { saidOf, type SaidRow, type State } from './state.ts';
export type { TokenKey, TokenWish } from './token.ts';
export { ClientRecord, type ClientPage, type ClientQuery } from './record.ts';
export type { Standing } from './standing.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'client', folder: new URL('./migrations/', import.meta.url) };
