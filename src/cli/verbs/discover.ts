import type { Command } from 'commander';
import type { Api } from '../api.ts';
import { atMost, duration, followed, found, showRun, type DiscoveryRun } from '../discovery-run.ts';
import {
  every,
  minutesOf,
  patchOf,
  withNetworkOptions,
  type DiscoverySettings,
  type NetworkOptions,
} from '../discovery-settings.ts';
import { usage } from '../failure.ts';
import { EXIT, note, print, printDone, printJson, table } from '../output.ts';
import { DRY_RUN, numberOption, type Context, type Verbs } from '../verb.ts';

interface MethodJson {
  method: string;
  settings: DiscoverySettings;
  addresses: number;
  fullMinutes: number;
  deltaMinutes: number;
  fullDueAt?: string;
  deltaDueAt?: string;
  last?: DiscoveryRun;
}

const TRUST_WARNING =
  'trusted: a machine in these networks whose name DNS confirms may get the client by site-wide push, and the push account logs on to it. Whoever can write to that DNS zone decides which.';

/** discoverVerbs: discover run, network, list, show, cancel, set. */
export function discoverVerbs(verbs: Verbs): void {
  const discover = verbs.group('discover', 'find machines: run discovery methods, by hand or by a schedule');
  runVerb(verbs, discover);
  networkVerb(verbs, discover);
  setVerb(verbs, discover);
  listVerb(verbs, discover);
  verbs.add(discover, {
    name: 'show [run]',
    does: 'one run by its number, or the newest: its progress, or what it found',
    examples: ['pushpoint discover show --data ./p01', 'pushpoint discover show 7 --json | jq .report.notes'],
    run: (context, _options, id) =>
      context.withApi(async (api) => {
        const run = await api.get<DiscoveryRun>(`/discovery/runs/${id === undefined ? await newest(api) : numberOf(id)}`);
        if (context.json) printJson(run);
        else showRun(run);
        return EXIT.ok;
      }),
  });
  verbs
    .add<{ dryRun?: boolean }>(discover, {
      name: 'cancel [run]',
      does: 'end a run by its number, or the newest; what it has found stays',
      examples: ['pushpoint discover cancel --data ./p01', 'pushpoint discover cancel 7 --data ./p01'],
      run: (context, { dryRun }, id) =>
        context.withApi(async (api) => {
          const number = id === undefined ? await newest(api) : numberOf(id);
          const run = await api.send<DiscoveryRun>('POST', `/discovery/runs/${number}/cancel`, {}, { dryRun });
          if (context.json) printJson(run);
          else printDone(`Run ${run.id} ${run.state === 'cancelled' ? 'is cancelled' : 'ends now'}.`, dryRun);
          return EXIT.ok;
        }),
    })
    .option(...DRY_RUN);
}

function numberOf(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw usage(`${text.slice(0, 40)} is not the number of a run; discover list shows them`);
  return Number(text);
}

async function newest(api: Api): Promise<number> {
  const { items } = await api.get<{ items: DiscoveryRun[] }>('/discovery/runs', { limit: 1 });
  if (!items[0]) throw usage('there has been no run yet: pushpoint discover network CIDR');
  return items[0].id;
}

function runVerb(verbs: Verbs, discover: Command): void {
  verbs
    .add<{ full?: boolean; delta?: boolean; wait?: boolean; dryRun?: boolean }>(discover, {
      name: 'run <method>',
      does: 'run a method now, as discover set has it: --full asks everything, --delta only where nothing was found since the last full run',
      examples: ['pushpoint discover run network --data ./p01', 'pushpoint discover run network --delta --wait --data ./p01'],
      run: (context, { full, delta, ...o }, method) => {
        if (full && delta) throw usage('discover run takes --full or --delta, not both');
        return context.withApi((api) => ask(api, context, { method, kind: delta ? 'delta' : 'full' }, o));
      },
    })
    .option('--full', 'ask everything (default)')
    .option('--delta', 'only what no run has found since the last full one')
    .option('--wait', 'wait until it is over; exit code 1 unless it is done')
    .option(...DRY_RUN);
}

function networkVerb(verbs: Verbs, discover: Command): void {
  const command = verbs.add<NetworkOptions>(discover, {
    name: 'network [targets...]',
    does: 'ask networks once, now: ADDRESS/LENGTH, FIRST-LAST, ADDRESS, of IPv4 or IPv6. No credential is used; what machines say is not trusted',
    examples: [
      'pushpoint discover network 10.1.0.0/16 --exclude 10.1.9.0/24 --wait --data ./p01',
      'pushpoint discover network 10.2.0.10-10.2.0.99 2001:db8:1::/120 --rate 200 --data ./p01',
      'pushpoint discover network -f networks.txt --dry-run --data ./p01',
      'pushpoint discover network 127.20.1.1-127.20.1.5 --smb-port 4450 --ports 445 --wait --data ./p01   (lab hosts)',
    ],
    async run(context, options, ...given) {
      const patch = await patchOf(options, given);
      if (!patch.targets) throw usage('discover network needs at least one target, or -f FILE');
      if (!patch.exclude) patch.exclude = [];
      patch.trusted ??= false;
      return context.withApi((api) => ask(api, context, { method: 'network', ...patch }, options));
    },
  });
  withNetworkOptions(command, true);
}

async function ask(
  api: Api,
  context: Context,
  body: { method: string; kind?: string } & Partial<DiscoverySettings>,
  { wait, dryRun }: { wait?: boolean; dryRun?: boolean },
): Promise<number> {
  let run = await api.send<DiscoveryRun>('POST', '/discovery/runs', body, { dryRun });
  if (run.settings.trusted) note(TRUST_WARNING);
  if (wait && !dryRun) {
    if (!api.isServed) throw usage('nobody would do the run: start the site with pushpoint up, then ask again');
    run = await followed(api, run);
    if (context.json) printJson(run);
    else showRun(run);
    return run.state === 'done' ? EXIT.ok : EXIT.failed;
  }
  if (context.json) printJson(run);
  else {
    printDone(`Run ${run.id}: ${run.kind} ${run.method} discovery of ${run.total} addresses, ${atMost(run)}.`, dryRun);
    if (!dryRun && api.isServed) note(`see how far it is: pushpoint discover show ${run.id}`);
    if (!dryRun && !api.isServed) note('it begins when the site runs: pushpoint up');
  }
  return EXIT.ok;
}

function setVerb(verbs: Verbs, discover: Command): void {
  const command = verbs.add<NetworkOptions & { fullEvery?: string; deltaEvery?: string }>(discover, {
    name: 'set <method> [targets...]',
    does: 'what a method works with when it runs by itself or by discover run, and how often; what is not named stays',
    examples: [
      'pushpoint discover set network 10.1.0.0/16 10.2.0.0/16 --exclude 10.1.9.0/24 --full-every 7d --delta-every 4h --data ./p01',
      'pushpoint discover set network --rate 300 --data ./p01',
      'pushpoint discover set network --full-every off --delta-every off --data ./p01',
    ],
    async run(context, options, method, ...given) {
      const body = {
        ...(await patchOf(options, given)),
        fullMinutes: minutesOf('--full-every', options.fullEvery),
        deltaMinutes: minutesOf('--delta-every', options.deltaEvery),
      };
      return context.withApi(async (api) => {
        const { dryRun } = options;
        const set = await api.send<MethodJson>('PATCH', `/discovery/methods/${encodeURIComponent(method)}`, body, { dryRun });
        if (set.settings.trusted) note(TRUST_WARNING);
        if (context.json) printJson(set);
        else {
          const times = `full ${every(set.fullMinutes)}, delta ${every(set.deltaMinutes)}`;
          printDone(`${set.method} discovery: ${set.addresses} addresses, ${times}.`, dryRun);
        }
        return EXIT.ok;
      });
    },
  });
  withNetworkOptions(command, false)
    .option('--full-every <time>', 'a full run so often, like 7d, 12h or 30m; off for none')
    .option('--delta-every <time>', 'a delta run so often; off for none');
}

function listVerb(verbs: Verbs, discover: Command): void {
  verbs
    .add<{ limit?: number }>(discover, {
      name: 'list',
      does: 'the methods with their schedules, and their last runs',
      examples: ['pushpoint discover list --data ./p01', 'pushpoint discover list --limit 50 --json | jq .runs'],
      run: (context, { limit = 10 }) =>
        context.withApi(async (api) => {
          const { items } = await api.get<{ items: MethodJson[] }>('/discovery/methods');
          const { items: runs } = await api.get<{ items: DiscoveryRun[] }>('/discovery/runs', { limit });
          if (context.json) printJson({ items, runs, next: null });
          else {
            table(
              ['METHOD', 'ADDRESSES', 'FULL', 'DELTA', 'RATE', 'TRUSTED', 'NEXT'],
              items.map((m) => [
                m.method,
                m.addresses,
                every(m.fullMinutes),
                every(m.deltaMinutes),
                `${m.settings.perSecond}/s`,
                m.settings.trusted ? 'by DNS' : 'no',
                nextOf(m),
              ]),
            );
            print('');
            table(
              ['RUN', 'METHOD', 'KIND', 'STATE', 'DONE', 'ANSWERED', 'MACHINES', 'BEGAN', 'TOOK', 'WANTED BY'],
              runs.map((r) => [
                r.id,
                r.method,
                r.kind,
                r.state,
                `${r.done}/${r.total}`,
                r.report.answered,
                found(r),
                r.startedAt,
                r.took === undefined ? '' : duration(r.took),
                r.wantedBy,
              ]),
              'no runs yet: pushpoint discover network CIDR',
            );
          }
          return EXIT.ok;
        }),
    })
    .addOption(numberOption('--limit <n>', 'so many runs (default 10)', 1, 200));
}

function nextOf({ fullDueAt, deltaDueAt }: MethodJson): string | undefined {
  if (fullDueAt === undefined || deltaDueAt === undefined) return fullDueAt ?? deltaDueAt;
  return fullDueAt < deltaDueAt ? fullDueAt : deltaDueAt;
}
