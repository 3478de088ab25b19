import { isIP } from 'node:net';
import { nameKey } from '../names.ts';
import { canonicalAddress } from '../row.ts';
import { nearest, type Alike, type Field } from './fields.ts';
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

function textTest(test: Test, place: Place): string {
  const { field, operator, values } = test;
  const key = field.key ?? `upper(${field.sql})`;
  const value = (text: string) => `upper(${place(text, 'text')})`;
  if (operator === 'like') return `${key} like ${value(pattern(values[0]!.text))}`;
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

/**
 * Nobody knows beforehand how few machines have an address; asked for by itself it is looked up in its index, and not by walking through all
 * machines in the order of their names until a page is full.
 */
function lookedUp(test: string): string {
  return `r.id = any(array(select x.id from resource x where ${test}))`;
}

/** listTest is about the elements of a list: one of them must fit. */
function listTest(test: Test, place: Place): string {
  const { field, operator, values } = test;
  const some = (how: string) => `exists (select from unnest(${field.sql}) as e(v) where ${how})`;
  if (operator === 'like') return some(`upper(e.v) like upper(${place(pattern(values[0]!.text), 'text')})`);
  if (!EQUAL.has(operator)) refuse(test, '=, !=, in, like or is null');
  if (field.value) {
    const wanted = values.map(({ text }) => field.value!(text));
    return lookedUp(`${field.sql.replace(/^r\./, 'x.')} && ${place(wanted, 'text[]')}`);
  }
  return some(`upper(e.v) in (${values.map(({ text }) => `upper(${place(text, 'text')})`).join(', ')})`);
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
  if (exact.length > 0) parts.unshift(lookedUp(`x.addresses && ${place(exact, 'text[]')}`));
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

/** hasNear tells whether a test, where it is true, has a row in the table that its field is near. */
export function hasNear({ field, operator, values }: Test): boolean {
  if (!field.near || operator === 'is null' || operator === '!=') return false;
  return field.type !== 'yes or no' || operator === 'true' || yes(field, values[0]!);
}

/** fittingSql is true where a test is; where its field is near a table that has an index of what is rare, that is asked first. */
function fittingSql(test: Test, place: Place, now: Date): string {
  const sql = () => `(${testSql(test, place, now)})`;
  if (!hasNear(test)) return sql();
  const { near, key: _, ...field } = test.field;
  const { from, exact, ...own } = near!;
  const there = `exists (select from ${from} and ${testSql({ ...test, field: { ...field, ...own } }, place, now)})`;
  return exact ? there : `(${there} and ${sql()})`;
}

/**
 * Every `not` is carried down to the comparisons, so that what is not known counts as not fitting: `not os like "x*"` holds machines without
 * a known system too, and the comparisons that stand plainly can be answered by an index.
 */
function sqlOf(node: Node, negated: boolean, place: Place, now: Date): string {
  if (node.is === 'not') return sqlOf(node.part, !negated, place, now);
  if (node.is === 'test') {
    const not = negated !== (node.operator === '!=');
    return not ? `(${testSql(node, place, now)}) is not true` : fittingSql(node, place, now);
  }
  const joint = (node.is === 'and') !== negated ? ' and ' : ' or ';
  return `(${node.parts.map((part) => sqlOf(part, negated, place, now)).join(joint)})`;
}

/** relax leaves only the tests of a filter that `stays` knows, and takes every other for true. Undefined is a filter that everything fits then. */
function relax(node: Node, negated: boolean, stays: (field: Field) => boolean): Node | undefined {
  if (node.is === 'not') return relax(node.part, !negated, stays);
  if (node.is === 'test') {
    if (!stays(node.field)) return undefined;
    return negated ? { is: 'not', part: node } : node;
  }
  const parts = node.parts.map((part) => relax(part, negated, stays));
  const left = parts.filter((part) => part !== undefined);
  const both = (node.is === 'and') !== negated;
  if (left.length === 0 || (!both && left.length < parts.length)) return undefined;
  return left.length === 1 ? left[0] : { is: both ? 'and' : 'or', parts: left };
}

/**
 * compileAlike makes of a filter what must be true of a machine's system, or of its place, for the machine to fit: a condition on k, a row of
 * resource_system or resource_place. Undefined where the filter leaves all of them possible.
 */
export function compileAlike(node: Node, alike: Alike, now: Date, place: Place): string | undefined {
  const left = relax(node, false, (field) => field.alike === alike);
  return left && sqlOf(left, false, place, now).replaceAll(/\br\./g, 'k.');
}

/** someTest tells whether any comparison of a filter asks for such a field. */
export function someTest(node: Node, fits: (field: Field) => boolean): boolean {
  if (node.is === 'not') return someTest(node.part, fits);
  return node.is === 'test' ? fits(node.field) : node.parts.some((part) => someTest(part, fits));
}

/** isAged tells whether a comparison with an age stands in it, which time alone makes true or false. */
function isAged(node: Node): boolean {
  if (node.is === 'not') return isAged(node.part);
  if (node.is !== 'test') return node.parts.some(isAged);
  return node.field.type === 'time' && node.values.some(({ text }) => /^\d+[a-z]+$/i.test(text));
}

/** compileNode makes a condition of a filter that was understood; its values only ever go in as parameters. */
export function compileNode(node: Node, now: Date, place: Place): Compiled {
  return {
    where: sqlOf(node, false, place, now),
    client: someTest(node, (field) => field.client === true),
    moving: someTest(node, (field) => field.moving === true) || isAged(node),
  };
}

/** compileFilter makes a condition of the text of a filter. */
export function compileFilter(text: string, now: Date, place: Place): Compiled {
  return compileNode(readFilter(text), now, place);
}

/** A single word, without a dot of a field's name, is a part of a name or an address, as it has always been. */
const PLAIN = /^[^\s"'()=,<>!&|]+$/;

/** isWord tells whether what people typed is one word, and no filter. */
export function isWord(text: string): boolean {
  return PLAIN.test(text.trim()) && !/^client\.\w+$/i.test(text.trim());
}

/**
 * compileSearch is compileFilter for what people type: one word alone is a part of a name (or, with * and ?, all of it), an address, or
 * a network.
 */
export function compileSearch(text: string, now: Date, place: Place): Compiled {
  if (!isWord(text)) return compileFilter(text, now, place);
  const word = text.trim();
  const found = (where: string): Compiled => ({ where, client: false, moving: false });
  const address = canonicalAddress(word);
  if (address) return found(lookedUp(`x.addresses @> ${place([address], 'text[]')}`));
  const network = networkOf(word);
  if (network) return found(networkTest(network, place));
  if (/[*?]/.test(word)) return found(`r.name_key like ${place(pattern(nameKey(word)), 'text')}`);
  return found(`r.name_key like ${place(`%${nameKey(word).replace(/[\\%_]/g, '\\$&')}%`, 'text')}`);
}
