export { placeOf } from './places.ts';
export { posixHost } from './posix-host.ts';
export { clearRuntimes } from './runtimes.ts';
export type { Run } from './windows-facts.ts';
export { windowsHost } from './windows-host.ts';
