/** The longest text that is kept of what a machine or an error says. */
const LONGEST = 4000;

/** What ends or steers a line, is not seen, or turns the order of letters around: a machine's name for itself must not lie on a screen. */
const HOSTILE = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/gu;

/** plain makes text from elsewhere fit for the database and for people: one line, no broken surrogates, hostile characters visible, not endless. */
export function plain(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const clean = text
    .toWellFormed()
    .replace(/[\t\r\n]+/g, ' ')
    .replace(HOSTILE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return clean.length > LONGEST ? `${clean.slice(0, LONGEST - 1).toWellFormed()}…` : clean;
}

/** int32 is a code as the tables take it: what a machine says is 32 bits without a sign, and administrators know HRESULTs with one. */
export function int32(code: number | undefined): number | undefined {
  return code === undefined ? undefined : code | 0;
}
