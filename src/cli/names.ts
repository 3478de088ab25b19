import { readFileSync } from 'node:fs';
import { raise } from '#base/errors';

/** readNames reads machine names, one a line; blank lines and lines that begin with # or ; are skipped. `-` is standard input. */
export function readNames(file: string): string[] {
  let text: string;
  try {
    const bytes = readFileSync(file === '-' ? 0 : file);
    text = new TextDecoder(bytes[0] === 0xff && bytes[1] === 0xfe ? 'utf-16le' : 'utf-8').decode(bytes);
  } catch (cause) {
    throw raise('PP_CLI_FILE', { file, why: 'it cannot be read' }, { cause });
  }
  return text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^[#;]/.test(line));
}

/** namesFrom joins the names of the command line with those of -f FILE. */
export function namesFrom(args: string[], file: string | undefined): string[] {
  return [...new Set([...args, ...(file === undefined ? [] : readNames(file))])];
}
