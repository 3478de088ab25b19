export { startFleet, type Fleet, type FleetHost, type FleetOptions } from './fleet.ts';
export { troubles, type Expected } from './mixes.ts';
export { labPackage, type LabPackage } from './package.ts';
