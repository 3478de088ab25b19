export { createManagementPoint, type ManagementParts } from './server.ts';
export { Refusals } from './refusals.ts';
