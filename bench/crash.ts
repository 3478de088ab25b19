/**
 * Crash rounds: `npm run bench:crash -- [--rounds N] [--hosts N] [--kill site|database|worker|both|pause] [--seed S]`. A site in a process of its own
 * pushes to lab hosts in another one, and is hit at random instants between the first claim and the last verification; a round is one kill. After
 * each push the database, the folders and the hosts' own records are judged (docs/reliability.md). Exit code 1 on any violation.
 */
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { systemClock as clock } from '#base/clock';
import { CrashRun, type Victim } from '#test/crash-run';
import { seeded } from '#test/seeded';

const KINDS: Record<string, readonly Victim[]> = {
  site: ['site'],
  // The whole server twice, and then one process of it, after which it starts all the others anew.
  database: ['database', 'database', 'backend'],
  worker: ['worker'],
  pause: ['pause'],
  // The database of three workers, and one of them.
  both: ['database', 'worker'],
};

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '10' },
    hosts: { type: 'string', default: '200' },
    kill: { type: 'string', default: 'site' },
    seed: { type: 'string', default: String(clock.now().getTime() % 1_000_000) },
    /** kills in one push */
    each: { type: 'string', default: '5' },
    mix: { type: 'string', default: 'mixed' },
  },
});
const kinds = KINDS[options.kill];
const [rounds, hosts, each, seed] = [options.rounds, options.hosts, options.each, options.seed].map(Number) as [
  number,
  number,
  number,
  number,
];
if (!kinds || [rounds, hosts, each, seed].some(Number.isNaN) || (options.mix !== 'mixed' && options.mix !== 'healthy')) {
  process.stderr.write(`--kill is one of ${Object.keys(KINDS).join(', ')}; --mix is mixed or healthy; the others are numbers\n`);
  process.exit(2);
}
const mix = options.mix;
const say = (line: string) => process.stdout.write(`${line}\n`);

const seeds = seeded(seed);
const total = { pushes: 0, kills: 0, cut: 0, most: 0, waited: 0, stopMs: 0, violations: 0, states: {} as Record<string, number> };
say(
  `crash rounds: ${rounds} × ${options.kill}, ${hosts} ${mix} hosts, seed ${seed}, Node ${process.version}, ${clock.now().toISOString()}`,
);

let run: CrashRun | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void run?.close().finally(() => process.exit(1)));

while (total.kills < rounds) {
  const victims = Array.from(
    { length: Math.min(each, rounds - total.kills) },
    (_, n) => kinds[(total.kills + n) % kinds.length]!,
  );
  const own = Math.floor(seeds() * 2 ** 31);
  total.pushes++;
  say(`push ${total.pushes}, seed ${own}, load ${loadavg()[0]!.toFixed(1)}`);
  run = new CrashRun({
    hosts,
    mix,
    seed: own,
    victims,
    say: (line) => say(line.replace(/^ {2}/, () => `  round ${++total.kills}: `)),
  });
  let violations: string[];
  try {
    const verdict = await run.run();
    ({ violations } = verdict);
    total.cut += verdict.cut;
    total.most = Math.max(total.most, verdict.most);
    total.waited = Math.max(total.waited, verdict.waited);
    total.stopMs = Math.max(total.stopMs, verdict.stopMs);
    for (const [state, n] of Object.entries(verdict.states)) total.states[state] = (total.states[state] ?? 0) + n;
    const shown = Object.entries(verdict.states).map(([state, n]) => `${n} ${state}`);
    say(
      `  ${shown.join(', ')}; ${verdict.cut} attempts cut, at most ${verdict.most} for one machine; all over ${verdict.waited.toFixed(1)} s after the last; ` +
        `${verdict.auditEntries} audit entries verified; stopped in ${(verdict.stopMs / 1000).toFixed(1)} s`,
    );
  } catch (error) {
    violations = [`the push could not be brought to its end: ${(error as Error).stack}`];
    total.kills = Math.max(total.kills, rounds);
  }
  for (const one of violations) say(`  VIOLATION ${one}`);
  total.violations += violations.length;
  await run.close(violations.length > 0);
  if (violations.length > 0) say(`  what is left of it stands in ${run.site.folder}`);
}

const states = Object.entries(total.states).map(([state, n]) => `${n} ${state}`);
say(
  `${total.kills} kills (${options.kill}) in ${total.pushes} pushes to ${hosts} hosts: ${states.join(', ')}; ${total.cut} attempts cut, at most ${total.most} for one machine; ` +
    `slowest end ${total.waited.toFixed(1)} s after the last kill; ${total.violations} violations`,
);
process.exitCode = total.violations === 0 ? 0 : 1;
