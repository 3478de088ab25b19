/** The longest text that is kept of what a machine or an error says. */
const LONGEST = 4000;

/** plain makes text from elsewhere fit for the database: no NUL, no broken surrogates, not endless. */
export function plain(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const clean = text.toWellFormed().replaceAll('\0', '');
  return clean.length > LONGEST ? `${clean.slice(0, LONGEST - 1).toWellFormed()}…` : clean;
}
