export { catalogue, type Code } from './catalogue.ts';
export {
  isCode,
  Malformed,
  Misconfigured,
  PushpointError,
  raise,
  Refused,
  Timeout,
  Unreachable,
  type Params,
  type RaiseOptions,
} from './error.ts';
export type { Again, Entry, Origin } from './entry.ts';
export { problemOf, type Problem } from './problem.ts';
