import type { Command } from 'commander';
import { Option } from 'commander';
import { generateCcrFiles } from '#executive';
import { usage } from '../failure.ts';
import { inParts, namesFrom } from '../names.ts';
import { EXIT, note, noteMore, print, printJson, table } from '../output.ts';
import type { Api } from '../api.ts';
import { numberOption, type Context, type Verbs } from '../verb.ts';
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

interface ListOptions {
  state?: string | undefined;
  wave?: number | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
  site?: string | undefined;
}

function listVerb(verbs: Verbs, ccr: Command): void {
  verbs
    .add<ListOptions>(ccr, {
      name: 'list',
      does: 'the CCRs, the newest request first',
      examples: [
        'pushpoint ccr list --data ./p01',
        'pushpoint ccr list --state retry --json',
        'pushpoint ccr list --wave 12',
        'pushpoint ccr list --site S01',
      ],
      run: (context, { state, wave, limit, cursor, site }) =>
        context.withApi(async (api) => {
          if (site !== undefined) return listBelow(context, api, site, { state, wave, limit, cursor });
          const list = await api.list<CcrJson>('/ccrs', { state, wave }, { limit, cursor });
          if (context.json) printJson(list);
          else
            table(
              ['NAME', 'STATE', 'WAVE', 'TRIES', 'CODE', 'NEXT TRY', 'WHY'],
              list.items.map((c) => [c.name, c.state, c.wave, c.attempts, codeText(c), c.nextAttemptAt, whyText(c)]),
              noneText(state, wave),
            );
          if (!context.json) noteMore(list.next);
          return EXIT.ok;
        }),
    })
    .option('--site <code>', 'those of a site below, as it told of them; they are worked there')
    .addOption(new Option('--state <state>', 'only those in this state').choices(STATES))
    .addOption(numberOption('--wave <id>', 'only those of this push', 1, 2_000_000_000))
    .addOption(numberOption('--limit <n>', 'one page of this many', 1, 1000))
    .option('--cursor <text>', 'the page after the one whose `next` this was');
}

/** whyText is what keeps a CCR: a pause before the last error, which is as old as the last attempt. */
function whyText({ held, lastErrorText }: CcrJson): string | undefined {
  return [held?.why, lastErrorText].filter(Boolean).join('; last: ') || undefined;
}

/** listBelow shows how the CCRs of a site below stand. */
async function listBelow(
  context: Context,
  api: Api,
  site: string,
  { state, wave, limit, cursor }: Omit<ListOptions, 'site'>,
): Promise<number> {
  if (wave !== undefined || cursor !== undefined) throw usage('--site goes with --state and --limit only');
  const { items: all } = await api.get<{ items: CcrJson[] }>(`/sites/${encodeURIComponent(site)}/ccrs?limit=${limit ?? 1000}`);
  const items = all.filter((ccr) => state === undefined || ccr.state === state);
  if (context.json) printJson({ items });
  else
    table(
      ['NAME', 'STATE', 'TRIES', 'CODE', 'NEXT TRY'],
      items.map((c) => [c.name, c.state, c.attempts, codeText(c), c.nextAttemptAt]),
      `site ${site} told of no CCR${state === undefined ? '' : ` that is ${state}`}`,
    );
  return EXIT.ok;
}

function noneText(state: string | undefined, wave: number | undefined): string {
  if (state === undefined && wave === undefined) return 'no CCRs yet: pushpoint push HOST';
  return `no CCR${wave === undefined ? '' : ` of wave ${wave}`} is ${state ?? 'there'}`;
}

interface ActionItem {
  name: string;
  done: boolean;
  reason?: string;
}

interface ActionOptions {
  dryRun?: boolean;
  file?: string;
  wave?: number;
  all?: boolean;
}

function actionVerb(verbs: Verbs, ccr: Command, action: string, does: string): void {
  const holds = action === 'pause' || action === 'resume';
  const verb = verbs
    .add<ActionOptions>(ccr, {
      name: `${action} [names...]`,
      does,
      examples: [
        `pushpoint ccr ${action} LAB-W11-01 --data ./p01`,
        `pushpoint ccr ${action} --wave 12 --dry-run`,
        ...(holds ? [`pushpoint ccr ${action} --all`] : []),
      ],
      async run(context, options, ...given) {
        const { wave, all } = options;
        const names = await namesFrom(given, options.file);
        const ways = [names.length > 0, wave !== undefined, all === true].filter(Boolean).length;
        if (ways !== 1)
          throw usage(`ccr ${action} needs names, -f FILE${holds ? ', --wave ID or --all' : ' or --wave ID'}: one of them`);
        const dryRun = options.dryRun === true;
        return context.withApi(async (api) => {
          if (all) return holdAll(api, context, action === 'pause', dryRun);
          const send = async (which: object) =>
            (await api.send<{ items: ActionItem[] }>('POST', `/ccrs/${action}`, { ...which, dryRun })).items;
          const items =
            wave === undefined
              ? await inParts<ActionItem>(
                  names,
                  (part) => send({ names: part }),
                  (name, reason) => ({ name, done: false, reason }),
                )
              : await send({ wave });
          if (context.json) printJson({ wave, items });
          else {
            for (const item of items)
              print(`${item.name}: ${item.done ? `${action} ${dryRun ? 'would be done' : 'done'}` : item.reason}`);
            if (items.length === 0) print(`no CCR of wave ${wave} is live`);
          }
          return wave !== undefined || items.every((i) => i.done) ? EXIT.ok : EXIT.failed;
        });
      },
    })
    .option('-f, --file <file>', 'names, one a line; - reads standard input')
    .addOption(numberOption('--wave <id>', 'all live CCRs of this push', 1, 2_000_000_000))
    .option('--dry-run', 'say what would be done');
  if (action === 'pause') verb.option('--all', 'the whole site: no new attempt begins until ccr resume --all');
  if (action === 'resume') verb.option('--all', 'the whole site goes on; CCRs that were paused by themselves stay paused');
}

/** holdAll stops or starts all new attempts of the site; those under way go on to their end. */
async function holdAll(api: Api, context: Context, held: boolean, dryRun: boolean): Promise<number> {
  await api.send('PATCH', '/settings', { ccr: { held } }, { dryRun });
  if (context.json) printJson({ held, dryRun });
  else if (dryRun) print(held ? 'No new attempt would begin.' : 'New attempts would begin again.');
  else print(held ? 'No new attempt begins until: pushpoint ccr resume --all' : 'New attempts begin again.');
  return EXIT.ok;
}

/** waveVerbs: wave list, wave show. */
export function waveVerbs(verbs: Verbs): void {
  const wave = verbs.group('wave', 'what each push asked for, worked and stopped together');
  verbs
    .add<{ limit?: number; cursor?: string }>(wave, {
      name: 'list',
      does: 'the waves, the newest first, with how their CCRs stand',
      examples: ['pushpoint wave list --data ./p01'],
      run: (context, { limit, cursor }) =>
        context.withApi(async (api) => {
          const list = await api.list<WaveJson>('/waves', {}, { limit: limit ?? 50, cursor });
          if (context.json) printJson(list);
          else
            table(
              ['WAVE', 'MADE', 'BY', 'MACHINES', 'CCRS', 'STOPPED'],
              list.items.map((w) => [w.id, w.madeAt, w.madeBy, w.machines, countsText(w), w.stopReason]),
              'no waves yet: pushpoint push HOST',
            );
          if (!context.json) noteMore(list.next);
          return EXIT.ok;
        }),
    })
    .addOption(numberOption('--limit <n>', 'one page of this many', 1, 200))
    .option('--cursor <text>', 'the page after the one whose `next` this was');
  verbs.add(wave, {
    name: 'show <id>',
    does: 'one wave',
    examples: ['pushpoint wave show 12 --data ./p01'],
    run: (context, _options, id) =>
      context.withApi(async (api) => {
        if (!/^[1-9]\d{0,8}$/.test(id)) throw usage(`${id.slice(0, 40)} is no number of a wave; wave list shows them`);
        const one = await api.get<WaveJson>(`/waves/${encodeURIComponent(id)}`);
        if (context.json) printJson(one);
        else {
          print(`wave ${one.id}, made ${one.madeAt} by ${one.madeBy}: ${one.machines} machines; ${countsText(one)}`);
          if (one.stopReason) print(`stopped ${one.stoppedAt}: ${one.stopReason}. Go on: pushpoint ccr resume --wave ${one.id}`);
        }
        return EXIT.ok;
      }),
  });
}

interface WaveJson {
  id: number;
  madeAt: string;
  madeBy: string;
  machines: number;
  stoppedAt?: string;
  stopReason?: string;
  counts: Record<string, number>;
}

function countsText({ counts }: WaveJson): string {
  return Object.entries(counts)
    .map(([state, n]) => `${n} ${state}`)
    .join(', ');
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
