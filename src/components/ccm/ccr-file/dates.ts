import { malformed, type Entry } from './lines.ts';

const FORM = /^(\d{1,2})\/(\d{1,2})\/(\d{4})(?:\s+(\d{1,2}):(\d{2})(?::(\d{2}))?)?$/;
const two = (n: number) => String(n).padStart(2, '0');

/** parseDate reads `MM/DD/YYYY HH:MM:SS` (the form of 2003, facts A1) as UTC; the file names no zone, and processing dates are UTC here. */
export function parseDate(entry: Entry): Date {
  const match = FORM.exec(entry.value);
  if (!match) throw malformed(entry.line, `"${entry.key}" is not a date of the form MM/DD/YYYY HH:MM:SS`);
  const [month, day, year, hour, minute, second] = match.slice(1).map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  const same =
    date.getUTCFullYear() === year &&
    date.getUTCMonth() === month - 1 &&
    date.getUTCDate() === day &&
    date.getUTCHours() === hour &&
    date.getUTCMinutes() === minute &&
    date.getUTCSeconds() === second;
  if (!same) throw malformed(entry.line, `"${entry.key}" names a day or time that does not exist`);
  return date;
}

/** formatDate writes a time in the form of 2003, in UTC. */
export function formatDate(date: Date): string {
  const day = `${two(date.getUTCMonth() + 1)}/${two(date.getUTCDate())}/${String(date.getUTCFullYear()).padStart(4, '0')}`;
  return `${day} ${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
}
