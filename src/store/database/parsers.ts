import { types, type CustomTypesConfig } from 'pg';

/** The type ids that PostgreSQL's catalogue pg_type fixes; `array` is the id of the type's array. */
const INT8 = 20;
const INT8_ARRAY = 1016;
const DATE = 1082;
const DATE_ARRAY = 1182;
const TIMESTAMP = 1114;

function int8(text: string): number | bigint {
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : BigInt(text);
}

const same = (text: string): string => text;

const parsers = new Map<number, (text: string) => unknown>([
  [INT8, int8],
  // The elements of these arrays hold no quotes, commas or braces, so the text form splits plainly.
  [INT8_ARRAY, (text) => (text === '{}' ? [] : text.slice(1, -1).split(',').map(int8OrNull))],
  [DATE, same],
  [DATE_ARRAY, (text) => (text === '{}' ? [] : text.slice(1, -1).split(','))],
  // A time without zone is UTC here; pg would take the zone of the machine.
  [TIMESTAMP, (text) => new Date(`${text.replace(' ', 'T')}Z`)],
]);

function int8OrNull(text: string): number | bigint | null {
  return text === 'NULL' ? null : int8(text);
}

/** columnParsers are for one pool only: pg's own table is global, and other users of pg in the process keep theirs. */
export const columnParsers: CustomTypesConfig = {
  getTypeParser(id, format) {
    const own = format === 'binary' ? undefined : parsers.get(id);
    return own ?? (types.getTypeParser(id, format) as (text: string) => unknown);
  },
};
