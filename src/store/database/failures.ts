import { PushpointError, raise } from '#base/errors';

/** What PostgreSQL and the operating system say when there is no server to talk to (any more). */
const GONE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
]);
const GONE_TEXT = /connection terminated|not queryable|connection ended|connection error|query read timeout/i;

/** codeOf is the SQLSTATE or the operating system's code of an error, if it has one. */
export function codeOf(error: unknown): string | undefined {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** isGone tells whether an error means that the server cannot be talked to. */
export function isGone(error: unknown): boolean {
  if (error instanceof PushpointError) return error.code === 'PP_STORE_UNREACHABLE';
  if (error instanceof AggregateError && error.errors.length > 0) return isGone(error.errors[0]);
  const code = codeOf(error);
  if (code !== undefined) return GONE.has(code) || code.startsWith('08');
  return error instanceof Error && GONE_TEXT.test(error.message);
}

/** isConflict tells whether two transactions were in each other's way, so that the same one again can succeed. */
export function isConflict(error: unknown): boolean {
  const code = codeOf(error);
  return code === '40001' || code === '40P01';
}

/** isLocked tells whether a lock was not given in the time that was allowed for it (lock_timeout). */
export function isLocked(error: unknown): boolean {
  return codeOf(error) === '55P03';
}

function constraintOf(error: unknown): string | undefined {
  const name: unknown = error instanceof Error && 'constraint' in error ? error.constraint : undefined;
  return typeof name === 'string' ? name : undefined;
}

/** isUniqueViolation tells whether a row was refused because one like it is there (of that constraint, when named). */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  return codeOf(error) === '23505' && (constraint === undefined || constraintOf(error) === constraint);
}

/** isForeignKeyViolation tells whether a row was refused because what it points to is not there, or is still pointed to. */
export function isForeignKeyViolation(error: unknown, constraint?: string): boolean {
  return codeOf(error) === '23503' && (constraint === undefined || constraintOf(error) === constraint);
}

/**
 * translated turns what pg threw into the catalogue's error where an administrator can act on it, and leaves the rest, which records look
 * at (constraints) or which is a defect. `where` is the address without a password.
 */
export function translated(error: unknown, where: string): unknown {
  if (error instanceof PushpointError) return error;
  if (isGone(error)) return raise('PP_STORE_UNREACHABLE', { where }, { cause: error });
  switch (codeOf(error)) {
    case '28P01':
    case '28000':
      return raise('PP_STORE_PASSWORD', { where }, { cause: error });
    case '3D000':
      return raise('PP_STORE_NO_DATABASE', { where }, { cause: error });
    case '42501':
    case '25006':
      return raise('PP_STORE_NO_RIGHTS', { where, why: (error as Error).message }, { cause: error });
    case '53100':
      return raise('PP_STORE_DISK_FULL', { where }, { cause: error });
    case '53300':
      return raise('PP_STORE_BUSY', { where }, { cause: error });
    case '57014':
      return raise('PP_STORE_SLOW', { where }, { cause: error });
  }
  // pg-pool has no code for it.
  if (error instanceof Error && /timeout exceeded when trying to connect/.test(error.message))
    return raise('PP_STORE_BUSY', { where }, { cause: error });
  return error;
}
