export { createManagementPoint, type ManagementParts } from './server.ts';
export { networkOf, plainAddress, Rate } from './rate.ts';
export { Refusals } from './refusals.ts';
