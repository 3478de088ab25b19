import { raise } from '#base/errors';
import { shownName } from '../names.ts';

/** LONGEST is the most characters that a filter may have. */
export const LONGEST = 4000;

/** Word is one piece of a filter and the column, from 1, in which it begins. */
export interface Word {
  kind: 'word' | 'quoted' | 'sign' | 'end';
  text: string;
  column: number;
}

/** wrong makes the error for a place in a filter. */
export function wrong(column: number, why: string): Error {
  return raise('PP_FILTER', { column, why });
}

/** shown is a piece of a filter as an error may repeat it. */
export function shown(word: Pick<Word, 'kind' | 'text'>): string {
  return word.kind === 'end' ? 'the end' : `"${shownName(word.text)}"`;
}

/** Signs that other languages have and this one has not, with what stands for them here. */
const FOREIGN: Record<string, string> = {
  '==': '=',
  '<>': '!=',
  '&&': 'and',
  '||': 'or',
  '!': 'not',
  '&': 'and',
  '|': 'or',
  '=~': 'like',
};
const SIGN = /[()=,]|<=|>=|!=|<|>/y;
const FOREIGN_SIGN = /==|=~|<>|&&|\|\||!(?!=)|&|\|/y;
const BLANK = /[ \t\n\r]+/y;
// A word ends before a blank, a quote or a sign; what it means is for the field beside it to say.
const WORD = /[^ \t\n\r"'()=,<>!&|]+/y;
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/;

function quoted(text: string, from: number): { value: string; next: number } {
  const quote = text[from]!;
  let value = '';
  for (let at = from + 1; at < text.length; at++) {
    const c = text[at]!;
    if (c !== quote) value += c;
    // A doubled quote stands for one, as in CSV and SQL.
    else if (text[at + 1] === quote) {
      value += quote;
      at++;
    } else return { value, next: at + 1 };
  }
  throw wrong(from + 1, 'this quote is not closed');
}

/** wordsOf takes a filter apart. The last word is always the end. */
export function wordsOf(text: string): Word[] {
  if (text.length > LONGEST)
    throw wrong(LONGEST + 1, `a filter has at most ${LONGEST} characters, and this one has ${text.length}`);
  const control = CONTROL.exec(text);
  if (control || !text.isWellFormed()) throw wrong((control?.index ?? 0) + 1, 'a filter has no control characters');
  const words: Word[] = [];
  const take = (pattern: RegExp, at: number): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };
  for (let at = 0; at < text.length;) {
    const blank = take(BLANK, at);
    if (blank) {
      at += blank.length;
      continue;
    }
    const column = at + 1;
    if (text[at] === '"' || text[at] === "'") {
      const { value, next } = quoted(text, at);
      words.push({ kind: 'quoted', text: value, column });
      at = next;
      continue;
    }
    const foreign = take(FOREIGN_SIGN, at);
    if (foreign) throw wrong(column, `${foreign} is not known here; write ${FOREIGN[foreign]}`);
    const sign = take(SIGN, at);
    const piece = sign ?? take(WORD, at)!;
    words.push({ kind: sign ? 'sign' : 'word', text: piece, column });
    at += piece.length;
  }
  words.push({ kind: 'end', text: '', column: text.length + 1 });
  return words;
}
