export { Account, AccountBook, LabDomain, type AccountSpec, type AccountState } from './accounts.ts';
export { LabHost, type LabHostOptions } from './host.ts';
export { profiles, type Profile, type ProfileName } from './profiles.ts';
export { healthy, type Switches } from './switches.ts';
