export { baseName, folderOf, joinPath } from './paths.ts';
export type { FetchInit, ServiceState, ServiceWish, TargetHost } from './target-host.ts';
