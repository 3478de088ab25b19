import { readdirSync, readFileSync } from 'node:fs';
import { BlockList, isIPv6 } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { FastifyInstance } from 'fastify';
import { Exposition, type Labels, Meter, type Sums } from '#base/meter';
import type { ConsoleParts } from '../server.ts';

/** What is counted in the database is counted once in so long, however often somebody asks. */
const BELIEVED_MS = 10_000;
/** How often the event loop is looked at. */
const LAG_MS = 100;

interface Seen {
  counts: Record<string, number>;
  busy: number;
  dueSince: Date | undefined;
  workers: number;
  accounts: Record<string, number>;
  clients: Record<string, number>;
  sums: Sums;
  settings: { concurrency: number; perSite: number; held: boolean };
  site: string;
}

async function look({ ccr, account, site, client }: ConsoleParts): Promise<Seen> {
  const here = await site.here();
  const accounts: Record<string, number> = { unproven: 0, usable: 0, stopped: 0 };
  for (const { state } of await account.list()) accounts[state] = (accounts[state] ?? 0) + 1;
  const clients = await client.trust.counts();
  const [counts, sums, queue] = [await ccr.countByState(), await ccr.claims.metered(), await ccr.claims.queue()];
  return { counts, sums, accounts, clients: { ...clients }, ...queue, settings: here.settings.ccr, site: here.code };
}

/** metricsRoute: /metrics in the text format of Prometheus. It names no machine, no account and no person. */
export function metricsRoute(app: FastifyInstance, parts: ConsoleParts): void {
  const lag = monitorEventLoopDelay({ resolution: LAG_MS });
  lag.enable();
  app.addHook('onClose', async () => void lag.disable());
  let seen: { at: number; value: Promise<Seen> } | undefined;
  const recent = (): Promise<Seen> => {
    const now = parts.clock.monotonic();
    if (!seen || now - seen.at >= BELIEVED_MS) {
      const value = look(parts);
      seen = { at: now, value };
      value.catch(() => (seen = undefined));
    }
    return seen.value;
  };
  app.get('/metrics', { schema: { summary: 'Metrics in the text format of Prometheus' } }, async (_request, reply) => {
    const page = new Exposition();
    const now = await recent();
    siteMetrics(page, now, parts);
    processMetrics(page, parts);
    // Delays are measured by a timer of 100 ms; what is over that is lag.
    const over = (ns: number) => Math.max(0, ns / 1e9 - LAG_MS / 1000);
    page.gauge('pushpoint_event_loop_lag_seconds', 'How late the event loop was since the last scrape.', [
      [{ stat: 'mean' }, lag.count > 0 ? over(lag.mean) : 0],
      [{ stat: 'p99' }, lag.count > 0 ? over(lag.percentile(99)) : 0],
      [{ stat: 'max' }, lag.count > 0 ? over(lag.max) : 0],
    ]);
    lag.reset();
    return reply.type('text/plain; version=0.0.4; charset=utf-8').send(page.text());
  });
}

const of = (label: string, values: Record<string, number>): [Labels, number][] =>
  Object.entries(values).map(([key, n]) => [{ [label]: key }, n]);

function siteMetrics(page: Exposition, now: Seen, { clock, version }: ConsoleParts): void {
  page.gauge('pushpoint_build_info', 'Version of Pushpoint and Node.', [[{ version, node: process.version, site: now.site }, 1]]);
  page.gauge('pushpoint_ccrs', 'CCRs in each state.', of('state', now.counts));
  const age = now.dueSince ? Math.max(0, (clock.now().getTime() - now.dueSince.getTime()) / 1000) : 0;
  page.gauge('pushpoint_queue_age_seconds', 'How long the CCR that is due the longest has been due.', [[{}, age]]);
  page.gauge('pushpoint_slots_used', 'CCRs that are being worked, over all processes of the site.', [[{}, now.busy]]);
  page.gauge('pushpoint_slots_limit', 'How many may be worked, by one process and by the site.', [
    [{ of: 'process' }, now.settings.concurrency],
    [{ of: 'site' }, now.settings.perSite],
  ]);
  page.gauge('pushpoint_workers', 'Processes that work CCRs.', [[{}, now.workers]]);
  page.gauge('pushpoint_held', '1 while all new attempts of the site are held (ccr pause --all).', [
    [{}, now.settings.held ? 1 : 0],
  ]);
  page.gauge('pushpoint_accounts', 'Push accounts in each state.', of('state', now.accounts));
  page.gauge('pushpoint_clients', 'Clients by what was decided about them, and undecided conflicts.', of('state', now.clients));
  page.counter('pushpoint_attempts_total', 'Attempts and verifications that ended, by outcome and error code.', now.sums);
  page.histogram('pushpoint_step_seconds', 'How long the steps of attempts took.', now.sums);
  page.counter('pushpoint_probes_total', 'Machines that were asked whether they are back.', now.sums);
  page.counter('pushpoint_woken_total', 'CCRs made due because their machine showed up.', now.sums);
}

function processMetrics(page: Exposition, { database, meter = new Meter() }: ConsoleParts): void {
  page.counter('pushpoint_http_requests_total', 'Requests answered by this process.', meter.sums());
  page.gauge(
    'pushpoint_database_connections',
    'Connections of this process to the database.',
    of('state', database.connections()),
  );
  const { user, system } = process.cpuUsage();
  page.counter('process_cpu_seconds_total', 'CPU time of this process.', { process_cpu_seconds_total: (user + system) / 1e6 });
  page.gauge('process_resident_memory_bytes', 'Memory of this process.', [[{}, process.memoryUsage.rss()]]);
  page.gauge('process_open_fds', 'Open files and sockets of this process.', [[{}, openFds()]]);
  page.gauge('process_max_fds', 'How many of them it may open.', [[{}, maxFds()]]);
  page.gauge('process_uptime_seconds', 'How long this process has run.', [[{}, process.uptime()]]);
}

function openFds(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return undefined;
  }
}

function maxFds(): number | undefined {
  try {
    return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]);
  } catch {
    return undefined;
  }
}

/** openTo tells whether an address is one of those that may read without a token. */
export function openTo(allowed: readonly string[], address: string): boolean {
  const list = new BlockList();
  for (const one of allowed) {
    const [net, bits] = one.split('/', 2) as [string, string?];
    const family = isIPv6(net) ? 'ipv6' : 'ipv4';
    try {
      if (bits === undefined) list.addAddress(net, family);
      else list.addSubnet(net, Number(bits), family);
    } catch {
      // What is no address lets nobody in.
    }
  }
  return list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}
