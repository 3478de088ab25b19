import { fieldOf, nearest, FIELD_NAMES, type Field } from './fields.ts';
import { shown, wordsOf, wrong, type Word } from './words.ts';

/** DEEPEST is how many parentheses and `not`s may stand inside each other. */
export const DEEPEST = 50;
/** MOST is how many comparisons, and values of a list, a filter may have in all. */
export const MOST = 500;

export type Operator = '=' | '!=' | '<' | '<=' | '>' | '>=' | 'like' | 'in' | 'is null' | 'true';

/** Test is one comparison of a field. `true` is a field of yes or no that stands alone. */
export interface Test {
  is: 'test';
  field: Field;
  operator: Operator;
  values: Word[];
  column: number;
}

/** Node is a filter as it was understood. */
export type Node = Test | { is: 'and' | 'or'; parts: Node[] } | { is: 'not'; part: Node };

const COMPARE = new Set(['=', '!=', '<', '<=', '>', '>=']);
const RESERVED = new Set(['and', 'or', 'not', 'in', 'like', 'is', 'null']);

/** Reader goes through the words once, from left to right. */
class Reader {
  readonly #words: Word[];
  #at = 0;
  #depth = 0;
  #count = 0;

  constructor(text: string) {
    this.#words = wordsOf(text);
  }

  read(): Node {
    if (this.#isAtEnd) throw wrong(1, 'it is empty');
    const node = this.#either();
    if (!this.#isAtEnd) throw wrong(this.#next.column, `expected and, or, or the end, not ${shown(this.#next)}`);
    return node;
  }

  get #next(): Word {
    return this.#words[this.#at]!;
  }

  get #isAtEnd(): boolean {
    return this.#next.kind === 'end';
  }

  #take(): Word {
    return this.#words[this.#at++]!;
  }

  #isWord(text: string): boolean {
    return this.#next.kind === 'word' && this.#next.text.toLowerCase() === text;
  }

  #isSign(text: string): boolean {
    return this.#next.kind === 'sign' && this.#next.text === text;
  }

  #either(): Node {
    const parts = [this.#both()];
    while (this.#isWord('or')) {
      this.#take();
      parts.push(this.#both());
    }
    return parts.length === 1 ? parts[0]! : { is: 'or', parts };
  }

  #both(): Node {
    const parts = [this.#one()];
    while (this.#isWord('and')) {
      this.#take();
      parts.push(this.#one());
    }
    return parts.length === 1 ? parts[0]! : { is: 'and', parts };
  }

  #one(): Node {
    const { column } = this.#next;
    if (this.#depth === DEEPEST) throw wrong(column, `more than ${DEEPEST} parentheses and nots stand inside each other`);
    if (this.#isWord('not')) {
      this.#take();
      this.#depth++;
      const part = this.#one();
      this.#depth--;
      return { is: 'not', part };
    }
    if (!this.#isSign('(')) return this.#test();
    this.#take();
    this.#depth++;
    const node = this.#either();
    this.#depth--;
    if (!this.#isSign(')'))
      throw wrong(this.#next.column, `expected and, or, or the ) for the ( of column ${column}, not ${shown(this.#next)}`);
    this.#take();
    return node;
  }

  #field(): Field {
    const word = this.#take();
    if (word.kind !== 'word' || RESERVED.has(word.text.toLowerCase()))
      throw wrong(word.column, `expected a field such as name or os, not ${shown(word)}`);
    const field = fieldOf(word.text);
    if (field) return field;
    const near = nearest(word.text, FIELD_NAMES);
    throw wrong(
      word.column,
      `there is no field ${shown(word)}${near ? `; did you mean ${near}?` : ''} (pushpoint device list --fields shows them all)`,
    );
  }

  #test(): Node {
    if (++this.#count > MOST) throw wrong(this.#next.column, `a filter has at most ${MOST} comparisons and values`);
    const { column } = this.#next;
    const field = this.#field();
    const test = (operator: Operator, values: Word[] = []): Test => ({ is: 'test', field, operator, values, column });
    const sign = this.#next;
    if (sign.kind === 'sign' && COMPARE.has(sign.text)) {
      this.#take();
      return test(sign.text as Operator, [this.#value(field)]);
    }
    if (this.#isWord('is')) return this.#isNull(test);
    const negated = this.#isWord('not');
    if (negated) this.#take();
    const node = this.#isWord('like') || this.#isWord('in') ? this.#likeOrIn(field, test) : undefined;
    if (node) return negated ? { is: 'not', part: node } : node;
    if (field.type === 'yes or no' && !negated) return test('true');
    const choice = negated ? 'in or like' : '=, !=, <, <=, >, >=, like, in or is null';
    throw wrong(this.#next.column, `expected ${choice} after ${field.name}, not ${shown(this.#next)}`);
  }

  #isNull(test: (operator: Operator) => Test): Node {
    this.#take();
    const negated = this.#isWord('not');
    if (negated) this.#take();
    if (!this.#isWord('null')) throw wrong(this.#next.column, `expected null or not null after is, not ${shown(this.#next)}`);
    this.#take();
    return negated ? { is: 'not', part: test('is null') } : test('is null');
  }

  #likeOrIn(field: Field, test: (operator: Operator, values: Word[]) => Test): Node {
    if (this.#take().text.toLowerCase() === 'like') return test('like', [this.#value(field)]);
    // One network may stand without parentheses: address in 10.1.0.0/16.
    if (!this.#isSign('(')) return test('in', [this.#value(field)]);
    this.#take();
    const values = [this.#value(field)];
    while (this.#isSign(',')) {
      this.#take();
      if (++this.#count > MOST) throw wrong(this.#next.column, `a filter has at most ${MOST} comparisons and values`);
      values.push(this.#value(field));
    }
    if (!this.#isSign(')')) throw wrong(this.#next.column, `expected , or ) in the list, not ${shown(this.#next)}`);
    this.#take();
    return test('in', values);
  }

  #value(field: Field): Word {
    const word = this.#take();
    if (word.kind === 'quoted') return word;
    if (word.kind === 'word' && !RESERVED.has(word.text.toLowerCase())) return word;
    const quotes = word.kind === 'word' ? '; a value that is one of the words of this language stands in quotes' : '';
    // The end stays the end, whoever looks next.
    this.#at = Math.min(this.#at, this.#words.length - 1);
    throw wrong(word.column, `expected a value for ${field.name} (${field.wants}), not ${shown(word)}${quotes}`);
  }
}

/** readFilter understands the text of a filter, or tells at which column it does not. */
export function readFilter(text: string): Node {
  return new Reader(text).read();
}
