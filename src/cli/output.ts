import { PushpointError, raise } from '#base/errors';

/** Exit codes of the command: fine, some failed, wrong use. */
export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

/** print writes one line to standard output. */
export function print(line = ''): void {
  process.stdout.write(`${line}\n`);
}

/** printJson writes a value as one JSON document to standard output. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, undefined, process.stdout.isTTY ? 2 : undefined)}\n`);
}

/** note writes one line to standard error, where it does not disturb what a script reads. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

// What a target says of itself is printed too, so escape sequences in it must not reach the terminal.
function safe(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '?');
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(width - 1, 1))}…`;
}

/** table prints rows under their headings; the last column takes what is left of the line. */
export function table(headings: string[], rows: (string | number | undefined)[][]): void {
  const cells = rows.map((row) => row.map((cell) => safe(cell === undefined ? '' : String(cell)).replace(/\n/g, ' ')));
  const widths = headings.map((heading, i) => Math.max(heading.length, ...cells.map((row) => (row[i] ?? '').length)));
  const room = process.stdout.isTTY ? process.stdout.columns : Infinity;
  const line = (row: string[]) =>
    cut(row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]!))).join('  '), room);
  print(line(headings));
  for (const row of cells) print(line(row));
}

/** A failure as the API and the command show it: what, why, what to do. */
export interface Failure {
  code: string;
  message: string;
  cause?: string;
  remedy?: string;
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

function failureOf(error: unknown): Failure {
  if (error instanceof ApiFailure) return error.failure;
  if (error instanceof PushpointError)
    return { code: error.code, message: error.message, cause: error.reason, remedy: error.remedy };
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: 'PP_DEFECT', message, cause: 'This is a defect of the program.', remedy: 'Please report it with this text.' };
}

/** reportError prints an error with its cause and remedy and gives the exit code it calls for. */
export function reportError(error: unknown, json: boolean): number {
  const failure = failureOf(error);
  if (json) process.stdout.write(`${JSON.stringify({ error: failure })}\n`);
  note(safe(`pushpoint: ${failure.message} [${failure.code}]`));
  if (failure.cause) note(`  cause: ${safe(failure.cause)}`);
  if (failure.remedy) note(`  fix:   ${safe(failure.remedy)}`);
  const usage = failure.code === 'PP_CLI_USAGE' || (error instanceof ApiFailure && error.status === 400);
  return usage ? EXIT.usage : EXIT.failed;
}

/** usage makes the error for a command line that cannot be understood. */
export function usage(why: string): Error {
  return raise('PP_CLI_USAGE', { why });
}

/** Progress draws one line that is redrawn on a terminal, and prints nothing elsewhere: standard error only. */
export class Progress {
  readonly #label: string;
  #shown = '';

  constructor(label: string) {
    this.#label = label;
  }

  update(done: number, total: number, tail = ''): void {
    if (!process.stderr.isTTY) return;
    const width = 28;
    const filled = total === 0 ? width : Math.round((done / total) * width);
    const line = `${this.#label} ${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${done}/${total}  ${tail}`;
    if (line === this.#shown) return;
    this.#shown = line;
    process.stderr.write(`\r\u001b[K${cut(line, process.stderr.columns || 120)}`);
  }

  end(): void {
    if (this.#shown) process.stderr.write('\r\u001b[K');
    this.#shown = '';
  }
}
