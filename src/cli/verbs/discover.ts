import type { Command } from 'commander';
import { systemClock } from '#base/clock';
import type { Api } from '../api.ts';
import { usage } from '../failure.ts';
import { linesFrom } from '../names.ts';
import { EXIT, fields, note, print, printDone, printJson, Progress, table } from '../output.ts';
import { DRY_RUN, numberOption, type Context, type Verbs } from '../verb.ts';

interface SettingsJson {
  targets: string[];
  exclude: string[];
  ports: number[];
  smbPort: number;
  perSecond: number;
  atOnce: number;
  timeoutMs: number;
  dns: boolean;
  trusted: boolean;
}

interface RunJson {
  id: number;
  method: string;
  kind: string;
  scheduled: boolean;
  state: string;
  settings: SettingsJson;
  total: number;
  done: number;
  report: {
    asked: number;
    skipped: number;
    answered: number;
    ports: Record<string, Record<string, number>>;
    named: Record<string, number>;
    unnamed: number;
    machines: { added: number; changed: number; unchanged: number; rejected: number; trusted: number };
    connections: number;
    busiestSecond: number;
    waited: number;
    notes: { address: string; name?: string; what: string }[];
    moreNotes: number;
  };
  error?: string;
  wantedBy: string;
  wantedAt: string;
  startedAt?: string;
  finishedAt?: string;
  cancelledBy?: string;
  took?: number;
}

interface MethodJson {
  method: string;
  settings: SettingsJson;
  addresses: number;
  fullMinutes: number;
  deltaMinutes: number;
  fullDueAt?: string;
  deltaDueAt?: string;
  last?: RunJson;
}

interface NetworkOptions {
  exclude?: string;
  file?: string;
  ports?: string;
  smbPort?: number;
  rate?: number;
  atOnce?: number;
  timeout?: number;
  dns?: boolean;
  trusted?: boolean;
  wait?: boolean;
  dryRun?: boolean;
}

const LOOK_EVERY_MS = 500;
const OVER = new Set(['done', 'cancelled', 'failed']);
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
        const run = await api.get<RunJson>(`/discovery/runs/${id === undefined ? await newest(api) : numberOf(id)}`);
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
          const run = await api.send<RunJson>('POST', `/discovery/runs/${number}/cancel`, {}, { dryRun });
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
  const { items } = await api.get<{ items: RunJson[] }>('/discovery/runs', { limit: 1 });
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

function withNetworkOptions(command: Command, isRun: boolean): Command {
  return command
    .option('--exclude <list>', 'networks, ranges and addresses that are left out, with commas')
    .option('-f, --file <file>', 'targets, one a line; - reads standard input')
    .option('--ports <list>', 'which of 445,22,135 are asked, in this order (default: all)')
    .addOption(numberOption('--smb-port <n>', 'where SMB is, if not on 445; lab hosts have one of their own', 1, 65_535))
    .addOption(numberOption('--rate <n>', 'connections begun in a second, at most (default 1000)', 1, 20_000))
    .addOption(numberOption('--at-once <n>', 'connections open at once, at most (default 2000)', 1, 16_384))
    .addOption(numberOption('--timeout <ms>', 'how long an address may be silent (default 900)', 50, 30_000))
    .option('--dns', 'ask DNS for names (default)')
    .option('--no-dns', 'ask DNS for no names')
    .option('--trusted', 'machines whose name DNS confirms count as trusted; read docs/discovery.md first')
    .option(...DRY_RUN)
    .option(
      isRun ? '--wait' : '--no-trusted',
      isRun ? 'wait until it is over; exit code 1 unless it is done' : 'take --trusted back',
    );
}

async function patchOf(options: NetworkOptions, given: readonly string[]): Promise<Partial<SettingsJson>> {
  const targets = [...given.flatMap((one) => one.split(',')), ...(await linesFrom(options.file))].filter((one) => one !== '');
  const ports = options.ports?.split(',').map((one) => Number(one.trim()));
  if (ports?.some((port) => ![445, 22, 135].includes(port))) throw usage('--ports takes 445, 22 and 135');
  const patch: { [Key in keyof SettingsJson]?: SettingsJson[Key] | undefined } = {
    targets: targets.length > 0 ? targets : undefined,
    exclude: options.exclude
      ?.split(',')
      .map((one) => one.trim())
      .filter(Boolean),
    ports,
    smbPort: options.smbPort,
    perSecond: options.rate,
    atOnce: options.atOnce,
    timeoutMs: options.timeout,
    dns: options.dns,
    trusted: options.trusted,
  };
  return Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined));
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
  body: { method: string; kind?: string } & Partial<SettingsJson>,
  { wait, dryRun }: { wait?: boolean; dryRun?: boolean },
): Promise<number> {
  let run = await api.send<RunJson>('POST', '/discovery/runs', body, { dryRun });
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

function atMost({ settings, total }: RunJson): string {
  const seconds = Math.ceil((total * settings.ports.length) / settings.perSecond);
  return `at most ${settings.perSecond} connections a second, about ${duration(seconds * 1000)} if nobody answers`;
}

async function followed(api: Api, first: RunJson): Promise<RunJson> {
  const progress = new Progress('discovering');
  let run = first;
  try {
    while (!OVER.has(run.state)) {
      progress.update(run.done, run.total, `${run.report.answered} answered, ${found(run)} machines`);
      await systemClock.sleep(LOOK_EVERY_MS);
      run = await api.get<RunJson>(`/discovery/runs/${run.id}`);
    }
    return run;
  } finally {
    progress.end();
  }
}

/** 30, 30m, 12h, 7d in minutes; off is 0. */
function minutesOf(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (text === 'off') return 0;
  const [, number, unit] = /^(\d{1,6})([mhd]?)$/.exec(text) ?? [];
  const minutes = Number(number) * { m: 1, h: 60, d: 1440, '': 1 }[(unit ?? '') as 'm' | 'h' | 'd' | ''];
  if (number === undefined || minutes < 1 || minutes > 525_600)
    throw usage(`${flag}: ${text.slice(0, 40)} is not a time from 1m to 365d, like 30m, 12h or 7d; or off`);
  return minutes;
}

function every(minutes: number): string {
  if (minutes === 0) return 'never';
  if (minutes % 1440 === 0) return `every ${minutes / 1440}d`;
  return minutes % 60 === 0 ? `every ${minutes / 60}h` : `every ${minutes}m`;
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
          const { items: runs } = await api.get<{ items: RunJson[] }>('/discovery/runs', { limit });
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

function found({ report }: RunJson): number {
  return Object.values(report.named).reduce((sum, n) => sum + n, 0);
}

function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  return seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

function counts(values: Record<string, number>): string {
  return Object.entries(values)
    .map(([what, n]) => `${n} ${what}`)
    .join(', ');
}

function showRun(run: RunJson): void {
  const { report, settings } = run;
  const { added, changed, unchanged, rejected, trusted } = report.machines;
  fields([
    ['run', `${run.id}: ${run.kind} ${run.method} discovery, ${run.state}${run.scheduled ? ', by its schedule' : ''}`],
    ['error', run.error],
    ['cancelled by', run.cancelledBy],
    ['wanted', `${run.wantedAt} by ${run.wantedBy}`],
    ['began', run.startedAt],
    ['took', run.took === undefined ? undefined : duration(run.took)],
    ['targets', settings.targets.slice(0, 8).join(', ') + (settings.targets.length > 8 ? ', …' : '')],
    ['left out', settings.exclude.slice(0, 8).join(', ')],
    [
      'addresses',
      `${run.done} of ${run.total}; ${report.answered} answered${report.skipped ? `, ${report.skipped} known and not asked` : ''}`,
    ],
    ...Object.entries(report.ports).map(([port, states]): [string, string] => [
      `port ${port === '445' ? settings.smbPort : port}`,
      counts(states),
    ]),
    ['names', report.answered > 0 ? `${counts(report.named) || 'none'}; ${report.unnamed} answered without a name` : undefined],
    ['machines', `${added} added, ${changed} changed, ${unchanged} unchanged, ${rejected} rejected; ${trusted} trusted`],
    [
      'connections',
      `${report.connections}; ${report.busiestSecond} in the busiest second, at most ${settings.perSecond} allowed`,
    ],
    [
      'waited',
      report.waited > 0 ? `${report.waited} times for room for a connection: raise ulimit -n, or lower --at-once` : undefined,
    ],
  ]);
  if (report.notes.length === 0) return;
  print('');
  table(
    ['ADDRESS', 'NAME', 'NOTE'],
    report.notes.map((n) => [n.address, n.name, n.what]),
  );
  if (report.moreNotes > 0) note(`${report.moreNotes} more notes are not kept`);
}
