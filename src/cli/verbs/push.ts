import { namesFrom } from '../names.ts';
import { EXIT, note, print, printJson, table, usage } from '../output.ts';
import type { Verbs } from '../program.ts';
import { codeText, type CcrJson } from '../timeline.ts';
import { waitFor } from '../wait.ts';

interface PushItem {
  name: string;
  decision: 'push' | 'skip' | 'refuse';
  reason: string;
  site: string;
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
  timeout?: string;
}

/** printOutcome shows what became of CCRs: a line each, then cause and remedy once for each kind of failure. */
function printOutcome(ccrs: CcrJson[]): void {
  table(
    ['NAME', 'STATE', 'CODE', 'WHY'],
    ccrs.map((c) => [
      c.name,
      c.state,
      c.state === 'complete' ? '' : codeText(c),
      c.state === 'complete' ? 'the agent reported in or was seen running' : c.lastErrorText,
    ]),
  );
  const told = new Set<string>();
  for (const c of ccrs) {
    if (c.state === 'complete' || !c.lastError || told.has(c.lastError) || !c.remedy) continue;
    told.add(c.lastError);
    if (told.size === 1) print();
    print(`${codeText(c)}`);
    if (c.cause) print(`  cause: ${c.cause}`);
    print(`  fix:   ${c.remedy}`);
  }
}

function printPlan(items: PushItem[], dryRun: boolean): void {
  if (dryRun)
    return table(
      ['NAME', 'DECISION', 'ACCOUNT', 'MP', 'REASON'],
      items.map((i) => [i.name, i.decision, i.account, i.managementPoint, i.reason]),
    );
  for (const item of items) if (item.decision !== 'push') note(`${item.name}: ${item.decision}: ${item.reason}`);
  print(`${items.filter((i) => i.decision === 'push').length} of ${items.length} machines get a CCR.`);
}

/** pushVerbs: push HOST…, push settings. */
export function pushVerbs(verbs: Verbs): void {
  const push = verbs.add<PushOptions>(
    undefined,
    'push [hosts...]',
    'make CCRs: the machines get the client as soon as they can be reached',
    [
      'pushpoint push LAB-W11-01 LAB-W11-02 --wait --data ./p01',
      'pushpoint push -f machines.txt --dry-run --data ./p01',
      'grep ^BERLIN- all.txt | pushpoint push -f - --force --data ./p01',
      'pushpoint push LAB-W11-01 --inspect --wait --data ./p01   (looks, installs nothing)',
    ],
    (context, options, ...given) =>
      context.withApi(async (api) => {
        const names = namesFrom(given, options.file);
        if (!names.length) throw usage('push needs at least one machine name, or -f FILE');
        const { items } = await api.send<{ items: PushItem[] }>('POST', '/push', {
          names,
          force: options.force === true,
          reinstall: options.reinstall === true,
          includeDcs: options.includeDcs === true,
          inspect: options.inspect === true,
          dryRun: options.dryRun === true,
        });
        const refused = items.some((i) => i.decision === 'refuse');
        if (options.dryRun || !options.wait) {
          if (context.json) printJson({ items });
          else printPlan(items, options.dryRun === true);
          return refused ? EXIT.failed : EXIT.ok;
        }
        const minutes = Number(options.timeout ?? 10);
        if (!(minutes > 0)) throw usage('--timeout wants minutes');
        if (!context.json) printPlan(items, false);
        const ccrs = await waitFor(
          api,
          items.filter((i) => i.decision === 'push').map((i) => i.name),
          minutes * 60_000,
        );
        if (context.json) printJson({ items, ccrs });
        else printOutcome(ccrs);
        const fine = (state: string) => state === 'complete' || state === 'skipped';
        return refused || ccrs.some((c) => !fine(c.state)) ? EXIT.failed : EXIT.ok;
      }),
  );
  push
    .option('-f, --file <file>', 'names, one a line; - reads standard input')
    .option('--force', 'also where a client is installed already, and whatever the operating system filter says')
    .option('--reinstall', 'remove the client that is there, then install')
    .option('--include-dcs', 'also domain controllers')
    .option('--inspect', 'connect and look, install nothing')
    .option('--dry-run', 'say what would be done, connect to nobody')
    .option('--wait', 'wait until every machine is complete or has a first verdict')
    .option('--timeout <minutes>', 'with --wait: give up waiting after this (default 10); the CCRs go on');
}
