export { catalogue, type Code } from './catalogue.ts';
export { isCode, Malformed, PushpointError, raise, Refused, type Params, type RaiseOptions } from './error.ts';
export type { Again, Entry, Origin } from './entry.ts';
export { problemOf, type Problem } from './problem.ts';
