export { LabDomain, type AccountSpec } from './accounts.ts';
export { LabHost, type LabHostOptions } from './host.ts';
export { loopbackFetch } from './loopback-fetch.ts';
export type { ProfileName } from './profiles.ts';
export type { Switches } from './switches.ts';
