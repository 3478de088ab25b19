export { STATUS, WIN32 } from './codes.generated.ts';
export { statusName, win32Name, win32OfStatus } from './names.ts';
export { FAULT, faultName, win32OfFault } from './faults.ts';
export { causeOf } from './causes.ts';
