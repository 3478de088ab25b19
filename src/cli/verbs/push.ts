import { raise } from '#base/errors';
import type { Api } from '../api.ts';
import { usage } from '../failure.ts';
import { inParts, namesFrom } from '../names.ts';
import { EXIT, note, print, printJson, table } from '../output.ts';
import { numberOption, type Context, type Verbs } from '../verb.ts';
import { codeText, explain, type CcrJson } from '../timeline.ts';
import { isFine, isSettled, waitFor } from '../wait.ts';

interface PushItem {
  name: string;
  decision: 'push' | 'skip' | 'refuse';
  reason: string;
  site?: string;
  managementPoint?: string;
  account?: string;
}

interface PushOptions {
  file?: string;
  force?: boolean;
  reinstall?: boolean;
  includeDcs?: boolean;
  inspect?: boolean;
  dryRun?: boolean;
  wait?: boolean;
  timeout?: number;
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
      'pushpoint push LAB-W11-01 --inspect --wait --data ./p01   (looks, installs nothing)',
    ],
    async run(context, options, ...given) {
      const names = await namesFrom(given, options.file);
      if (!names.length) throw usage('push needs at least one machine name, or -f FILE');
      if (options.wait && options.dryRun) throw usage('--dry-run makes no CCR, so there is nothing to --wait for');
      if (options.timeout !== undefined && !options.wait) throw usage('--timeout goes with --wait');
      return context.withApi((api) => pushTo(api, context, options, names));
    },
  });
  push
    .option('-f, --file <file>', 'names, one a line; - reads standard input')
    .option('--force', 'also where a client is installed already, and whatever the operating system filter says')
    .option('--reinstall', 'remove the client that is there, then install')
    .option('--include-dcs', 'also domain controllers')
    .option('--inspect', 'connect and look, install nothing')
    .option('--dry-run', 'say what would be done, connect to nobody')
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

async function pushTo(api: Api, context: Context, options: PushOptions, names: string[]): Promise<number> {
  if (options.wait && !api.isServed) throw raise('PP_SITE_NOT_RUNNING', { data: context.folder() });
  const items = await inParts<PushItem>(
    names,
    async (part) => (await api.send<{ items: PushItem[] }>('POST', '/push', wishOf(part, options))).items,
    (name, reason) => ({ name, decision: 'refuse', reason }),
  );
  const refused = items.some((i) => i.decision === 'refuse');
  if (!options.wait) {
    if (context.json) printJson({ items });
    else printPlan(items, options.dryRun === true);
    if (!options.dryRun && !api.isServed)
      note('No site server runs on this folder: the CCRs are worked off once pushpoint up does.');
    return refused ? EXIT.failed : EXIT.ok;
  }
  if (!context.json) printPlan(items, false);
  const going = items.filter((i) => i.decision === 'push').map((i) => i.name);
  const ccrs = await waitFor(api, going, (options.timeout ?? MINUTES) * 60_000);
  if (context.json) printJson({ items, ccrs });
  else if (ccrs.length > 0) printOutcome(ccrs);
  const late = ccrs.filter((ccr) => !isSettled(ccr)).length;
  if (late > 0) note(`${late} machines have no verdict yet; their CCRs go on: pushpoint ccr list`);
  return refused || ccrs.some((ccr) => !isFine(ccr)) ? EXIT.failed : EXIT.ok;
}

function wishOf(names: string[], options: PushOptions): Record<string, unknown> {
  const { force, reinstall, includeDcs, inspect, dryRun } = options;
  return {
    names,
    force: force === true,
    reinstall: reinstall === true,
    includeDcs: includeDcs === true,
    inspect: inspect === true,
    dryRun: dryRun === true,
  };
}

function printPlan(items: PushItem[], dryRun: boolean): void {
  if (dryRun) {
    const rows = items.map((i) => [i.name, i.decision, i.account, i.managementPoint, i.reason]);
    return table(['NAME', 'DECISION', 'ACCOUNT', 'MP', 'REASON'], rows);
  }
  for (const item of items) if (item.decision !== 'push') note(`${item.name}: ${item.decision}: ${item.reason}`);
  print(`${items.filter((i) => i.decision === 'push').length} of ${items.length} machines get a CCR.`);
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
