/**
 * Puts very many CCRs through the whole pipeline: `npm run bench:pipeline -- [--there 10000] [--away 90000]`. Each CCR is a machine of its own.
 * Those that are there are lab hosts: probe, logon, inspection, lock, copy, start, release, and a minute later the verification, which finds the
 * service that the pushed program installed. Those that are away refuse at once and end in retry. It tells memory, open files, the size of the
 * database and the rate on the way, and whether every CCR ended where it must, each machine tried once.
 */
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { loadavg } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ask, child, withLab } from './children.ts';
import { table } from './figures.ts';
import type { Look, PipelineFound, PipelineOrder } from './pipeline-site.ts';

const { values: options } = parseArgs({
  options: {
    there: { type: 'string', default: '10000' },
    away: { type: 'string', default: '0' },
    concurrency: { type: 'string', default: '50' },
    kib: { type: 'string', default: '16' },
    minutes: { type: 'string', default: '20' },
    database: { type: 'string' },
  },
});
const THERE = Number(options.there);
const AWAY = Number(options.away);
const MIB = 1_048_576;
const say = (line: string) => process.stdout.write(`${line}\n`);
/** Those whose first attempt has ended. */
const ended = ({ counts }: Look) => THERE + AWAY - (counts['queued'] ?? 0) - (counts['processing'] ?? 0);
const mib = (octets: number) => (octets / MIB).toFixed(0);

const found = await withLab({ hosts: THERE, slowMs: 0 }, async (lab, folder) => {
  const data = path.join(folder, 'site');
  await mkdir(data, { mode: 0o711 });
  const site = child('pipeline-site.ts');
  const order: PipelineOrder = {
    folder: data,
    lab,
    away: AWAY,
    payloadBytes: Number(options.kib) * 1024,
    concurrency: Number(options.concurrency),
    database: options.database,
    patienceMs: Number(options.minutes) * 60_000,
  };
  try {
    return await ask<PipelineFound>(site, order);
  } finally {
    if (site.exitCode === null && site.signalCode === null) await once(site, 'exit');
  }
});

const { looks, rates, ends } = found;
const last = looks.at(-1)!;
const shown = looks.filter((_, i) => i % Math.max(1, Math.ceil(looks.length / 12)) === 0 || i === looks.length - 1);
/** What one first attempt cost since the look before; from the end of the queue on there are verifications alone. */
const since = (before: Look | undefined, now: Look) =>
  before && ended(now) > ended(before) ? ((now.cpuMs - before.cpuMs) / (ended(now) - ended(before))).toFixed(2) : '-';

say(
  `${THERE + AWAY} CCRs, ${THERE} machines there and ${AWAY} away, ${options.concurrency} at once, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}, ${new Date().toISOString()}`,
);
say(
  table([
    ['s', 'RSS MiB', 'open files', 'database MiB', 'CPU ms per CCR since', 'states'],
    ...shown.map((l, i) => [
      (l.ms / 1000).toFixed(0),
      mib(l.rss),
      l.files,
      mib(l.database),
      since(shown[i - 1], l),
      Object.entries(l.counts)
        .map(([state, n]) => `${state} ${n}`)
        .join(', '),
    ]),
  ]),
);
say(`queued in ${(found.queuedMs / 1000).toFixed(1)} s; all done after ${(last.ms / 1000).toFixed(0)} s`);
say(`first attempts a second, by tenths: ${rates.map((rate) => rate.toFixed(0)).join(' ')}`);
say(
  `CPU of the site's process: ${(found.cpuMs / 1000).toFixed(0)} s, ${(found.cpuMs / (THERE + AWAY)).toFixed(2)} ms for each CCR; most memory ${mib(found.peakRss)} MiB`,
);
say(
  `open files: at most ${Math.max(...looks.map((l) => l.files))}; database: ${(last.database / (THERE + AWAY) / 1024).toFixed(1)} KiB for each CCR; ${found.attempts} attempts`,
);
for (const { what, kind, n } of ends) say(`  ${n} ${kind}: ${what}`);

const of = (kind: string, right: RegExp) =>
  ends.filter((one) => one.kind === kind && right.test(one.what)).reduce((sum, one) => sum + one.n, 0);
const complete = of('there', /^complete, attempts 1,/);
const retry = of('away', /^retry, PP_NET_REFUSED, attempts 1$/);
const whole = ends.reduce((sum, one) => sum + one.n, 0);
const right = complete === THERE && retry === AWAY && whole === THERE + AWAY;
say(
  right
    ? 'every CCR is where it must be: none lost, none tried twice'
    : `NOT right: ${complete} of ${THERE} complete, ${retry} of ${AWAY} in retry, ${whole} CCRs in all`,
);
process.exitCode = right ? 0 : 1;
