/**
 * The site server of bench/push.ts, in a process of its own: database, records, CCM and management point as the executive wires them, and a
 * network that counts. It pushes to some machines to get warm, rests, pushes to the rest, and answers with what that cost.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { loadavg } from 'node:os';
import path from 'node:path';
import { systemClock as clock } from '#base/clock';
import { quantile } from './figures.ts';
import { openSite, request, wishesFor, type Left, type OpenSite, type SiteWish } from './push-open.ts';

/** SiteOrder is what the parent asks for. */
export interface SiteOrder extends SiteWish {
  /** warm machines come first and are not counted. */
  warm: number;
  /** profile is a folder for a CPU profile of the counted pushes. */
  profile?: string | undefined;
}

/** SiteCost is the answer; times in milliseconds, sizes in octets. */
export interface SiteCost {
  pushes: number;
  states: Record<string, number>;
  errors: Record<string, number>;
  cpu: { user: number; system: number; idle: number; perPush: number };
  startedAfter: number;
  completeAfter: number | undefined;
  push: { median: number; p95: number };
  connections: number;
  turnArounds: { median: number; most: number };
  bytesOut: number;
  bytesIn: number;
  atOnce: number;
  rss: { rested: number; peak: number };
  protection: string[];
  load: number;
}

const REST_MS = 3000;
const LOOK_MS = 250;
const PATIENCE_MS = 300_000;
const NO_NUMBER = { median: 0, most: 0 };

/** settled waits until no CCR is on its way any more; looking costs the process a little, before and during a run alike. */
async function settled({ all }: OpenSite, order: SiteOrder, count: number): Promise<void> {
  const until = clock.monotonic() + PATIENCE_MS;
  for (;;) {
    const n = await all.ccr.countByState();
    const done = n.complete + n.skipped + n.failed + n.retry + n.waiting + (order.program === 'inert' ? n.verifying : 0);
    if (done >= count) return;
    if (clock.monotonic() > until) throw new Error(`the pushes do not end: ${JSON.stringify(n)}`);
    await clock.sleep(LOOK_MS);
  }
}

interface Timed {
  state: string;
  error: string | null;
  logon: Date | null;
  started: Date | null;
  finished: Date | null;
}

const TIMES = `select c.state, c.last_error as error, c.finished_at as finished,
  (select min(s.started_at) from ccr_step s where s.ccr_id = c.id and s.name = 'logon') as logon,
  (select max(s.started_at + s.duration_ms * interval '1 millisecond') from ccr_step s
    where s.ccr_id = c.id and s.name = 'start' and s.outcome = 'ok') as started
  from ccr c where c.name = any($1)`;

function tally(values: string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}

async function idleRate({ all }: OpenSite): Promise<number> {
  const before = process.cpuUsage();
  const from = clock.monotonic();
  while (clock.monotonic() - from < REST_MS) {
    await all.ccr.countByState();
    await clock.sleep(LOOK_MS);
  }
  const spent = process.cpuUsage(before);
  return (spent.user + spent.system) / 1000 / (clock.monotonic() - from);
}

/** profiling takes a CPU profile of the counted pushes alone, where one is wanted; the returned function ends it. */
async function profiling({ profile }: SiteOrder): Promise<() => Promise<void>> {
  if (profile === undefined) return () => Promise.resolve();
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 250 });
  await session.post('Profiler.start');
  return async () => {
    const { profile: found } = await session.post('Profiler.stop');
    session.disconnect();
    mkdirSync(profile, { recursive: true });
    writeFileSync(path.join(profile, `push-${process.pid}.cpuprofile`), JSON.stringify(found));
  };
}

async function measure(o: OpenSite, order: SiteOrder): Promise<SiteCost> {
  const names = order.lab.hosts.map((host) => host.name);
  const counted = names.slice(order.warm);
  const wishes = await wishesFor(o, counted);
  await request(o, await wishesFor(o, names.slice(0, order.warm)));
  await settled(o, order, order.warm);
  const idle = await idleRate(o);
  const rested = process.memoryUsage.rss();
  o.counter.reset();
  const profiled = await profiling(order);
  const cpu = process.cpuUsage();
  const from = clock.monotonic();
  await request(o, wishes);
  await settled(o, order, names.length);
  const spent = process.cpuUsage(cpu);
  const wall = clock.monotonic() - from;
  await profiled();
  await o.all.ccr.claims.flush();
  const rows = await o.database.query<Timed & Record<string, unknown>>(TIMES, [counted]);
  const { left, first } = o.counter;
  const pushes = rows.filter((row) => row.started !== null);
  const last = (pick: (row: Timed) => Date | null) => Math.max(...rows.map((row) => pick(row)?.getTime() ?? 0)) - first;
  const took = pushes.map((row) => row.started!.getTime() - row.logon!.getTime());
  const of = (pick: (one: Left) => number) => left.map(pick);
  return {
    pushes: pushes.length,
    states: tally(rows.map((row) => row.state)),
    errors: tally(rows.flatMap((row) => row.error ?? [])),
    cpu: {
      user: spent.user / 1000,
      system: spent.system / 1000,
      idle: idle * wall,
      perPush: ((spent.user + spent.system) / 1000 - idle * wall) / counted.length,
    },
    startedAfter: last((row) => row.started),
    completeAfter: rows.every((row) => row.state === 'complete') ? last((row) => row.finished) : undefined,
    push: { median: quantile(took, 0.5), p95: quantile(took, 0.95) },
    connections: o.counter.connections / counted.length,
    turnArounds:
      left.length === 0
        ? NO_NUMBER
        : {
            median: quantile(
              of((s) => s.turnArounds),
              0.5,
            ),
            most: Math.max(...of((s) => s.turnArounds)),
          },
    bytesOut: quantile(
      of((s) => s.bytesOut),
      0.5,
    ),
    bytesIn: quantile(
      of((s) => s.bytesIn),
      0.5,
    ),
    atOnce: o.counter.most,
    rss: { rested, peak: process.resourceUsage().maxRSS * 1024 },
    protection: [...o.counter.protection],
    load: loadavg()[0]!,
  };
}

async function run(order: SiteOrder): Promise<void> {
  // A benchmark that is killed leaves neither this process nor its database behind.
  const alone = new Promise<never>((_, reject) => process.once('disconnect', () => reject(new Error('the benchmark is gone'))));
  alone.catch(() => {});
  const o = await openSite(order);
  try {
    process.send!(await Promise.race([measure(o, order), alone]));
  } finally {
    // What is being verified stays so: this database is thrown away.
    await o.ccm.stop();
    o.point.server.closeAllConnections();
    await o.point.close();
    await o.database.close();
  }
}

if (process.send) {
  process.once('message', (order: SiteOrder) => {
    run(order).then(
      () => process.disconnect(),
      (error: unknown) => {
        process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
        process.exit(1);
      },
    );
  });
}
