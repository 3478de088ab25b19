export { JsonLog, silentLog, type Fields, type Level, type Log } from './json-log.ts';
export { ServerLog } from './server-log.ts';
export { flushLogs, LogFile } from './log-file.ts';
