import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { test } from 'node:test';

/** Which wings a wing may import (docs/architecture.md, law 1). `own` = other rooms of the same wing. */
const law: Record<string, { wings: string[]; own: boolean; only?: RegExp }> = {
  'src/base': { wings: [], own: true },
  'src/messages': { wings: ['base'], own: true },
  'src/wire': { wings: ['base', 'messages'], own: true },
  'src/store': { wings: ['base', 'messages'], own: true },
  'src/records': { wings: ['base', 'messages', 'store'], own: true },
  'src/components': { wings: ['base', 'messages', 'records', 'store', 'wire'], own: false },
  'src/points': { wings: ['base', 'messages', 'records', 'store', 'wire'], own: false, only: /^#wire\/http$/ },
  'src/executive': { wings: ['base', 'messages', 'wire', 'store', 'records', 'components', 'points'], own: true },
  'src/cli': { wings: ['base', 'messages', 'executive', 'lab'], own: true },
  client: { wings: ['base', 'messages'], own: true },
  lab: { wings: ['base', 'messages', 'wire', 'store', 'records', 'components', 'points', 'executive', 'client'], own: true },
};

/** Wings that are one room each. */
const FLAT = new Set(['src/messages', 'src/executive', 'src/cli']);

const top = new URL('../..', import.meta.url).pathname;

interface Arrow {
  file: string;
  wing: string;
  room: string;
  target: string;
}

function wingOf(file: string): string | undefined {
  return Object.keys(law).find((wing) => file.startsWith(`${wing}/`));
}

const files = globSync(['src/**/*.ts', 'client/**/*.ts', 'lab/**/*.ts'], { cwd: top }).map((f) => f.split(sep).join('/'));

function roomOf(file: string, wing: string): string {
  return FLAT.has(wing) ? wing : `${wing}/${file.slice(wing.length + 1).split('/')[0]}`;
}

function arrows(): Arrow[] {
  return files.flatMap((file) => {
    const wing = wingOf(file);
    assert.ok(wing, `${file} stands in no wing of the house`);
    const room = roomOf(file, wing);
    const text = readFileSync(join(top, file), 'utf8');
    const imports = [
      ...text.matchAll(
        /(?:^|\n)\s*(?:import|export)[^'"`;]*?from\s+'([^']+)'|import\(\s*'([^']+)'\s*\)|(?:^|\n)import\s+'([^']+)'/g,
      ),
    ];
    return imports.map((match) => ({ file, wing, room, target: (match[1] ?? match[2] ?? match[3])! }));
  });
}

const all = arrows();

function targetWing(target: string): string {
  return target.slice(1).split('/')[0]!;
}

test('imports only go down', () => {
  const wrong = all.filter(({ wing, target }) => {
    if (!target.startsWith('#')) return false;
    const rule = law[wing]!;
    const to = targetWing(target);
    const own = wing.split('/').at(-1) === to;
    if (own) return false;
    if (!rule.wings.includes(to)) return true;
    return rule.only !== undefined && to === 'wire' && !rule.only.test(target);
  });
  assert.deepEqual(
    wrong.map((a) => `${a.file} imports ${a.target}`),
    [],
  );
});

test('components and points do not import each other', () => {
  const wrong = all.filter(({ wing, room, target }) => {
    if (law[wing]!.own || !target.startsWith('#')) return false;
    return wing.split('/').at(-1) === targetWing(target) && `src/${target.slice(1).split('/').slice(0, 2).join('/')}` !== room;
  });
  assert.deepEqual(
    wrong.map((a) => `${a.file} imports ${a.target}`),
    [],
  );
});

test('a room is entered by its door', () => {
  const wrong = all.filter(({ file, room, target }) => {
    if (target.startsWith('#'))
      return target !== '#messages' && target !== '#executive' && target !== '#cli' && target.split('/').length !== 2;
    if (!target.startsWith('.')) return false;
    const reached = relative(top, join(top, dirname(file), target))
      .split(sep)
      .join('/');
    return !reached.startsWith(`${room}/`);
  });
  assert.deepEqual(
    wrong.map((a) => `${a.file} imports ${a.target}`),
    [],
  );
});

test('between rooms of one wing there is no circle', () => {
  const edges = new Map<string, Set<string>>();
  for (const { room, target } of all) {
    if (!target.startsWith('#')) continue;
    const [wing, name] = target.slice(1).split('/');
    const to = ['client', 'lab'].includes(wing!) ? `${wing}/${name}` : name === undefined ? `src/${wing}` : `src/${wing}/${name}`;
    if (to !== room) edges.set(room, (edges.get(room) ?? new Set()).add(to));
  }
  const state = new Map<string, 'open' | 'done'>();
  const circles: string[] = [];
  const visit = (room: string, path: string[]): void => {
    if (state.get(room) === 'done') return;
    if (state.get(room) === 'open') return void circles.push([...path.slice(path.indexOf(room)), room].join(' → '));
    state.set(room, 'open');
    for (const next of edges.get(room) ?? []) visit(next, [...path, room]);
    state.set(room, 'done');
  };
  for (const room of edges.keys()) visit(room, []);
  assert.deepEqual(circles, []);
});

test('the picture in docs/architecture.md names every room and no other', () => {
  const page = readFileSync(join(top, 'docs/architecture.md'), 'utf8');
  const named = new Set([...page.matchAll(/^\| `([a-z0-9/-]+)` \|/gm)].map((m) => m[1]!));
  const standing = new Set(files.map((file) => roomOf(file, wingOf(file)!)));
  for (const room of standing) assert.ok(named.has(room), `docs/architecture.md has no row for ${room}`);
  for (const room of named) assert.ok(standing.has(room), `docs/architecture.md names ${room}, which does not stand`);
});

/** Law 6: so many lines at the most, of files that people write. */
const LONGEST = 300;

/** Files that are longer, how long they may get, and why. A file that is short enough again leaves this list. */
const LONGER: Record<string, { lines: number; why: string }> = {
  'client/linux/ccmsetup.sh': {
    lines: 820,
    why: 'goes to the machine as it is: one file, before there is anything to load others with',
  },
  'src/base/errors/catalogue/request.ts': { lines: 450, why: 'a table: one row for each error' },
  'src/base/errors/catalogue/store.ts': { lines: 450, why: 'a table: one row for each error' },
  'src/base/errors/catalogue/target.ts': { lines: 450, why: 'a table: one row for each error' },
  'src/base/errors/catalogue/push.ts': { lines: 450, why: 'a table: one row for each error' },
  'src/records/client/record.ts': {
    lines: 430,
    why: 'the door to all that is known of clients; its look-ups are the next to stand for themselves',
  },
  'src/cli/verbs/collection.ts': { lines: 330, why: 'the verbs of one group, in the order of their help' },
  'src/components/discovery/network/network.ts': { lines: 310, why: 'one run from its first address to its report' },
  'bench/points.ts': { lines: 400, why: 'one measurement from its set-up to its figures' },
  'test/support/sites.ts': { lines: 430, why: 'a branch of sites on one machine: start, speak, cut, kill' },
  'test/support/push-site.ts': { lines: 320, why: 'a site with lab hosts and a clock: start, push, look' },
  'test/support/decoders.ts': { lines: 500, why: 'a table: one row for each decoder and what it is fed' },
};

test('a file tells one thing, in at most 300 lines', () => {
  const written = globSync(
    ['src/**/*.ts', 'client/**/*.{ts,sh}', 'lab/**/*.ts', 'bench/**/*.ts', 'bin/*', 'test/support/**/*.ts'],
    {
      cwd: top,
    },
  ).map((f) => f.split(sep).join('/'));
  const lines = new Map(
    written
      .filter((file) => !file.endsWith('.generated.ts'))
      .map((file) => [file, readFileSync(join(top, file), 'utf8').split('\n').length - 1]),
  );
  const wrong = [...lines].filter(([file, length]) => length > (LONGER[file]?.lines ?? LONGEST));
  assert.deepEqual(
    wrong.map(([file, length]) => `${file} has ${length} lines: find the seam in its meaning, and cut there`),
    [],
  );
  const idle = Object.keys(LONGER).filter((file) => (lines.get(file) ?? 0) <= LONGEST);
  assert.deepEqual(idle, [], 'these need no exception any more');
});

test('time and randomness are handed in', () => {
  const files = globSync(['src/**/*.ts', 'client/**/*.ts', 'lab/**/*.ts'], { cwd: top }).filter(
    (f) => !/^src\/base\/(clock|random)\//.test(f.split(sep).join('/')),
  );
  const wrong = files.filter((file) => {
    const code = readFileSync(join(top, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
    return /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bsetTimeout\(|\bsetInterval\(|\bperformance\.now\(/.test(code);
  });
  assert.deepEqual(wrong, []);
});

test('no room is called types, utils, common or helpers', () => {
  const wrong = globSync(['src/**', 'client/**', 'lab/**'], { cwd: top }).filter((f) =>
    /(^|\/)(types|utils?|common|helpers?)(\.ts)?$/.test(f.split(sep).join('/')),
  );
  assert.deepEqual(wrong, []);
});
