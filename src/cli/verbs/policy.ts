import type { Command } from 'commander';
import { usage } from '../failure.ts';
import { readText } from '../input.ts';
import { namesFrom } from '../names.ts';
import { EXIT, fields, noteMore, print, printDone, printJson, table } from '../output.ts';
import { DRY_RUN, numberOption, type Context, type Verbs } from '../verb.ts';
import { stopAfterOf } from './push.ts';

interface AssignmentJson {
  id: number;
  kind: string;
  target: string;
  follow: boolean;
  wish: { version?: string; site?: string; managementPoints?: string[]; notBefore?: string } | true;
  waveSize?: number;
  stopAfter?: { failures?: number; percent?: number };
  patienceHours: number;
  state: string;
  stopReason?: string;
  wave: number;
  madeBy: string;
  madeAt: string;
  endedAt?: string;
  counts: Record<string, number>;
}

interface TargetJson {
  guid?: string;
  name?: string;
  state: string;
  wave: number;
  at: string;
  detail?: string;
}

interface AskOptions {
  file?: string;
  collection?: string;
  site?: string;
  follow?: boolean;
  waveSize?: number;
  stopAfterFailures?: string;
  patience?: number;
  dryRun?: boolean;
  package?: string;
  notBefore?: string;
  to?: string;
  mp?: string[];
}

/** policyVerbs: policy list, show, pause, resume, cancel. */
export function policyVerbs(verbs: Verbs): void {
  const policy = verbs.group('policy', 'what is asked of clients by policy, and how far it is');
  verbs
    .add<{ limit?: number; cursor?: string }>(policy, {
      name: 'list',
      does: 'the assignments, the newest first',
      examples: ['pushpoint policy list --data ./p01'],
      run: (context, { limit, cursor }) =>
        context.withApi(async (api) => {
          const list = await api.list<AssignmentJson>('/policies', {}, { limit: limit ?? 50, cursor });
          if (context.json) printJson(list);
          else {
            const rows = list.items.map((one) => [one.id, whatOf(one), one.target, stateOf(one), countsOf(one), one.madeBy]);
            table(['ID', 'WHAT', 'OF', 'STATE', 'CLIENTS', 'BY'], rows, 'nothing is asked of clients');
          }
          if (!context.json) noteMore(list.next);
          return EXIT.ok;
        }),
    })
    .addOption(numberOption('--limit <n>', 'one page of this many', 1, 200))
    .option('--cursor <text>', 'the page after the one whose `next` this was');
  verbs.add(policy, {
    name: 'show <id>',
    does: 'one assignment with its clients, those first that failed',
    examples: ['pushpoint policy show 7 --data ./p01'],
    run: (context, _options, id) =>
      context.withApi(async (api) => {
        const one = await api.get<AssignmentJson & { targets: TargetJson[] }>(`/policies/${idOf(id)}`);
        if (context.json) printJson(one);
        else showAssignment(one, one.targets);
        return EXIT.ok;
      }),
  });
  const acts = {
    pause: 'ask nobody further; who was asked already still is',
    resume: 'go on with one that is paused or was stopped; of a stopped one the limit of failures goes',
    cancel: 'end one, and take back what nobody has done yet',
  };
  for (const [action, does] of Object.entries(acts)) actVerb(verbs, policy, action, does);
  secretVerb(verbs, policy);
}

function secretVerb(verbs: Verbs, policy: Command): void {
  verbs
    .add<{ set?: string; valueFile?: string; remove?: string; dryRun?: boolean }>(policy, {
      name: 'secret',
      does: 'secrets that approved clients get with their policy, each sealed for the client: list them, set one, take one out',
      examples: [
        'pushpoint policy secret --data ./p01',
        'pushpoint policy secret --set wifi.key --value-file ./wifi.txt --data ./p01',
        'pushpoint policy secret --remove wifi.key --data ./p01',
      ],
      run: async (context, { set, valueFile, remove, dryRun }) => {
        if ((set === undefined) !== (valueFile === undefined)) throw usage('--set and --value-file go together');
        if (set !== undefined && !/^[A-Za-z][A-Za-z0-9._-]{0,63}$/.test(set))
          throw usage(
            'the name of a secret begins with a letter and has letters, digits, dots, underscores and hyphens, at most 64',
          );
        const value = valueFile === undefined ? undefined : (await readText(valueFile)).replace(/\r?\n$/, '');
        return context.withApi(async (api) => {
          const path = (name: string) => `/policies/secrets/${encodeURIComponent(name)}`;
          const done =
            set !== undefined
              ? await api.send<{ name: string }>('PUT', path(set), { value }, { dryRun })
              : remove !== undefined
                ? await api.send<{ name: string }>('DELETE', path(remove), undefined, { dryRun })
                : undefined;
          if (done) {
            if (context.json) printJson(done);
            else printDone(`${done.name} is ${set === undefined ? 'out of' : 'in'} the policy of approved clients.`, dryRun);
            return EXIT.ok;
          }
          const list = await api.get<{ items: { name: string; changedBy: string; changedAt: string }[] }>('/policies/secrets');
          if (context.json) printJson(list);
          else {
            const rows = list.items.map((one) => [one.name, one.changedBy, one.changedAt]);
            table(['NAME', 'CHANGED BY', 'AT'], rows, 'no secret is in the policy');
          }
          return EXIT.ok;
        });
      },
    })
    .option('--set <name>', 'its name')
    .option('--value-file <file>', 'what it is: a file, - reads standard input')
    .option('--remove <name>', 'take this one out')
    .option(...DRY_RUN);
}

function actVerb(verbs: Verbs, policy: Command, action: string, does: string): void {
  verbs
    .add<{ dryRun?: boolean }>(policy, {
      name: `${action} <id>`,
      does,
      examples: [`pushpoint policy ${action} 7 --data ./p01`],
      run: (context, { dryRun }, id) =>
        context.withApi(async (api) => {
          const done = await api.send<{ done: boolean; assignment: AssignmentJson }>(
            'POST',
            `/policies/${idOf(id)}/${action}`,
            undefined,
            { dryRun },
          );
          if (context.json) printJson(done);
          else printDone(`assignment ${id} ${done.done ? 'is' : 'was already'} ${done.assignment.state}.`, dryRun);
          return EXIT.ok;
        }),
    })
    .option(...DRY_RUN);
}

const collect = (value: string, before?: string[]) => [...(before ?? []), value];

/** askVerbs: client upgrade, migrate, uninstall. */
export function askVerbs(verbs: Verbs, client: Command): void {
  askVerb(
    verbs,
    client,
    'upgrade',
    'ask clients to install another version, in waves if so wished; each does when it next asks for its policy',
    [
      'pushpoint client upgrade --collection "Berlin" --wave-size 50 --stop-after-failures 5% --data ./p01',
      'pushpoint client upgrade PC042 --package client-2 --not-before 2026-12-01T22:00:00Z --data ./p01',
    ],
  )
    .option('--package <name>', 'which one; without it the default package of Windows')
    .option('--not-before <time>', 'clients wait until then, such as 2026-12-01T22:00:00Z');
  askVerb(verbs, client, 'migrate', 'ask clients to move to another site; a client looks first whether that site takes it', [
    'pushpoint client migrate --site P01 --to P02 --data ./p01',
    'pushpoint client migrate PC042 --to P02 --mp http://mp2.corp.example:8480 --data ./p01',
  ])
    .requiredOption('--to <site>', 'the site to move to')
    .option('--mp <url>', 'a management point there; may be given several times', collect);
  askVerb(verbs, client, 'uninstall', 'ask clients to remove themselves', [
    'pushpoint client uninstall PC042 --data ./p01',
    'pushpoint client uninstall --collection "Retired" --dry-run --data ./p01',
  ]);
}

function askVerb(verbs: Verbs, client: Command, kind: string, does: string, examples: string[]): Command {
  return verbs
    .add<AskOptions>(client, {
      name: `${kind} [names...]`,
      does,
      examples,
      run: async (context, options, ...names) => ask(context, kind, options, await namesFrom(names, options.file)),
    })
    .option('-f, --file <file>', 'names or GUIDs of clients, one a line; - reads standard input')
    .option('--collection <name>', 'the approved clients of a collection')
    .option('--site <code>', 'the approved clients of a site')
    .option('--follow', 'also those that come to the collection or site later')
    .addOption(numberOption('--wave-size <n>', 'so many at once; the next when these are through', 1, 1_000_000))
    .option('--stop-after-failures <n>', 'ask nobody further when more than this many have failed, or per cent: 20, 5%')
    .addOption(numberOption('--patience <hours>', 'who was heard and has not done it after so long has failed (24)', 1, 8760))
    .option(...DRY_RUN);
}

async function ask(context: Context, kind: string, options: AskOptions, clients: string[]): Promise<number> {
  const { collection, site, follow, waveSize, patience, dryRun } = options;
  if ([collection, site, clients[0]].filter((one) => one !== undefined).length !== 1)
    throw usage('name clients, or a --collection, or a --site');
  const body = {
    kind,
    ...(clients.length > 0 && { clients }),
    collection,
    site,
    package: options.package,
    notBefore: timeOf(options.notBefore),
    to: options.to,
    managementPoints: options.mp,
    follow,
    waveSize,
    stopAfter: stopAfterOf(options.stopAfterFailures),
    patienceHours: patience,
  };
  return context.withApi(async (api) => {
    const made = await api.send<AssignmentJson>('POST', '/policies', body, { dryRun });
    if (context.json) printJson(made);
    else {
      printDone(`${whatOf(made)} is asked of ${made.target}: ${countsOf(made)}.`, dryRun);
      if (!dryRun) print(`assignment ${made.id}: pushpoint policy show ${made.id}`);
    }
    return EXIT.ok;
  });
}

function timeOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text) || Number.isNaN(Date.parse(text)))
    throw usage(
      `--not-before takes a time with its zone, such as 2026-12-01T22:00:00Z or 2026-12-01T23:00+01:00; not ${text.slice(0, 40)}`,
    );
  return new Date(text).toISOString();
}

function idOf(text: string): string {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw usage(`${text.slice(0, 40)} is no number of an assignment; policy list shows them`);
  return text;
}

function whatOf({ kind, wish }: AssignmentJson): string {
  if (wish === true) return kind;
  return wish.version === undefined ? `${kind} to ${wish.site}` : `${kind} to ${wish.version}`;
}

function stateOf({ state, wave, waveSize }: AssignmentJson): string {
  return waveSize === undefined || wave === 0 ? state : `${state}, wave ${wave}`;
}

function countsOf({ counts }: AssignmentJson): string {
  const order = ['waiting', 'offered', 'done', 'failed', 'withdrawn'];
  const known = order.filter((state) => counts[state]).map((state) => `${counts[state]} ${state}`);
  return known.join(', ') || 'no client';
}

function showAssignment(one: AssignmentJson, targets: TargetJson[]): void {
  const { failures, percent } = one.stopAfter ?? {};
  fields([
    ['id', one.id],
    ['what', whatOf(one)],
    ['of', one.follow ? `${one.target}, and who comes later` : one.target],
    ['state', stateOf(one)],
    ['why', one.stopReason],
    ['clients', countsOf(one)],
    ['not before', one.wish === true ? undefined : one.wish.notBefore],
    ['wave size', one.waveSize],
    ['failures allowed', failures ?? (percent === undefined ? undefined : `${percent} %`)],
    ['patience', `${one.patienceHours} hours`],
    ['made', `${one.madeAt} by ${one.madeBy}`],
    ['ended', one.endedAt],
  ]);
  if (targets.length === 0) return;
  print();
  const rows = targets.map((t) => [t.name ?? '(gone)', t.state, t.wave || '', t.at, t.guid, t.detail]);
  table(['NAME', 'STATE', 'WAVE', 'SINCE', 'GUID', 'DETAIL'], rows);
}
