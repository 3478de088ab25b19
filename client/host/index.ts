export { Installed, readInstalled, readJson, writeJson } from './installed.ts';
export { layout } from './layout.ts';
export { baseName, folderOf, joinPath } from './paths.ts';
export type { ClientCertificate, FetchInit, ServiceState, ServiceWish, TargetHost } from './target-host.ts';
