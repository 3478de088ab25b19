import type { Entry } from '../entry.ts';

/** requestErrors: what came in from a file, a command or over HTTP. */
export const requestErrors = {
  PP_CCR_FILE_MALFORMED: {
    origin: 'malformed',
    message: 'line {line} of the CCR file is wrong: {why}',
    win32: 13,
    http: 400,
    cause: 'The file in ccr.box is not the text of a client configuration request.',
    remedy: 'Correct that line and drop the file again; [NT Client Configuration Request] and Machine Name=NAME suffice.',
    again: 'never',
  },
  PP_CCR_FILE_TOO_LARGE: {
    origin: 'malformed',
    message: 'the CCR file has {bytes} bytes, more than the {limit} allowed',
    win32: 13,
    http: 413,
    cause: 'A CCR has a few hundred bytes; something else was dropped into ccr.box.',
    remedy: 'Remove the file, or drop one CCR file for each machine.',
    again: 'never',
  },
} as const satisfies Record<string, Entry>;
