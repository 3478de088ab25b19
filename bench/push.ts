/**
 * Measures the push: `npm run bench:push`. Lab hosts stand in one process, the site server with its database in another; both are new for each
 * round. It prints what a push costs the site server's process, how fast pushes go, connections, turn-arounds, octets and memory; then lets
 * Samba's and impacket's clients do the same work on such hosts; and ends with the bar and whether it was reached.
 */
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ask, child, withLab } from './children.ts';
import { median, table } from './figures.ts';
import { peers, type PeerCost } from './push-peers.ts';
import type { SiteCost, SiteOrder } from './push-site.ts';

const { values: options } = parseArgs({
  options: {
    hosts: { type: 'string', default: '250' },
    rounds: { type: 'string', default: '3' },
    warm: { type: 'string', default: '50' },
    concurrency: { type: 'string', default: '50' },
    kib: { type: 'string', default: '250' },
    memory: { type: 'string', default: '50,250,1000' },
    peers: { type: 'string', default: '50' },
    only: { type: 'string', default: 'push,client,signed,memory,peers' },
    database: { type: 'string' },
    profile: { type: 'string' },
  },
});
const ONLY = new Set(options.only.split(','));
const HOSTS = Number(options.hosts);
const PAYLOAD = Number(options.kib) * 1024;
/** Each request takes this much longer on the machines of the memory rounds, so that all pushes are under way at once. */
const slowFor = (concurrency: number) => Math.min(1500, 6 * concurrency);
const MIB = 1_048_576;

const say = (line: string) => process.stdout.write(`${line}\n`);

type Kind = Pick<SiteOrder, 'program' | 'protection' | 'concurrency'> & { hosts: number; warm: number; slowMs: number };

/** round is one run with new hosts, a new site and a new database. */
function round(kind: Kind): Promise<SiteCost> {
  const { hosts, warm, slowMs, program, protection, concurrency } = kind;
  return withLab({ hosts: hosts + warm, slowMs }, async (lab, folder) => {
    const data = path.join(folder, 'site');
    await mkdir(data, { mode: 0o711 });
    const site = child('push-site.ts');
    const order: SiteOrder = {
      folder: data,
      lab,
      warm,
      payloadBytes: PAYLOAD,
      program,
      protection,
      concurrency,
      manyAccounts: slowMs > 0,
      database: options.database,
      profile: options.profile,
    };
    try {
      return await ask<SiteCost>(site, order);
    } finally {
      if (site.exitCode === null && site.signalCode === null) await once(site, 'exit');
    }
  });
}

const fixed = (value: number | undefined, digits = 1) => (value === undefined ? '-' : value.toFixed(digits));
const perSecond = (cost: SiteCost, ms: number | undefined) => (ms === undefined ? undefined : (cost.pushes / ms) * 1000);

const HEAD = [
  'round',
  'pushes',
  'CPU ms/push',
  'user+sys s',
  'idle s',
  'started/s',
  'complete/s',
  'push ms median',
  'p95',
  'TCP/push',
  'turn-arounds',
  'KB out',
  'KB in',
  'at once',
  'RSS MiB',
  'load',
];

function row(name: string, c: SiteCost): (string | number)[] {
  return [
    name,
    c.pushes,
    fixed(c.cpu.perPush),
    fixed((c.cpu.user + c.cpu.system) / 1000, 2),
    fixed(c.cpu.idle / 1000, 2),
    fixed(perSecond(c, c.startedAfter)),
    fixed(perSecond(c, c.completeAfter)),
    fixed(c.push.median, 0),
    fixed(c.push.p95, 0),
    fixed(c.connections, 2),
    `${c.turnArounds.median} (most ${c.turnArounds.most})`,
    fixed(c.bytesOut / 1000, 0),
    fixed(c.bytesIn / 1000, 0),
    c.atOnce,
    fixed(c.rss.peak / MIB, 0),
    fixed(c.load),
  ];
}

async function rounds(title: string, count: number, kind: Kind): Promise<SiteCost[]> {
  const costs: SiteCost[] = [];
  const rows: (string | number)[][] = [HEAD];
  for (let n = 1; n <= count; n++) {
    const cost = await round(kind);
    costs.push(cost);
    rows.push(row(String(n), cost));
    if (cost.pushes < kind.hosts)
      say(`  round ${n}: only ${cost.pushes} of ${kind.hosts}: ${JSON.stringify({ ...cost.states, ...cost.errors })}`);
  }
  say(`\n${title}\n  ${costs[0]!.protection.join('; ')}\n${table(rows)}`);
  return costs;
}

interface Must {
  what: string;
  bar: string;
  seen: number;
  passed: boolean;
}

const musts: Must[] = [];
function must(what: string, seen: number, bar: number, least = false): void {
  musts.push({ what, bar: `${least ? '≥' : '≤'} ${bar}`, seen, passed: least ? seen >= bar : seen <= bar });
}

const usual = { hosts: HOSTS, warm: Number(options.warm), slowMs: 0, concurrency: Number(options.concurrency) };

async function push(): Promise<number> {
  const costs = await rounds(
    `push, login to service started: ${HOSTS} hosts, ${options.concurrency} at once`,
    Number(options.rounds),
    {
      ...usual,
      program: 'inert',
      protection: 'encrypted',
    },
  );
  const perPush = median(costs.map((c) => c.cpu.perPush));
  must('CPU of the site server, ms per push (median of the rounds)', perPush, 10);
  must('pushes per second, login to service started (median)', median(costs.map((c) => perSecond(c, c.startedAfter)!)), 10, true);
  must('TCP connections per push', Math.max(...costs.map((c) => c.connections)), 1);
  must('turn-arounds per push (most)', Math.max(...costs.map((c) => c.turnArounds.most)), 20);
  must('machines not started', Math.max(...costs.map((c) => HOSTS - c.pushes)), 0);
  return perPush;
}

async function memory(): Promise<void> {
  for (const concurrency of options.memory.split(',').map(Number)) {
    const kind = { ...usual, hosts: concurrency, concurrency, slowMs: slowFor(concurrency), warm: 0 } as const;
    const costs = await rounds(`memory: ${concurrency} pushes at once to slow machines`, 1, {
      ...kind,
      program: 'inert',
      protection: 'encrypted',
    });
    const bar = concurrency <= 50 ? 150 : 400;
    must(
      `peak RSS with ${Math.max(...costs.map((c) => c.atOnce))} pushes at once, MiB`,
      Math.max(...costs.map((c) => c.rss.peak)) / MIB,
      bar,
    );
    must(`machines of these ${concurrency} not started`, Math.max(...costs.map((c) => concurrency - c.pushes)), 0);
  }
}

async function besides(perPush: number | undefined): Promise<void> {
  const hosts = Number(options.peers);
  const costs: PeerCost[] = await withLab({ hosts: 2 * hosts, slowMs: 0 }, (lab, folder) => peers(lab, folder, PAYLOAD));
  if (costs.length === 0) return;
  say(
    `\nthe same work by others: ${options.kib} KiB into ADMIN$, a registry value, a service created, started, queried and deleted; ${hosts} hosts each`,
  );
  say(
    table([
      ['contender', 'hosts', 'right', 'CPU ms/host', 'hosts/s', 'load'],
      ...costs.map((c) => [
        c.name,
        c.hosts,
        c.right,
        fixed(c.cpuMs / c.hosts),
        fixed((c.hosts / c.wallMs) * 1000),
        fixed(c.load),
      ]),
    ]),
  );
  if (perPush === undefined) return;
  for (const c of costs) must(`times less CPU per host than ${c.name}`, c.cpuMs / c.hosts / perPush, 5, true);
}

const processors = cpus();
say(
  `${processors.length} × ${processors[0]?.model}, Node ${process.version}, load ${loadavg()
    .map((l) => l.toFixed(1))
    .join(' ')}, ${new Date().toISOString()}`,
);
let perPush: number | undefined;
if (ONLY.has('push')) perPush = await push();
if (ONLY.has('client')) {
  await rounds('push with the client: it downloads the agent from this process, registers, and the CCR is complete', 1, {
    ...usual,
    program: 'client',
    protection: 'encrypted',
  });
}
if (ONLY.has('signed')) await rounds('push, signed and not encrypted', 1, { ...usual, program: 'inert', protection: 'signed' });
if (ONLY.has('memory')) await memory();
if (ONLY.has('peers')) await besides(perPush);
if (musts.length > 0)
  say(
    `\n${table([['must', 'bar', 'seen', ''], ...musts.map((m) => [m.what, m.bar, fixed(m.seen), m.passed ? 'pass' : 'FAIL'])])}`,
  );
process.exitCode = musts.every((m) => m.passed) ? 0 : 1;
