export * from './definitions.ts';
export { serverInfo, serverTime, shareInfo, type ServerInfo, type ShareInfo } from './server-info.ts';
