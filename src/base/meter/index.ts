/** Labels tell the lines of one metric apart. They are few and known beforehand: never a machine, an account or anything a stranger chooses. */
export type Labels = Readonly<Record<string, string>>;

/** Sums are counters by the line of the exposition that they stand in; those of several processes are added. */
export type Sums = Record<string, number>;

/** The upper bounds of a histogram of durations, in seconds. */
const SECONDS = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60];

/** A bound on the lines of one process, should a label be less bounded than was thought. */
const MOST = 5000;

function escaped(value: string): string {
  return value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
}

/** lineOf is a metric with its labels as the text format has it. */
export function lineOf(name: string, labels: Labels = {}): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${escaped(value)}"`);
  return pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`;
}

/** Meter counts what a process does. Counting is cheap and never fails. */
export class Meter {
  readonly #sums = new Map<string, number>();

  /** add counts. */
  add(name: string, labels: Labels = {}, n = 1): void {
    if (n !== 0) this.#add(lineOf(name, labels), n);
  }

  /** observe puts a duration into a histogram. */
  observe(name: string, labels: Labels, ms: number): void {
    const seconds = ms / 1000;
    for (const le of SECONDS) this.#add(lineOf(`${name}_bucket`, { ...labels, le: String(le) }), seconds <= le ? 1 : 0);
    this.#add(lineOf(`${name}_bucket`, { ...labels, le: '+Inf' }), 1);
    this.#add(lineOf(`${name}_sum`, labels), seconds);
    this.#add(lineOf(`${name}_count`, labels), 1);
  }

  #add(line: string, n: number): void {
    const sum = this.#sums.get(line);
    if (sum === undefined && this.#sums.size >= MOST) return;
    this.#sums.set(line, (sum ?? 0) + n);
  }

  /** sums gives what was counted since the start. */
  sums(): Sums {
    return Object.fromEntries(this.#sums);
  }
}

/** addSums adds counters of several processes up. */
export function addSums(all: readonly Sums[]): Sums {
  const total: Sums = {};
  for (const sums of all) for (const [line, n] of Object.entries(sums)) total[line] = (total[line] ?? 0) + n;
  return total;
}

/** Exposition writes the text format of Prometheus, version 0.0.4. */
export class Exposition {
  #text = '';

  /** gauge writes a value that goes up and down, with its lines by label. */
  gauge(name: string, help: string, values: readonly (readonly [Labels, number | undefined])[]): void {
    this.#head(name, 'gauge', help);
    for (const [labels, value] of values) if (value !== undefined) this.#text += `${lineOf(name, labels)} ${numberText(value)}\n`;
  }

  /** counter writes the sums of one counter. */
  counter(name: string, help: string, sums: Sums): void {
    this.#head(name, 'counter', help);
    this.#lines(sums, [name]);
  }

  /** histogram writes the sums of one histogram. */
  histogram(name: string, help: string, sums: Sums): void {
    this.#head(name, 'histogram', help);
    this.#lines(sums, [`${name}_bucket`, `${name}_sum`, `${name}_count`]);
  }

  #head(name: string, type: string, help: string): void {
    this.#text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
  }

  #lines(sums: Sums, names: readonly string[]): void {
    for (const [line, n] of Object.entries(sums))
      if (names.includes(line.split('{', 1)[0]!)) this.#text += `${line} ${numberText(n)}\n`;
  }

  /** text is the whole page. */
  text(): string {
    return this.#text;
  }
}

function numberText(n: number): string {
  return Number.isFinite(n) ? String(n) : n > 0 ? '+Inf' : n < 0 ? '-Inf' : 'NaN';
}
