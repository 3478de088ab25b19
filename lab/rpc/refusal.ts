/** Win32Refusal says no with a Win32 code; an operation answers with it. */
export class Win32Refusal extends Error {
  readonly win32: number;

  constructor(win32: number, why = `Win32 error ${win32}`) {
    super(why);
    this.name = 'Win32Refusal';
    this.win32 = win32;
  }
}

/** win32Of is the code that an error says no with, if it is one that does; the errors of other rooms carry it under the same name. */
export function win32Of(error: unknown): number | undefined {
  return error instanceof Error && 'win32' in error && typeof error.win32 === 'number' ? error.win32 : undefined;
}
