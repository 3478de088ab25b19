import { readFileSync, statSync } from 'node:fs';
import { isCode, raise } from '#base/errors';
import { note } from './output.ts';

const reasons: Record<string, string> = {
  ENOENT: 'it is not there',
  EACCES: 'this user has no right to it',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of its path is not a folder',
};

/** wrongFile makes the error for a file of the command line that does not hold what it must; `-` is standard input. */
export function wrongFile(file: string, why: string, cause?: unknown): Error {
  return raise('PP_CLI_FILE', { file: file === '-' ? '(standard input)' : file, why }, { cause });
}

/** unusable makes the error for a file that cannot be used, with the system's reason in words where there is one. */
export function unusable(file: string, cause: unknown): Error {
  if (isCode(cause, 'PP_CLI_FILE')) return cause;
  const { code, message } = cause as NodeJS.ErrnoException;
  return wrongFile(file, reasons[code ?? ''] ?? message, cause);
}

/** readBytes reads a whole file; `-` is standard input. */
export async function readBytes(file: string): Promise<Uint8Array<ArrayBuffer>> {
  if (file !== '-') {
    try {
      return new Uint8Array(readFileSync(file));
    } catch (cause) {
      throw unusable(file, cause);
    }
  }
  if (process.stdin.isTTY) note('reading from the terminal; Ctrl-D ends it');
  const parts: Buffer[] = [];
  for await (const part of process.stdin) parts.push(part as Buffer);
  return new Uint8Array(Buffer.concat(parts));
}

/** textOf decodes a text file as administrators' editors write them: UTF-8 or UTF-16, with or without a mark at its beginning. */
export function textOf(file: string, bytes: Uint8Array): string {
  const [first, second] = bytes;
  const encoding = first === 0xff && second === 0xfe ? 'utf-16le' : first === 0xfe && second === 0xff ? 'utf-16be' : 'utf-8';
  let text: string | undefined;
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    // told below
  }
  if (text === undefined || text.includes('\0')) throw wrongFile(file, 'it is no text in UTF-8 or UTF-16');
  return text;
}

/** readText reads a text file; `-` is standard input. */
export async function readText(file: string): Promise<string> {
  return textOf(file, await readBytes(file));
}

/** readPassword reads a password from a file or from standard input; one line end after it does not belong to it. */
export async function readPassword(file: string): Promise<string> {
  const password = (await readText(file)).replace(/\r?\n$/, '');
  if (password === '') throw wrongFile(file, 'it holds no password');
  if (/[\r\n]/.test(password)) throw wrongFile(file, 'it holds more than one line, and a password is one');
  return password;
}

/** sizeOf is the size of a file in octets. */
export function sizeOf(file: string): number {
  try {
    const stat = statSync(file);
    if (!stat.isFile()) throw wrongFile(file, 'it is not a file');
    return stat.size;
  } catch (cause) {
    throw unusable(file, cause);
  }
}
