/** The longest text that is kept of what a machine or an error says. */
const LONGEST = 4000;

/** plain makes text from elsewhere fit for the database: no NUL, no broken surrogates, not endless. */
export function plain(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const clean = text.toWellFormed().replaceAll('\0', '');
  return clean.length > LONGEST ? `${clean.slice(0, LONGEST - 1).toWellFormed()}…` : clean;
}

/** int32 is a code as the tables take it: what a machine says is 32 bits without a sign, and administrators know HRESULTs with one. */
export function int32(code: number | undefined): number | undefined {
  return code === undefined ? undefined : code | 0;
}
