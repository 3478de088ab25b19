export { brokenInstaller, HandHost, laterAgent } from './by-hand.ts';
export { startFleet, type Fleet, type FleetOptions } from './fleet.ts';
export { labPackage, type LabPackage } from './package.ts';
