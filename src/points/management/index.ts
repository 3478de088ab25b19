export { createManagementPoint, type ManagementParts } from './server.ts';
export { Paces } from './pace.ts';
export { Refusals } from './refusals.ts';
