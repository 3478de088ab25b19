export { accountSid } from './account-sid.ts';
export * from './definitions.ts';
