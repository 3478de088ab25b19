import { raise } from '#base/errors';

/** MAX_CCR_FILE_BYTES bounds a CCR file before anything of it is decoded; real ones have under 1 KB. */
export const MAX_CCR_FILE_BYTES = 64 * 1024;

/** Entry is one `key=value` line of a CCR file, with the line it stands in (from 1). */
export interface Entry {
  section: string;
  key: string;
  value: string;
  line: number;
}

/** plain is how section and key names are compared: without case, outer blanks and doubled inner blanks. */
export function plain(name: string): string {
  return name.trim().replace(/\s+/g, ' ').toLowerCase();
}

/** malformed makes the error for one line of a CCR file. */
export function malformed(line: number, why: string): Error {
  return raise('PP_CCR_FILE_MALFORMED', { line, why });
}

/** decodeText turns the bytes of a CCR file into text: UTF-8, UTF-16 of either order (with a mark or recognised by its first bracket), else Windows-1252. */
export function decodeText(bytes: Uint8Array): string {
  if (bytes.length > MAX_CCR_FILE_BYTES) throw raise('PP_CCR_FILE_TOO_LARGE', { bytes: bytes.length, limit: MAX_CCR_FILE_BYTES });
  const [a, b] = bytes;
  const little = (a === 0xff && b === 0xfe) || (a === 0x5b && b === 0);
  const big = (a === 0xfe && b === 0xff) || (a === 0 && b === 0x5b);
  if (little || big) {
    if (bytes.length % 2 === 1) throw malformed(1, 'the file is UTF-16 and ends in half a character');
    return decodeAs(little ? 'utf-16le' : 'utf-16be', bytes);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return decodeAs('windows-1252', bytes);
  }
}

function decodeAs(encoding: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw malformed(1, `the file is not valid ${encoding.toUpperCase()} text`);
  }
}

function refuseControl(line: string, number: number): void {
  const found = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\ufffe\uffff]/.exec(line);
  if (!found) return;
  const point = found[0].charCodeAt(0).toString(16).toUpperCase().padStart(2, '0');
  throw malformed(number, `it holds the control character 0x${point} at column ${found.index + 1}; a CCR is plain text`);
}

function unquoted(value: string): string {
  const quoted = /^(["'])(.*)\1$/.exec(value);
  return quoted ? quoted[2]!.trim() : value;
}

/**
 * parseLines reads INI text as tolerantly as the real writers of CCR files need it (facts A1): blanks around `=`, leading blanks,
 * empty lines and sections, comments, any line ending, a DOS end-of-file mark. It refuses what is no such text, naming the line.
 */
export function parseLines(text: string): Entry[] {
  const entries: Entry[] = [];
  let section: string | undefined;
  const lines = text.replace(/\u001a\s*$/, '').split(/\r\n|\n|\r/);
  for (const [index, raw] of lines.entries()) {
    const number = index + 1;
    refuseControl(raw, number);
    const line = raw.trim();
    if (line === '' || line.startsWith(';') || line.startsWith('#')) continue;
    if (line.startsWith('[')) {
      if (!line.endsWith(']')) throw malformed(number, 'a section name begins with [ and must end with ]');
      section = line.slice(1, -1);
      continue;
    }
    if (section === undefined) throw malformed(number, 'it stands before the first [section]');
    const equals = line.indexOf('=');
    if (equals < 1) throw malformed(number, 'it is neither a [section] nor Key=Value');
    entries.push({ section, key: line.slice(0, equals).trim(), value: unquoted(line.slice(equals + 1).trim()), line: number });
  }
  return entries;
}
