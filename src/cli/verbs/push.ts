import { raise } from '#base/errors';
import type { Api } from '../api.ts';
import { usage } from '../failure.ts';
import { beforeSignal } from '../interrupt.ts';
import { inParts, namesFrom } from '../names.ts';
import { EXIT, note, print, printJson, table } from '../output.ts';
import { FILTER, numberOption, type Context, type Verbs } from '../verb.ts';
import { codeText, explain, type CcrJson } from '../timeline.ts';
import { pushSettingsVerb } from './push-settings.ts';
import { isFine, isSettled, waitFor } from '../wait.ts';

interface PushItem {
  name: string;
  decision: 'push' | 'skip' | 'refuse';
  reason: string;
  site?: string;
  assignedSite?: string;
  managementPoint?: string;
  account?: string;
}

interface PushOptions {
  file?: string;
  filter?: string;
  collection?: string;
  subcollections?: boolean;
  force?: boolean;
  reinstall?: boolean;
  includeDcs?: boolean;
  includeUnassigned?: boolean;
  fromSite?: string;
  inspect?: boolean;
  uninstall?: boolean;
  dryRun?: boolean;
  wait?: boolean;
  timeout?: number;
  stopAfterFailures?: string;
}

const MINUTES = 10;

/** pushVerbs: push HOST… */
export function pushVerbs(verbs: Verbs): void {
  const push = verbs.add<PushOptions>(undefined, {
    name: 'push [hosts...]',
    does: 'make CCRs: the machines get the client as soon as they can be reached',
    examples: [
      'pushpoint push LAB-W11-01 LAB-W11-02 --wait --data ./p01',
      'pushpoint push -f machines.txt --dry-run --data ./p01',
      'grep ^BERLIN- all.txt | pushpoint push -f - --force --data ./p01',
      'pushpoint push --filter BERLIN- --dry-run --data ./p01',
      `pushpoint push --filter 'type = workstation and not client.installed' --dry-run --data ./p01`,
      'pushpoint push --collection "Berlin" --dry-run --data ./p01',
      'pushpoint push -f branch.txt --include-unassigned --dry-run --data ./p01',
      'pushpoint push -f machines.txt --stop-after-failures 5% --data ./p01',
      'pushpoint push LAB-W11-01 --inspect --wait --data ./p01   (looks, installs nothing)',
      'pushpoint push LAB-W11-01 --uninstall --wait --data ./p01   (removes the client)',
    ],
    async run(context, options, ...given) {
      const names = await namesFrom(given, options.file);
      if (options.filter?.trim() === '')
        throw usage('--filter wants a part of a name, an address or a filter; an empty one would mean every machine');
      if (!names.length && options.filter === undefined && options.collection === undefined)
        throw usage('push needs at least one machine name, or -f FILE, or --filter TEXT, or --collection NAME');
      if (options.subcollections === false && options.collection === undefined)
        throw usage('--no-subcollections goes with --collection');
      if (options.wait && options.dryRun) throw usage('--dry-run makes no CCR, so there is nothing to --wait for');
      if (options.uninstall && (options.reinstall || options.inspect))
        throw usage('--uninstall goes with neither --reinstall nor --inspect');
      if (options.timeout !== undefined && !options.wait) throw usage('--timeout goes with --wait');
      return context.withApi(async (api) => pushTo(api, context, options, [...names, ...(await known(api, options))]));
    },
  });
  // A machine may be called HELP.
  push.helpCommand(false);
  pushSettingsVerb(verbs, push);
  push
    .option('-f, --file <file>', 'names, one a line; - reads standard input')
    .option('--filter <text>', `also ${FILTER}`)
    .option(
      '--collection <name>',
      'also the machines of this collection and of its subcollections; with --filter those of them that fit',
    )
    .option('--no-subcollections', 'with --collection: not the machines of its subcollections')
    .option('--force', 'also where a client is installed already, and whatever the operating system filter says')
    .option('--reinstall', 'remove the client that is there, then install')
    .option('--include-dcs', 'also domain controllers')
    .option('--include-unassigned', 'also machines that are assigned to another site, or to none')
    .option('--from-site <code>', 'the site that pushes; only this one can be asked here')
    .option('--inspect', 'connect and look, install nothing')
    .option('--uninstall', 'remove the client that is there, and all it left, instead of installing one')
    .option('--dry-run', 'say what would be done, connect to nobody')
    .option(
      '--stop-after-failures <n>',
      'pause what is left of this push when more than so many machines have failed: a number, or 5%',
    )
    .option('--wait', 'wait until every machine is complete or has a first verdict')
    .addOption(
      numberOption(
        '--timeout <minutes>',
        `with --wait: give up waiting after this (default ${MINUTES}); the CCRs go on`,
        1,
        100_000,
      ),
    );
}

/** known gives the names of the machines that a filter finds among those that discovery knows, and those of a collection; of both, what is in both. */
async function known(api: Api, { filter, collection, subcollections }: PushOptions): Promise<string[]> {
  if (filter === undefined && collection === undefined) return [];
  const path = collection === undefined ? '/devices' : `/collections/${encodeURIComponent(collection)}/members`;
  const of = collection === undefined ? {} : { subcollections: subcollections !== false };
  const { items } = await api.list<{ name: string; domain?: string }>(path, { filter, ...of }, {});
  if (items.length === 0)
    note(
      collection === undefined
        ? `no known machine fits the filter ${filter}`
        : `no machine of the collection ${collection} is meant`,
    );
  return items.map(({ name, domain }) => (domain ? `${name}.${domain}` : name));
}

async function pushTo(api: Api, context: Context, options: PushOptions, names: string[]): Promise<number> {
  if (options.wait && !api.isServed) throw raise('PP_SITE_NOT_RUNNING', { data: context.folder() });
  const notes = new Set<string>();
  const stopAfter = stopAfterOf(options.stopAfterFailures);
  // A push of very many names goes in parts, and is one wave all the same.
  let wave: number | undefined;
  let held = false;
  let paused = 0;
  const items = await inParts<PushItem>(
    names,
    async (part) => {
      const answer = await api.send<{ wave?: number; items: PushItem[]; held?: boolean; paused?: number; notes?: string[] }>(
        'POST',
        '/push',
        {
          ...wishOf(part, options),
          stopAfter,
          wave,
        },
      );
      wave ??= answer.wave;
      held ||= answer.held === true;
      paused += answer.paused ?? 0;
      for (const one of answer.notes ?? []) notes.add(one);
      return answer.items;
    },
    (name, reason) => ({ name, decision: 'refuse', reason }),
  );
  const refused = items.some((i) => i.decision === 'refuse');
  const tellHeld = () => {
    if (held) note('All CCRs of this site are held, so no attempt begins until: pushpoint ccr resume --all');
    if (paused > 0)
      note(`${paused} of them have a CCR that is paused and stays so until: pushpoint ccr resume NAME, or --wave ID`);
  };
  if (!options.wait) {
    if (context.json) printJson({ wave, items, held, paused, notes: [...notes] });
    else printPlan(items, options.dryRun === true, wave);
    if (options.dryRun && !context.json) for (const one of notes) note(one);
    tellHeld();
    if (!options.dryRun && !api.isServed)
      note('No site server runs on this folder: the CCRs are worked off once pushpoint up does.');
    return refused ? EXIT.failed : EXIT.ok;
  }
  const forget = beforeSignal(() =>
    note(
      `no longer waited for; the CCRs go on: pushpoint wave show ${wave}, or take them back: pushpoint ccr cancel --wave ${wave}`,
    ),
  );
  if (!context.json) printPlan(items, false, wave);
  tellHeld();
  const going = items.filter((i) => i.decision === 'push').map((i) => i.name);
  const ccrs = await waitFor(api, going, (options.timeout ?? MINUTES) * 60_000).finally(forget);
  const stopped =
    stopAfter && wave !== undefined ? (await api.get<{ stopReason?: string }>(`/waves/${wave}`)).stopReason : undefined;
  if (context.json) printJson({ wave, items, held, paused, ccrs, stopReason: stopped });
  else if (ccrs.length > 0) printOutcome(ccrs);
  if (stopped) note(`wave ${wave} was stopped: ${stopped}. Go on: pushpoint ccr resume --wave ${wave}`);
  const late = ccrs.filter((ccr) => !isSettled(ccr)).length;
  if (late > 0) note(`${late} machines have no verdict yet; their CCRs go on: pushpoint ccr list`);
  return refused || ccrs.some((ccr) => !isFine(ccr)) ? EXIT.failed : EXIT.ok;
}

function wishOf(names: string[], options: PushOptions): Record<string, unknown> {
  const { force, reinstall, includeDcs, includeUnassigned, fromSite, inspect, uninstall, dryRun } = options;
  return {
    names,
    force: force === true,
    reinstall: reinstall === true,
    includeDcs: includeDcs === true,
    includeUnassigned: includeUnassigned === true,
    fromSite,
    inspect: inspect === true,
    uninstall: uninstall === true,
    dryRun: dryRun === true,
  };
}

/** stopAfterOf reads `20` or `5%`. */
export function stopAfterOf(text: string | undefined): { failures?: number; percent?: number } | undefined {
  if (text === undefined) return undefined;
  const match = /^([1-9]\d{0,5})(%?)$/.exec(text);
  const n = Number(match?.[1]);
  if (!match || (match[2] && n > 100)) throw usage('--stop-after-failures takes a number of machines, or per cent: 20, 5%');
  return match[2] ? { percent: n } : { failures: n };
}

function printPlan(items: PushItem[], dryRun: boolean, wave?: number): void {
  if (dryRun) {
    const rows = items.map((i) => [
      i.name,
      i.decision,
      i.assignedSite,
      i.decision === 'push' ? i.site : '',
      i.account,
      i.managementPoint,
      i.reason,
    ]);
    // Whose machine it is, and which site would push: with --include-unassigned these may be two.
    return table(['NAME', 'DECISION', 'ASSIGNED', 'PUSHED BY', 'ACCOUNT', 'MP', 'REASON'], rows);
  }
  for (const item of items) if (item.decision !== 'push') note(`${item.name}: ${item.decision}: ${item.reason}`);
  const named = wave === undefined ? '' : `, as wave ${wave}`;
  print(`${items.filter((i) => i.decision === 'push').length} of ${items.length} machines get a CCR${named}.`);
}

/** printOutcome shows what became of CCRs: a line each, then cause and remedy once for each kind of failure. */
function printOutcome(ccrs: CcrJson[]): void {
  const rows = ccrs.map((c) =>
    c.state === 'complete'
      ? [c.name, c.state, '', c.proof ?? 'the agent reported in or was seen running']
      : [c.name, c.state, codeText(c), c.lastErrorText],
  );
  table(['NAME', 'STATE', 'CODE', 'WHY'], rows);
  explain(ccrs);
}
