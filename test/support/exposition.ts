import assert from 'node:assert/strict';

/** Sample is one line of an exposition. */
export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** Family is one metric with its type and samples. */
export interface Family {
  type: string;
  help: string;
  samples: Sample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const SUFFIXES: Record<string, readonly string[]> = { histogram: ['_bucket', '_sum', '_count'], counter: [''], gauge: [''] };

function labelsOf(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  let rest = text;
  while (rest !== '') {
    const match = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/.exec(rest);
    assert.ok(match, `labels of: ${line}`);
    assert.ok(!Object.hasOwn(labels, match[1]!), `a label twice: ${line}`);
    labels[match[1]!] = match[2]!.replace(/\\([\\"n])/g, (_, c: string) => (c === 'n' ? '\n' : c));
    rest = rest.slice(match[0].length);
  }
  return labels;
}

/** parseExposition reads the text format 0.0.4 as strictly as its description allows, and fails on anything else. */
export function parseExposition(text: string): Map<string, Family> {
  assert.ok(text.endsWith('\n'), 'the last line ends with a line feed');
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let current: { name: string; family: Family } | undefined;
  let help: { name: string; text: string } | undefined;
  for (const line of text.slice(0, -1).split('\n')) {
    const head = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
    if (head?.[1] === 'HELP') {
      assert.match(head[2]!, NAME);
      help = { name: head[2]!, text: head[3]! };
      continue;
    }
    if (head) {
      const [, , name, type] = head as unknown as [string, string, string, string];
      assert.equal(help?.name, name, `HELP stands before TYPE: ${line}`);
      assert.ok(type in SUFFIXES, line);
      assert.ok(!families.has(name), `${name} is there once`);
      current = { name, family: { type, help: help.text, samples: [] } };
      families.set(name, current.family);
      continue;
    }
    const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?[0-9.]+(?:e[+-]?\d+)?|[+-]Inf|NaN)$/.exec(line);
    assert.ok(match, `a line of the format: ${line}`);
    assert.ok(current, `TYPE stands before samples: ${line}`);
    const [, name, labels = '', value] = match as unknown as [string, string, string | undefined, string];
    assert.ok(
      SUFFIXES[current.family.type]!.some((s) => current!.name + s === name),
      `${name} belongs to ${current.name}`,
    );
    const key = `${name}{${labels}}`;
    assert.ok(!seen.has(key), `a sample twice: ${line}`);
    seen.add(key);
    const number = value.endsWith('Inf') ? Infinity * (value.startsWith('-') ? -1 : 1) : Number(value);
    if (current.family.type !== 'gauge') assert.ok(number >= 0, `counters do not fall below 0: ${line}`);
    current.family.samples.push({ name, labels: labelsOf(labels, line), value: number });
  }
  for (const [name, family] of families) if (family.type === 'histogram') checkHistogram(name, family.samples);
  return families;
}

/** Buckets are cumulative, end with +Inf, and that one is the count. */
function checkHistogram(name: string, samples: readonly Sample[]): void {
  const key = ({ labels: { le: _le, ...rest } }: Sample) => JSON.stringify(rest);
  for (const [of, own] of Map.groupBy(samples, key)) {
    const buckets = own.filter((s) => s.name === `${name}_bucket`);
    const bounds = buckets.map((b) => (b.labels['le'] === '+Inf' ? Infinity : Number(b.labels['le'])));
    assert.deepEqual(
      bounds,
      bounds.toSorted((a, b) => a - b),
      `${of}: buckets in order`,
    );
    assert.equal(bounds.at(-1), Infinity, of);
    buckets.forEach((b, i) => assert.ok(i === 0 || b.value >= buckets[i - 1]!.value, `${of}: buckets are cumulative`));
    assert.equal(own.find((s) => s.name === `${name}_count`)?.value, buckets.at(-1)!.value, of);
    assert.ok(
      own.some((s) => s.name === `${name}_sum`),
      of,
    );
  }
}
