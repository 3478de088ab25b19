import { hash } from 'node:crypto';

/** A name longer than this is shortened, so that `.reason` and a number still fit into the 255 octets that file systems take. */
const LONGEST = 200;

function escaped(octets: Iterable<number>): string {
  return [...octets].map((octet) => `%${octet.toString(16).toUpperCase().padStart(2, '0')}`).join('');
}

/**
 * plainName makes a name of the octets that somebody gave a file: as it is if it is ordinary text, else with the octets that are no text
 * (UTF-8), control characters and % written as %XX, and what is too long cut and told apart by a hash.
 */
export function plainName(octets: Buffer): string {
  const text = octets.toString('utf8');
  const clean = Buffer.from(text).equals(octets)
    ? text
    : octets.toString('latin1').replace(/[^\x20-\x7e]/g, (c) => escaped(Buffer.from(c, 'latin1')));
  const name = clean.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => escaped(Buffer.from(c)));
  if (Buffer.byteLength(name) <= LONGEST) return name;
  const ending = /\.[a-z0-9]{1,8}$/i.exec(name)?.[0] ?? '';
  const head = Buffer.from(name)
    .subarray(0, LONGEST - 32)
    .toString('utf8')
    .replace(/\uFFFD*$/, '');
  return `${head}~${hash('sha256', octets).slice(0, 16)}${ending}`;
}

/** isDraft tells files that somebody is still writing, by the habits of programs that write beside and rename. */
export function isDraft(name: string): boolean {
  return name.startsWith('.') || /\.(tmp|part|partial|filepart|crdownload)$/i.test(name) || name.endsWith('~');
}
