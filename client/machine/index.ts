export { placeOf } from './places.ts';
export type { Run } from './windows-facts.ts';
export { windowsHost } from './windows-host.ts';
