/** Exit codes of the command: fine, some failed, wrong use. */
export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

// What targets and servers say of themselves is printed too: nothing in it may steer the terminal or turn the order of letters around.
const HOSTILE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

function safe(text: string): string {
  return text.replace(HOSTILE, '?');
}

/** print writes one line to standard output. */
export function print(line = ''): void {
  process.stdout.write(`${safe(line)}\n`);
}

/**
 * printText writes a part of a document as it is, waits until it is taken, and tells whether somebody still reads (`| head` does not). On a
 * terminal nothing in it can steer.
 */
export async function printText(text: string): Promise<boolean> {
  const plain = process.stdout.isTTY ? safe(text.replaceAll('\r\n', '\n')) : text;
  return new Promise((resolve) => process.stdout.write(plain, (error) => resolve(!error)));
}

/** printJson writes a value as one JSON document to standard output: one line, or indented on a terminal. */
export function printJson(value: unknown): void {
  printJsonText(JSON.stringify(value, undefined, process.stdout.isTTY ? 2 : undefined));
}

/** printJsonLine writes a value as exactly one line of JSON, for readers that wait for that line. */
export function printJsonLine(value: unknown): void {
  printJsonText(JSON.stringify(value));
}

function printJsonText(text: string): void {
  // JSON escapes what is below a blank by itself; the rest stays the same value when it is escaped.
  const escaped = text.replace(
    /[\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  process.stdout.write(`${escaped}\n`);
}

/** printDone says what a verb has done, or what it would have. */
export function printDone(text: string, dryRun: boolean | undefined): void {
  print(dryRun ? `dry run, nothing is changed: ${text}` : text);
}

/** note writes one line to standard error, where it does not disturb what a script reads. */
export function note(line: string): void {
  process.stderr.write(`${safe(line)}\n`);
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(width - 1, 1))}…`;
}

/** table prints rows under their headings; on a terminal the last column is cut at the edge. Without rows `empty` is said on standard error. */
export function table(headings: string[], rows: (string | number | null | undefined)[][], empty?: string): void {
  const cells = rows.map((row) => row.map((cell) => safe(String(cell ?? '')).replace(/[\n\t]/g, ' ')));
  const widths = headings.map((heading, i) => cells.reduce((most, row) => Math.max(most, (row[i] ?? '').length), heading.length));
  const room = process.stdout.isTTY ? process.stdout.columns || Infinity : Infinity;
  const line = (row: string[]) =>
    cut(row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]!))).join('  '), room).trimEnd();
  process.stdout.write([headings, ...cells].map((row) => `${line(row)}\n`).join(''));
  if (rows.length === 0 && empty !== undefined) note(empty);
}

/** noteMore says that a list goes on behind the page that was shown, and how to see the rest. */
export function noteMore(next: string | null): void {
  if (next !== null) note(`there are more: --cursor ${next} shows the next ones`);
}

/** fields prints what is known of one thing, a name and a value a line; what is not known is left out. */
export function fields(rows: [string, string | number | boolean | null | undefined][]): void {
  const known = rows.filter(([, value]) => value !== undefined && value !== null && value !== '');
  const width = known.reduce((most, [name]) => Math.max(most, name.length), 0);
  for (const [name, value] of known)
    print(`${name.padEnd(width)}  ${typeof value === 'boolean' ? (value ? 'yes' : 'no') : value}`);
}

/** shellWord is a path as it may be pasted into a shell. */
export function shellWord(path: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

/** Progress draws one line that is redrawn on a terminal, and prints nothing elsewhere: standard error only. */
export class Progress {
  readonly #label: string;
  #shown = '';

  constructor(label: string) {
    this.#label = label;
  }

  update(done: number, total: number, tail = ''): void {
    if (!process.stderr.isTTY) return;
    const width = 28;
    const filled = total === 0 ? width : Math.round((done / total) * width);
    const line = safe(`${this.#label} ${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${done}/${total}  ${tail}`);
    if (line === this.#shown) return;
    this.#shown = line;
    process.stderr.write(`\r\u001b[K${cut(line, process.stderr.columns || 120)}`);
  }

  end(): void {
    if (this.#shown) process.stderr.write('\r\u001b[K');
    this.#shown = '';
  }
}
