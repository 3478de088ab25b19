import { catalogue, type Code } from './catalogue.ts';
import type { Again, Entry, Origin } from './entry.ts';

/** Params fill the {name} places of a message. Never put a secret here: messages are logged and shown. */
export type Params = Record<string, string | number>;

export interface RaiseOptions {
  cause?: unknown;
  /** NTSTATUS the peer answered with, kept for the log. */
  ntstatus?: number;
  /** Win32 code the peer answered with, where it is more exact than the catalogue's. */
  win32?: number;
  /** One more sentence of detail for the timeline of an attempt. */
  detail?: string;
}

function fill(template: string, params: Params): string {
  return template.replace(/\{(\w+)\}/g, (place, name: string) => (name in params ? String(params[name]) : place));
}

/** PushpointError is the base of every error the product raises on purpose; anything else that is thrown is a defect. */
export class PushpointError extends Error {
  readonly code: Code;
  readonly params: Params;
  readonly origin: Origin;
  readonly again: Again;
  readonly win32: number | undefined;
  readonly http: number;
  readonly ntstatus: number | undefined;
  readonly detail: string | undefined;

  constructor(code: Code, params: Params = {}, options: RaiseOptions = {}) {
    const entry: Entry = catalogue[code];
    super(fill(entry.message, params), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.params = params;
    this.origin = entry.origin;
    this.again = entry.again;
    this.win32 = options.win32 ?? entry.win32;
    this.http = entry.http ?? 500;
    this.ntstatus = options.ntstatus;
    this.detail = options.detail;
  }

  /** reason is the catalogue's sentence on why this happens. */
  get reason(): string {
    return fill(catalogue[this.code].cause, this.params);
  }

  /** remedy is the catalogue's sentence on what to do. */
  get remedy(): string {
    return fill(catalogue[this.code].remedy, this.params);
  }
}

/** Unreachable: nobody answered there. */
export class Unreachable extends PushpointError {}
/** Refused: the peer understood and said no. */
export class Refused extends PushpointError {}
/** Malformed: what came in does not have the form it must have. */
export class Malformed extends PushpointError {}
/** Timeout: the peer was there and did not answer in time. */
export class Timeout extends PushpointError {}
/** Misconfigured: what the administrator set up here cannot work. */
export class Misconfigured extends PushpointError {}

const classes: Record<Origin, typeof PushpointError> = {
  unreachable: Unreachable,
  refused: Refused,
  malformed: Malformed,
  timeout: Timeout,
  misconfigured: Misconfigured,
};

/** raise makes the error of the class that the code's origin asks for; the caller throws it. */
export function raise(code: Code, params: Params = {}, options: RaiseOptions = {}): PushpointError {
  return new classes[catalogue[code].origin](code, params, options);
}

/** isCode tells whether an error is a PushpointError with one of these codes. */
export function isCode(error: unknown, ...codes: Code[]): error is PushpointError {
  return error instanceof PushpointError && codes.includes(error.code);
}
