/**
 * Runs test files, each in a process group of its own, several at a time: `bin/test`. What node's own runner does not do: a file has a limit,
 * after which it is killed with all that it started and its output so far is shown, so that one that hangs costs minutes and not the run; and
 * what a file leaves behind is ended and named. Called as: run-tests.ts PATTERN…
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** A test that takes longer has failed; a file is killed somewhat later, so that it can say which of its tests it was. */
const TEST_MS = 150_000;
const FILE_MS = Number(process.env['PUSHPOINT_TEST_FILE_SECONDS'] ?? 240) * 1000;
/** Much of what tests do is waiting for processes and clocks, so there is one more file at a time than there are cores. */
const AT_ONCE = Number(process.env['PUSHPOINT_TEST_CONCURRENCY'] ?? availableParallelism() + 1);
/** The folders with the longest files come first, so that no long one is left alone at the end. */
const FIRST = ['test/e2e/', 'test/cli/', 'test/estate/', 'test/client/', 'test/ccm/'];
const SLOWEST = 15;
/** So many files may fail in a run and then pass alone: a race in a test, told at the end in one loud line each. With more, something is broken. */
const MAY_WAVER = 2;
/** What a file's process has left open may say so long what it still has to say. */
const LINGER_MS = 2000;

interface Ran {
  file: string;
  ms: number;
  out: string;
  counts: Map<string, number>;
  wrong: string | undefined;
  left: boolean;
  /** How it went the first time, where it failed then and passed alone. */
  wavered?: Ran;
}

function rank(file: string): number {
  const at = FIRST.findIndex((folder) => file.startsWith(folder));
  return at === -1 ? FIRST.length : at;
}

/** Which process groups are under way; they do not outlive this process. */
const groups = new Set<number>();

/** signal sends a signal to a group, and tells whether there was one. */
function signal(group: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, name);
  } catch {
    return false;
  }
}

/** countsOf reads what node's reporter says at the end: ℹ pass 12. */
function countsOf(out: string): Map<string, number> {
  return new Map([...out.matchAll(/^ℹ (tests|pass|fail|cancelled|skipped|todo) (\d+)$/gm)].map((m) => [m[1]!, Number(m[2])]));
}

async function run(file: string): Promise<Ran> {
  const from = performance.now();
  const flags = ['--disable-warning=ExperimentalWarning', `--test-timeout=${TEST_MS}`, '--test-reporter=spec'];
  const child = spawn(process.execPath, [...flags, file], { cwd: ROOT, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  groups.add(child.pid!);
  const parts: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => parts.push(part));
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    signal(child.pid!, 'SIGKILL');
  }, FILE_MS);
  const closed = once(child, 'close');
  const [code, killed] = (await once(child, 'exit')) as [number | null, string | null];
  clearTimeout(limit);
  const left = signal(child.pid!, 0);
  if (left) {
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, LINGER_MS))]);
    signal(child.pid!, 'SIGKILL');
  }
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, LINGER_MS))]);
  groups.delete(child.pid!);
  const out = Buffer.concat(parts).toString();
  const counts = countsOf(out);
  let wrong: string | undefined;
  if (late)
    wrong = `was not done after ${FILE_MS / 1000} s and was killed: it hung in a test that failed above, or in the one after the last named`;
  else if (killed) wrong = `was ended by ${killed}`;
  else if (code !== 0) wrong = `ended with ${code}`;
  else if (!counts.has('tests')) wrong = 'ended in the middle of its tests';
  return { file, ms: performance.now() - from, out, counts, wrong, left: left && !late };
}

function show({ file, ms, out, wrong, left }: Ran): void {
  console.log(`\n── ${file}, ${(ms / 1000).toFixed(1)} s${wrong ? `: ${wrong}` : ''}`);
  console.log(out.replace(/^ℹ (?:tests|suites|pass|cancelled|todo|duration_ms|fail|skipped) .*\n/gm, '').trimEnd());
  if (left) console.log('   it left processes behind; they were ended');
}

/**
 * again runs the few files that failed once more, alone on the machine. One that passes then is taken for passed and named at the end, so that
 * its race is mended and does not stand in the way of another change meanwhile.
 */
async function again(all: Ran[]): Promise<void> {
  const wrong = all.filter((one) => one.wrong !== undefined);
  if (wrong.length === 0 || wrong.length > MAY_WAVER || all.length <= MAY_WAVER) return;
  for (const one of wrong) {
    console.log(`\n── ${one.file} ${one.wrong}; it is run once more, alone`);
    const ran = await run(one.file);
    show(ran);
    if (ran.wrong === undefined) all[all.indexOf(one)] = { ...ran, wavered: one };
  }
}

/** summary tells of all files together, and again of what failed. */
function summary(all: readonly Ran[], ms: number): void {
  const wrong = all.filter((one) => one.wrong !== undefined);
  console.log(`\n── the slowest of ${all.length} files`);
  for (const one of all.toSorted((a, b) => b.ms - a.ms).slice(0, SLOWEST))
    console.log(`${(one.ms / 1000).toFixed(1).padStart(7)} s  ${one.file}`);
  const wavered = all.flatMap(({ wavered: first }) => first ?? []);
  for (const { file, out, wrong: why } of [...wavered, ...wrong]) {
    const at = out.lastIndexOf('✖ failing tests:');
    console.log(`\n── ${file} ${why}\n${(at === -1 ? out.slice(-4000) : out.slice(at)).trimEnd()}`);
  }
  const sum = (what: string) => all.reduce((total, { counts }) => total + (counts.get(what) ?? 0), 0);
  const counts = ['tests', 'pass', 'fail', 'cancelled', 'skipped', 'todo'].map((what) => `${what} ${sum(what)}`);
  console.log(`\nfiles ${all.length}, ${counts.join(', ')}, ${(ms / 1000).toFixed(0)} s, ${AT_ONCE} at a time`);
  for (const { file } of wavered) console.log(`WAVERS: ${file} failed at first and passed alone; mend it`);
  console.log(wrong.length === 0 ? 'all is well' : `${wrong.length} files failed: ${wrong.map(({ file }) => file).join(' ')}`);
}

const files = [...new Set(process.argv.slice(2).flatMap((pattern) => globSync(pattern, { cwd: ROOT })))];
if (files.length === 0) {
  console.error('no such test file');
  process.exit(2);
}
files.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(name, () => {
    for (const group of groups) signal(group, 'SIGKILL');
    process.exit(1);
  });
// The database that all files share ends with this process (test/support/database-host.ts).
process.env['PUSHPOINT_TEST_RUNNER'] = String(process.pid);
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('../node_modules/.cache/pushpoint-tests', import.meta.url));

const from = performance.now();
const done: Ran[] = [];
const queue = files.values();
await Promise.all(
  Array.from({ length: Math.min(AT_ONCE, files.length) }, async () => {
    for (const file of queue) {
      const ran = await run(file);
      done.push(ran);
      show(ran);
    }
  }),
);
await again(done);
summary(done, performance.now() - from);
process.exitCode = done.some(({ wrong }) => wrong !== undefined) ? 1 : 0;
