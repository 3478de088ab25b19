export { askPoint } from './ask-point.ts';
export { Doctor } from './doctor.ts';
export { Findings } from './findings.ts';
export type { DoctorNetwork, DoctorParts, ServerParts } from './parts.ts';
export { Server } from './server.ts';
