/** Origin says where an error comes from; there is one error class for each. */
export type Origin = 'unreachable' | 'refused' | 'malformed' | 'timeout' | 'misconfigured';

/**
 * Again says what another try is worth; CCM decides by it and by nothing else.
 * retry: hourly. wait: until a human or the machine changes something. never: skipped or failed now.
 */
export type Again = 'retry' | 'wait' | 'never';

/** Entry is one row of the error catalogue. */
export interface Entry {
  origin: Origin;
  /** Message with {name} places that the raiser fills in; lower case, no full stop. */
  message: string;
  /** Win32 code that administrators search by (facts B5), where there is one. */
  win32?: number;
  /** HTTP status that a point answers with; 500 where none stands here. */
  http?: number;
  /** Why this happens, as a sentence for an administrator. */
  cause: string;
  /** What to do about it, as a sentence for an administrator. */
  remedy: string;
  again: Again;
}
