import type { Place } from './compile.ts';
import type { Test } from './tree.ts';
import { shown, wrong, type Word } from './words.ts';

const UNITS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 };
const DAY = UNITS['d']!;
/** What is older than this is older than everything here. */
const LONGEST_AGE = 36_500 * DAY;

type When = { age: number } | { day: Date } | { at: Date };

function whenOf({ field }: Test, word: Word): When {
  const age = /^(\d{1,9})([mhdw])$/i.exec(word.text);
  if (age) {
    const ms = Number(age[1]) * UNITS[age[2]!.toLowerCase()]!;
    if (ms <= LONGEST_AGE) return { age: ms };
    throw wrong(word.column, `${shown(word)} is longer than 100 years`);
  }
  const day = /^\d{4}-\d\d-\d\d$/.test(word.text);
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?$/i.test(word.text);
  // A time without a zone is UTC, as everywhere here.
  const text = day || /(Z|[+-]\d\d:\d\d)$/i.test(word.text) ? word.text : `${word.text}Z`;
  const at = day || isTime ? new Date(text) : undefined;
  // 30 February would become 2 March.
  if (at && !Number.isNaN(at.getTime()) && (!day || at.toISOString().startsWith(word.text))) return day ? { day: at } : { at };
  throw wrong(word.column, `${field.name} wants ${field.wants}, not ${shown(word)}`);
}

/**
 * timeTest compares a time. With an age, < is younger than and > is older than it, so `lastSeen < 30d` was seen in the last thirty days. With
 * a day, all of that day (in UTC) is meant: <= holds it, > begins after it.
 */
export function timeTest(test: Test, place: Place, now: Date): string {
  const { field, operator, values, column } = test;
  const { sql } = field;
  const value = (at: Date) => place(at, 'timestamptz');
  if (operator === 'in' || operator === 'like')
    throw wrong(column, `${field.name} is a time and is compared with =, !=, <, <=, >, >= or is null; not with ${operator}`);
  const when = whenOf(test, values[0]!);
  if ('age' in when) {
    const then = new Date(now.getTime() - when.age);
    if (operator === '=' || operator === '!=')
      throw wrong(column, `an age is compared with <, <=, > or >=: ${field.name} < ${values[0]!.text} is younger than that`);
    const turned = { '<': '>', '<=': '>=', '>': '<', '>=': '<=' }[operator as '<' | '<=' | '>' | '>='];
    return `${sql} ${turned} ${value(then)}`;
  }
  if ('at' in when) return `${sql} ${operator === '!=' ? '=' : operator} ${value(when.at)}`;
  const end = new Date(when.day.getTime() + DAY);
  if (operator === '<') return `${sql} < ${value(when.day)}`;
  if (operator === '>=') return `${sql} >= ${value(when.day)}`;
  if (operator === '<=') return `${sql} < ${value(end)}`;
  if (operator === '>') return `${sql} >= ${value(end)}`;
  return `${sql} >= ${value(when.day)} and ${sql} < ${value(end)}`;
}
