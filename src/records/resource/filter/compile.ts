import { isIP } from 'node:net';
import { nameKey } from '../names.ts';
import { canonicalAddress } from '../row.ts';
import { nearest, type Field } from './fields.ts';
import { networkOf, networkTest } from './network.ts';
import { timeTest } from './time.ts';
import { readFilter, type Node, type Operator, type Test } from './tree.ts';
import { shown, wrong, type Word } from './words.ts';

/** Place puts a value among the parameters of a statement and gives what stands for it in the text. */
export type Place = (value: unknown, type: string) => string;

/** Compiled is a filter as a condition on r, and c where `client` is set. */
export interface Compiled {
  where: string;
  /** It asks for the newest client, which must be joined as c. */
  client: boolean;
  /** What fits it changes with time, or with what is not a property of the machine or its client. */
  moving: boolean;
}

/** How many different values of a column are gone through at most. */
const FEW = 500;

const pattern = (text: string) => text.replace(/[\\%_*?]/g, (c) => (c === '*' ? '%' : c === '?' ? '_' : `\\${c}`));

function choiceOf({ name, choices }: Field, word: Word): string {
  const text = word.text.toLowerCase();
  if (choices!.includes(text)) return text;
  const near = nearest(text, choices!);
  throw wrong(word.column, `${name} is ${choices!.join(', ')}; not ${shown(word)}${near ? `; did you mean ${near}?` : ''}`);
}

function yes({ name }: Field, word: Word): boolean {
  if (/^(yes|true|1)$/i.test(word.text)) return true;
  if (/^(no|false|0)$/i.test(word.text)) return false;
  throw wrong(word.column, `${name} is yes or no, not ${shown(word)}`);
}

function numberOf({ name }: Field, word: Word): number {
  const value = Number(word.text);
  if (/^\d{1,10}$/.test(word.text) && value <= 2_147_483_647) return value;
  throw wrong(word.column, `${name} wants a whole number, not ${shown(word)}`);
}

function versionOf({ name, wants }: Field, word: Word): number[] {
  if (/^\d{1,9}(\.\d{1,9}){0,7}$/.test(word.text)) return word.text.split('.').map(Number);
  throw wrong(word.column, `${name} wants ${wants}, not ${shown(word)}; for a part of it use like "10.0.*"`);
}

/** refuse is for operators that a type does not have. */
function refuse({ field, operator, column }: Test, has: string): never {
  throw wrong(
    column,
    `${field.name} is ${field.type === 'address' || field.type === 'list' ? 'a list' : `a field of ${field.type}`} and is compared with ${has}; not with ${operator}`,
  );
}

const EQUAL = new Set<Operator>(['=', '!=', 'in']);
const ORDER = new Set<Operator>(['=', '!=', '<', '<=', '>', '>=', 'in']);
const sign = (operator: Operator) => (operator === '!=' ? '=' : operator);

/**
 * anyLike asks the different values of a column that has few of them, one step through its index each, so that a pattern which fits none
 * costs no walk through all machines. It names no machine, so the server asks it once for each statement, before anything else. Where there are
 * more values than expected it says yes.
 */
function anyLike(sql: string, part: string): string {
  const key = `upper(${sql.replace(/^r\./, 'o.')})`;
  return `(with recursive d(v, n) as (
      (select ${key}, 1 from resource o where ${key} is not null order by ${key} using ~<~ limit 1)
      union all
      select (select ${key} from resource o where ${key} ~>~ d.v order by ${key} using ~<~ limit 1), d.n + 1 from d where d.v is not null and d.n < ${FEW}
    ) select coalesce(bool_or(v like ${part}), false) or max(n) = ${FEW} from d)`;
}

function textTest(test: Test, place: Place): string {
  const { field, operator, values } = test;
  const key = field.key ?? `upper(${field.sql})`;
  const value = (text: string) => `upper(${place(text, 'text')})`;
  if (operator === 'like') {
    const part = value(pattern(values[0]!.text));
    // A pattern that begins with a wildcard has no index of its own.
    return field.few && /^[*?]/.test(values[0]!.text)
      ? `${anyLike(field.sql, part)} and ${key} like ${part}`
      : `${key} like ${part}`;
  }
  if (operator === 'in') return `${key} in (${values.map(({ text }) => value(text)).join(', ')})`;
  return `${key} ${sign(operator)} ${value(values[0]!.text)}`;
}

function versionTest(test: Test, place: Place): string {
  const { field, operator, values } = test;
  if (operator === 'like') return `${field.sql} like ${place(pattern(values[0]!.text), 'text')}`;
  if (!ORDER.has(operator)) refuse(test, '=, !=, <, <=, >, >=, in or like');
  const parts = `string_to_array(substring(${field.sql} from '^[0-9]{1,9}(?:[.][0-9]{1,9}){0,7}'), '.')::bigint[]`;
  const value = (word: Word) => place(versionOf(field, word), 'bigint[]');
  if (operator === 'in') return `${parts} in (${values.map(value).join(', ')})`;
  return `${parts} ${sign(operator)} ${value(values[0]!)}`;
}

/** listTest is about the elements of a list: one of them must fit. */
function listTest(test: Test, place: Place): string {
  const { field, operator, values } = test;
  const some = (how: string) => `exists (select from unnest(${field.sql}) as e(v) where ${how})`;
  if (operator === 'like') return some(`upper(e.v) like upper(${place(pattern(values[0]!.text), 'text')})`);
  if (!EQUAL.has(operator)) refuse(test, '=, !=, in, like or is null');
  return some(`upper(e.v) in (${values.map(({ text }) => `upper(${place(text, 'text')})`).join(', ')})`);
}

/**
 * Nobody knows beforehand how few machines have an address; asked for by itself it is looked up in its index, and not by walking through all
 * machines in the order of their names until a page is full.
 */
function hasAddress(test: string): string {
  return `r.id = any(array(select x.id from resource x where x.addresses ${test}))`;
}

function addressTest(test: Test, place: Place): string {
  const { field, operator, values } = test;
  if (operator === 'like')
    return `exists (select from unnest(r.addresses) as e(v) where e.v like lower(${place(pattern(values[0]!.text), 'text')}))`;
  if (!EQUAL.has(operator)) refuse(test, '=, !=, in, like or is null');
  const exact: string[] = [];
  const parts: string[] = [];
  for (const word of values) {
    const address = isIP(word.text) ? canonicalAddress(word.text) : undefined;
    const network = address === undefined ? networkOf(word.text) : undefined;
    if (address !== undefined) exact.push(address);
    else if (network) parts.push(networkTest(network, place));
    else throw wrong(word.column, `address wants ${field.wants}, not ${shown(word)}`);
  }
  if (exact.length > 0) parts.unshift(hasAddress(`&& ${place(exact, 'text[]')}`));
  return parts.length === 1 ? parts[0]! : `(${parts.join(' or ')})`;
}

function testSql(test: Test, place: Place, now: Date): string {
  const { field, operator, values } = test;
  const isList = field.type === 'address' || field.type === 'list';
  if (operator === 'is null') return isList ? `coalesce(cardinality(${field.sql}), 0) = 0` : `(${field.sql}) is null`;
  if (operator === 'true') return field.sql;
  switch (field.type) {
    case 'text':
      return textTest(test, place);
    case 'version':
      return versionTest(test, place);
    case 'list':
      return listTest(test, place);
    case 'address':
      return addressTest(test, place);
    case 'time':
      return timeTest(test, place, now);
    case 'yes or no':
      if (operator !== '=' && operator !== '!=') refuse(test, '= or !=, or stands alone');
      return yes(field, values[0]!) ? field.sql : `(${field.sql}) is not true`;
    case 'one of':
      if (!EQUAL.has(operator)) refuse(test, '=, !=, in or is null');
      return `${field.sql} in (${values.map((word) => place(choiceOf(field, word), 'text')).join(', ')})`;
    case 'number':
      if (!ORDER.has(operator)) refuse(test, '=, !=, <, <=, >, >= or in');
      if (operator === 'in')
        return `${field.sql} in (${values.map((word) => place(numberOf(field, word), 'integer')).join(', ')})`;
      return `${field.sql} ${sign(operator)} ${place(numberOf(field, values[0]!), 'integer')}`;
  }
}

/**
 * Every `not` is carried down to the comparisons, so that what is not known counts as not fitting: `not os like "x*"` holds machines without
 * a known system too, and the comparisons that stand plainly can be answered by an index.
 */
function sqlOf(node: Node, negated: boolean, place: Place, now: Date): string {
  if (node.is === 'not') return sqlOf(node.part, !negated, place, now);
  if (node.is === 'test') {
    const not = negated !== (node.operator === '!=');
    const sql = testSql(node, place, now);
    return not ? `(${sql}) is not true` : `(${sql})`;
  }
  const joint = (node.is === 'and') !== negated ? ' and ' : ' or ';
  return `(${node.parts.map((part) => sqlOf(part, negated, place, now)).join(joint)})`;
}

function someTest(node: Node, fits: (field: Field) => boolean): boolean {
  if (node.is === 'not') return someTest(node.part, fits);
  return node.is === 'test' ? fits(node.field) : node.parts.some((part) => someTest(part, fits));
}

/** isAged tells whether a comparison with an age stands in it, which time alone makes true or false. */
function isAged(node: Node): boolean {
  if (node.is === 'not') return isAged(node.part);
  if (node.is !== 'test') return node.parts.some(isAged);
  return node.field.type === 'time' && node.values.some(({ text }) => /^\d+[a-z]+$/i.test(text));
}

/** compileFilter makes a condition of a filter; its values only ever go in as parameters. */
export function compileFilter(text: string, now: Date, place: Place): Compiled {
  const node = readFilter(text);
  return {
    where: sqlOf(node, false, place, now),
    client: someTest(node, (field) => field.client === true),
    moving: someTest(node, (field) => field.moving === true) || isAged(node),
  };
}

/** A single word, without a dot of a field's name, is a part of a name or an address, as it has always been. */
const PLAIN = /^[^\s"'()=,<>!&|]+$/;

/**
 * compileSearch is compileFilter for what people type: one word alone is a part of a name (or, with * and ?, all of it), an address, or
 * a network.
 */
export function compileSearch(text: string, now: Date, place: Place): Compiled {
  const word = text.trim();
  if (!PLAIN.test(word) || /^client\.\w+$/i.test(word)) return compileFilter(text, now, place);
  const found = (where: string): Compiled => ({ where, client: false, moving: false });
  const address = canonicalAddress(word);
  if (address) return found(hasAddress(`@> ${place([address], 'text[]')}`));
  const network = networkOf(word);
  if (network) return found(networkTest(network, place));
  if (/[*?]/.test(word)) return found(`r.name_key like ${place(pattern(nameKey(word)), 'text')}`);
  return found(`r.name_key like ${place(`%${nameKey(word).replace(/[\\%_]/g, '\\$&')}%`, 'text')}`);
}
