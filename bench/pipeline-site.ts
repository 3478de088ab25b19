/**
 * The site of bench/pipeline.ts, in a process of its own: it asks for all pushes at once, watches memory, open files and the database while they
 * are worked, and tells how each CCR ended.
 */
import { readdirSync } from 'node:fs';
import { systemClock as clock } from '#base/clock';
import type { LabFound } from './push-lab.ts';
import { openSite, request, wishesFor, type OpenSite, type Wishes } from './push-open.ts';

/** PipelineOrder is what the parent asks for. */
export interface PipelineOrder {
  folder: string;
  lab: LabFound;
  /** So many more machines are away: addresses that refuse at once. */
  away: number;
  payloadBytes: number;
  concurrency: number;
  database?: string | undefined;
  patienceMs: number;
}

/** Look is what was seen while it worked; sizes in octets. */
export interface Look {
  ms: number;
  rss: number;
  files: number;
  database: number;
  /** cpuMs is what the process has needed since the pushes were asked for. */
  cpuMs: number;
  counts: Record<string, number>;
}

/** PipelineFound is the answer. */
export interface PipelineFound {
  looks: Look[];
  /** First attempts a second, for each tenth of all of them in the order in which they ended. */
  rates: number[];
  /** How many CCRs there are by state, error and attempts, in words. */
  ends: { what: string; kind: string; n: number }[];
  queuedMs: number;
  cpuMs: number;
  attempts: number;
  peakRss: number;
}

const LOOK_MS = 5000;

/** Machines that are away stand between the others, so that each part of the queue holds as many of both. */
function mixed(there: Wishes, away: number): Wishes {
  const all: Wishes[number][] = [];
  const every = away / Math.max(1, there.length);
  const add = (n: number) => {
    const address = `127.${60 + (n >> 16)}.${(n >> 8) & 255}.${(n % 250) + 1}`;
    all.push({ name: `AWAY-${n}`, addresses: [address], smbPort: 9, source: 'push', requestedBy: 'bench' });
  };
  let n = 0;
  for (const [index, one] of there.entries()) {
    all.push(one);
    while (n < Math.floor((index + 1) * every)) add(n++);
  }
  while (n < away) add(n++);
  return all;
}

async function look({ database }: OpenSite, from: number, cpu: NodeJS.CpuUsage): Promise<Look> {
  const { user, system } = process.cpuUsage(cpu);
  const rows = await database.query<{ state: string; n: number }>('select state, count(*)::integer as n from ccr group by state');
  const [size] = await database.query<{ octets: number }>('select pg_database_size(current_database()) as octets');
  return {
    ms: clock.monotonic() - from,
    rss: process.memoryUsage.rss(),
    files: readdirSync('/proc/self/fd').length,
    database: size!.octets,
    cpuMs: (user + system) / 1000,
    counts: Object.fromEntries(rows.map((row) => [row.state, row.n])),
  };
}

const RATES = `select tenth, count(*) / greatest(0.001, extract(epoch from max(ended_at) - min(ended_at)))::float8 as rate from (
  select ended_at, ntile(10) over (order by ended_at) as tenth from (
    select a.ccr_id, min(coalesce(s.started_at + s.duration_ms * interval '1 millisecond', a.ended_at)) as ended_at from ccr_attempt a
      left join ccr_step s on s.ccr_id = a.ccr_id and s.attempt = a.n and s.name = 'start' and s.outcome = 'ok'
      where a.n = 1 group by a.ccr_id) first) tenths group by tenth order by tenth`;

const ENDS = `select concat_ws(', ', state, last_error, 'attempts ' || attempts, proof) as what,
  case when name like 'AWAY-%' then 'away' else 'there' end as kind, count(*)::integer as n from ccr group by 1, 2 order by 3 desc`;

async function work(site: OpenSite, order: PipelineOrder): Promise<PipelineFound> {
  const there = await wishesFor(
    site,
    order.lab.hosts.map((host) => host.name),
  );
  const wishes = mixed(there, order.away);
  const cpu = process.cpuUsage();
  const from = clock.monotonic();
  await request(site, wishes);
  const queuedMs = clock.monotonic() - from;
  const looks: Look[] = [];
  for (;;) {
    const now = await look(site, from, cpu);
    looks.push(now);
    const { retry = 0, queued = 0, processing = 0, verifying = 0 } = now.counts;
    if (queued + processing + verifying === 0 || (retry === wishes.length && there.length > 0)) break;
    if (now.ms > order.patienceMs) break;
    await clock.sleep(LOOK_MS);
  }
  const spent = process.cpuUsage(cpu);
  await site.all.ccr.claims.flush();
  const [tried] = await site.database.query<{ n: number }>('select count(*)::integer as n from ccr_attempt');
  return {
    looks,
    rates: (await site.database.query<{ rate: number }>(RATES)).map(({ rate }) => rate),
    ends: await site.database.query(ENDS),
    queuedMs,
    cpuMs: (spent.user + spent.system) / 1000,
    attempts: tried!.n,
    peakRss: process.resourceUsage().maxRSS * 1024,
  };
}

async function run(order: PipelineOrder): Promise<void> {
  const alone = new Promise<never>((_, reject) => process.once('disconnect', () => reject(new Error('the benchmark is gone'))));
  alone.catch(() => {});
  const { folder, lab, payloadBytes, concurrency, database } = order;
  const site = await openSite({
    folder,
    lab,
    payloadBytes,
    concurrency,
    database,
    program: 'brief',
    protection: 'encrypted',
    manyAccounts: false,
    verifyMinutes: [1],
  });
  try {
    process.send!(await Promise.race([work(site, order), alone]));
  } finally {
    await site.ccm.stop();
    site.point.server.closeAllConnections();
    await site.point.close();
    await site.database.close();
  }
}

if (process.send) {
  process.once('message', (order: PipelineOrder) => {
    run(order).then(
      () => process.disconnect(),
      (error: unknown) => {
        process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
        process.exit(1);
      },
    );
  });
}
