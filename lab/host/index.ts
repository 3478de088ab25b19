export { LabDomain, type AccountSpec } from './accounts.ts';
export { LabHost, type LabHostOptions } from './host.ts';
export type { ProfileName } from './profiles.ts';
export type { Switches } from './switches.ts';
