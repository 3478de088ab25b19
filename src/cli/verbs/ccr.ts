import type { Command } from 'commander';
import { Option } from 'commander';
import { generateCcrFiles } from '#executive';
import { usage } from '../failure.ts';
import { inParts, namesFrom } from '../names.ts';
import { EXIT, note, print, printJson, table } from '../output.ts';
import { numberOption, type Verbs } from '../verb.ts';
import { codeText, showTimeline, type CcrJson } from '../timeline.ts';

const actions = {
  retry: 'try it now instead of when it is due',
  cancel: 'give it up; the machine is left as it is',
  pause: 'leave it alone until it is resumed',
  resume: 'go on with a paused one',
};

const STATES = 'queued processing verifying retry waiting paused complete skipped failed cancelled'.split(' ');

/** ccrVerbs: ccr list, show, retry, cancel, pause, resume, generate. */
export function ccrVerbs(verbs: Verbs): void {
  const ccr = verbs.group('ccr', 'client configuration requests');
  listVerb(verbs, ccr);
  verbs
    .add<{ all?: boolean }>(ccr, {
      name: 'show <name>',
      does: 'one CCR with its attempts, the last one step by step',
      examples: ['pushpoint ccr show LAB-W11-01 --data ./p01'],
      run: (context, options, name) =>
        context.withApi(async (api) => {
          const item = await api.get<CcrJson>(`/ccrs/${encodeURIComponent(name)}`, {
            attempts: options.all ? 10_000 : undefined,
          });
          if (context.json) printJson(item);
          else showTimeline(item, options.all === true);
          return EXIT.ok;
        }),
    })
    .option('--all', 'every attempt of the week, each step by step');
  for (const [action, does] of Object.entries(actions)) actionVerb(verbs, ccr, action, does);
  generateVerb(verbs, ccr);
}

function listVerb(verbs: Verbs, ccr: Command): void {
  verbs
    .add<{ state?: string; limit?: number; cursor?: string }>(ccr, {
      name: 'list',
      does: 'the CCRs, the newest request first',
      examples: ['pushpoint ccr list --data ./p01', 'pushpoint ccr list --state retry --json'],
      run: (context, { state, limit, cursor }) =>
        context.withApi(async (api) => {
          const list = await api.list<CcrJson>('/ccrs', { state }, { limit, cursor });
          if (context.json) printJson(list);
          else
            table(
              ['NAME', 'STATE', 'TRIES', 'CODE', 'NEXT TRY', 'WHY'],
              list.items.map((c) => [c.name, c.state, c.attempts, codeText(c), c.nextAttemptAt, c.lastErrorText]),
              state === undefined ? 'no CCRs yet: pushpoint push HOST' : `no CCR is ${state}`,
            );
          return EXIT.ok;
        }),
    })
    .addOption(new Option('--state <state>', 'only those in this state').choices(STATES))
    .addOption(numberOption('--limit <n>', 'one page of this many', 1, 1000))
    .option('--cursor <text>', 'the page after the one whose `next` this was');
}

interface ActionItem {
  name: string;
  done: boolean;
  reason?: string;
}

function actionVerb(verbs: Verbs, ccr: Command, action: string, does: string): void {
  verbs
    .add<{ dryRun?: boolean; file?: string }>(ccr, {
      name: `${action} [names...]`,
      does,
      examples: [`pushpoint ccr ${action} LAB-W11-01 --data ./p01`],
      async run(context, options, ...given) {
        const names = await namesFrom(given, options.file);
        if (!names.length) throw usage(`ccr ${action} needs at least one name, or -f FILE`);
        const dryRun = options.dryRun === true;
        return context.withApi(async (api) => {
          const items = await inParts<ActionItem>(
            names,
            async (part) => (await api.send<{ items: ActionItem[] }>('POST', `/ccrs/${action}`, { names: part, dryRun })).items,
            (name, reason) => ({ name, done: false, reason }),
          );
          if (context.json) printJson({ items });
          else
            for (const item of items)
              print(`${item.name}: ${item.done ? `${action} ${dryRun ? 'would be done' : 'done'}` : item.reason}`);
          return items.every((i) => i.done) ? EXIT.ok : EXIT.failed;
        });
      },
    })
    .option('-f, --file <file>', 'names, one a line; - reads standard input')
    .option('--dry-run', 'say what would be done');
}

interface GenerateOptions {
  file: string;
  output: string;
  domain?: string;
  forced?: boolean;
  dryRun?: boolean;
}

function generateVerb(verbs: Verbs, ccr: Command): void {
  verbs
    .add<GenerateOptions>(ccr, {
      name: 'generate',
      does: 'write one .ccr file for each name of a list, to be dropped into ccr.box of any site',
      examples: [
        'pushpoint ccr generate -f names.txt -o ./out',
        'pushpoint ccr generate -f names.txt -o /srv/pushpoint/inboxes/ccr.box --forced',
      ],
      takes: 'nothing',
      async run(context, options) {
        const names = await namesFrom([], options.file);
        if (!names.length) throw usage(`${options.file} holds no name`);
        const dryRun = options.dryRun === true;
        const result = await generateCcrFiles({
          names,
          folder: options.output,
          domain: options.domain,
          forced: options.forced === true,
          dryRun,
        });
        if (context.json) printJson(result);
        else {
          print(`${result.written.length} CCR files ${dryRun ? 'would be written' : 'written'} to ${options.output}.`);
          for (const bad of result.rejected) note(`${bad.name}: ${bad.reason}`);
        }
        return result.rejected.length ? EXIT.failed : EXIT.ok;
      },
    })
    .requiredOption('-f, --file <file>', 'names, one a line; - reads standard input')
    .requiredOption('-o, --output <dir>', 'folder to write to')
    .option('--domain <domain>', 'domain of the machines')
    .option('--forced', 'install even where a client is')
    .option('--dry-run', 'say what would be written');
}
