export { createManagementPoint, type ManagementParts } from './server.ts';
