import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CrashRun, type Victim } from '#test/crash-run';

/**
 * A few of the crash rounds of bench/crash.ts: a push to 30 machines, some with the troubles of the field, while a part of the site is killed at
 * random instants. The seed is new each time and stands in the output; bench:crash takes it to do the same again.
 */
const KINDS: [string, readonly Victim[]][] = [
  ['the process of the site', ['site', 'site', 'site']],
  ['the database server, and one process of it', ['database', 'backend']],
  ['one of three workers', ['worker', 'worker']],
];

for (const [what, victims] of KINDS) {
  test(`a push to 30 machines outlives kills of ${what}: nothing lost, nothing twice, nothing left behind`, async (t) => {
    const seed = Math.trunc(performance.timeOrigin + performance.now()) % 2 ** 31;
    t.diagnostic(`seed ${seed}`);
    const run = new CrashRun({ hosts: 30, mix: 'mixed', seed, victims, say: (line) => t.diagnostic(line.trim()) });
    try {
      const verdict = await run.run();
      assert.deepEqual(verdict.violations, []);
      t.diagnostic(
        `${verdict.cut} attempts were cut, at most ${verdict.most} for one machine; over ${verdict.waited.toFixed(1)} s after the last kill`,
      );
    } finally {
      await run.close();
    }
  });
}
