export { Identity, type Memory } from './identity.ts';
