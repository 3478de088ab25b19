import { PushpointError, raise } from '#base/errors';
import { EXIT, note, printJsonLine } from './output.ts';

/** A failure as the API and the command show it: what, why, what to do. */
export interface Failure {
  code: string;
  message: string;
  cause?: string | undefined;
  remedy?: string | undefined;
}

/** ApiFailure is a problem that the site server answered with (RFC 9457). */
export class ApiFailure extends Error {
  readonly failure: Failure;
  readonly status: number;
  constructor(failure: Failure, status: number) {
    super(failure.message);
    this.failure = failure;
    this.status = status;
  }
}

/** What was given cannot be understood: the command line itself, a file named on it, or a value that the site refuses to read. */
const WRONG_USE = new Set([400, 413, 415, 422]);

function failureOf(error: unknown): { failure: Failure; status: number } {
  if (error instanceof ApiFailure) return { failure: error.failure, status: error.status };
  if (error instanceof PushpointError) {
    const { code, message, reason, remedy, http } = error;
    return { failure: { code, message, cause: reason, remedy }, status: http };
  }
  const refused = error as NodeJS.ErrnoException;
  if (error instanceof Error && refused.syscall && refused.code)
    return failureOf(raise('PP_CLI_SYSTEM', { why: error.message }, { cause: error }));
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    failure: {
      code: 'PP_DEFECT',
      message,
      cause: 'This is a defect of the program.',
      remedy: 'Please report it with this text.',
    },
    status: 500,
  };
}

/** reportError prints an error with its cause and remedy and gives the exit code it calls for. */
export function reportError(error: unknown, json: boolean): number {
  const { failure, status } = failureOf(error);
  if (json) printJsonLine({ error: failure });
  note(`pushpoint: ${failure.message} [${failure.code}]`);
  if (failure.cause) note(`  cause: ${failure.cause}`);
  if (failure.remedy) note(`  fix:   ${failure.remedy}`);
  return WRONG_USE.has(status) ? EXIT.usage : EXIT.failed;
}

/** usage makes the error for a command line that cannot be understood. */
export function usage(why: string): Error {
  return raise('PP_CLI_USAGE', { why });
}
