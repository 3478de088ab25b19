export { ClientLog } from './client-log.ts';
