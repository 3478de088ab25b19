/** Labels tell the lines of one metric apart. They are few and known beforehand: never a machine, an account or anything a stranger chooses. */
export type Labels = Readonly<Record<string, string>>;

/** Sums are counters by the line of the exposition that they stand in; those of several processes are added. */
export type Sums = Record<string, number>;

/** The upper bounds of a histogram of durations, in seconds. */
const SECONDS = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60];

/** A bound on the lines of one process, should a label be less bounded than was thought. */
const MOST = 5000;

const SPECIAL = /[\\"\n]/;

function escaped(value: string): string {
  if (!SPECIAL.test(value)) return value;
  return value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
}

/** lineOf is a metric with its labels as the text format has it. */
export function lineOf(name: string, labels: Labels = {}): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${escaped(value)}"`);
  return pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`;
}

/** Histogram counts durations by the first bound that holds them; `counts` has one place more, for those that none holds. */
interface Histogram {
  readonly name: string;
  readonly labels: Labels;
  readonly counts: number[];
  seconds: number;
}

/** The lines that a histogram has in the text format. */
const LINES_OF_ONE = SECONDS.length + 3;

/** Meter counts what a process does. Counting is cheap and never fails. */
export class Meter {
  readonly #sums = new Map<string, number>();
  readonly #histograms = new Map<string, Histogram>();

  /** add counts. */
  add(name: string, labels: Labels = {}, n = 1): void {
    if (n !== 0) this.#add(lineOf(name, labels), n);
  }

  /** observe puts a duration into a histogram. */
  observe(name: string, labels: Labels, ms: number): void {
    let key = name;
    for (const label in labels) key += `\0${label}\0${labels[label]}`;
    let found = this.#histograms.get(key);
    if (found === undefined) {
      if (this.#isFull(LINES_OF_ONE)) return;
      found = { name, labels: { ...labels }, counts: Array.from({ length: SECONDS.length + 1 }, () => 0), seconds: 0 };
      this.#histograms.set(key, found);
    }
    const seconds = ms / 1000;
    found.seconds += seconds;
    let at = 0;
    while (at < SECONDS.length && seconds > SECONDS[at]!) at++;
    found.counts[at]! += 1;
  }

  #isFull(more: number): boolean {
    return this.#sums.size + this.#histograms.size * LINES_OF_ONE + more > MOST;
  }

  #add(line: string, n: number): void {
    const sum = this.#sums.get(line);
    if (sum === undefined && this.#isFull(1)) return;
    this.#sums.set(line, (sum ?? 0) + n);
  }

  /** sums gives what was counted since the start. */
  sums(): Sums {
    const sums: Sums = Object.fromEntries(this.#sums);
    for (const { name, labels, counts, seconds } of this.#histograms.values()) {
      let count = 0;
      for (const [at, le] of [...SECONDS, '+Inf'].entries()) {
        count += counts[at]!;
        sums[lineOf(`${name}_bucket`, { ...labels, le: String(le) })] = count;
      }
      sums[lineOf(`${name}_sum`, labels)] = seconds;
      sums[lineOf(`${name}_count`, labels)] = count;
    }
    return sums;
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
