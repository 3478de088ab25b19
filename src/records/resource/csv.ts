/** CsvRecord is one record of a CSV file; `line` is the physical line it begins in, from 1. */
export interface CsvRecord {
  line: number;
  fields: string[];
  /** What is wrong with its form; the fields are not to be used then. */
  wrong?: string;
}

type Place = 'start' | 'plain' | 'quoted' | 'closed';

/** readCsv takes text apart by RFC 4180; line ends may be CRLF, LF or CR, empty lines are left out. */
export function* readCsv(text: string, separator: string): Generator<CsvRecord> {
  let fields: string[] = [];
  let field = '';
  let place: Place = 'start';
  let wrong: string | undefined;
  let line = 1;
  let begun = 1;
  for (let i = 0; i <= text.length; i++) {
    const c = text[i];
    const ends = c === undefined || c === '\n' || c === '\r';
    if (place === 'quoted') {
      if (c === undefined) wrong ??= 'a quoted field is not closed';
      else if (c === '"') {
        place = 'closed';
        continue;
      } else {
        if (c === '\n' || (c === '\r' && text[i + 1] !== '\n')) line++;
        field += c;
        continue;
      }
    }
    if (place === 'closed' && c === '"') {
      field += '"';
      place = 'quoted';
    } else if (c === separator || ends) {
      fields.push(field);
      field = '';
      place = 'start';
      if (!ends) continue;
      const empty = fields.length === 1 && fields[0]!.trim() === '' && !wrong;
      if (!empty) yield wrong ? { line: begun, fields, wrong } : { line: begun, fields };
      if (c === '\r' && text[i + 1] === '\n') i++;
      [fields, wrong] = [[], undefined];
      begun = ++line;
    } else if (place === 'closed') {
      wrong ??= 'text follows a closing quote';
      field += c;
    } else if (c === '"') {
      if (place === 'plain') wrong ??= 'a quote stands inside a field that does not begin with one';
      place = place === 'start' ? 'quoted' : place;
    } else {
      place = 'plain';
      field += c;
    }
  }
}

/** textOf decodes a file: UTF-8 or UTF-16 by its byte order mark, UTF-16 also by its zeros, else UTF-8; undefined when it is neither. */
export function textOf(bytes: Uint8Array): string | undefined {
  const [a, b] = bytes;
  let encoding = 'utf-8';
  if (a === 0xff && b === 0xfe) encoding = 'utf-16le';
  else if (a === 0xfe && b === 0xff) encoding = 'utf-16be';
  else if (bytes.length >= 2 && a !== 0 && b === 0) encoding = 'utf-16le';
  else if (bytes.length >= 2 && a === 0 && b !== 0) encoding = 'utf-16be';
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
