export { ClientLog, usualLog, type LogRules } from './client-log.ts';
