import { generateCcrFiles } from '#executive';
import { namesFrom } from '../names.ts';
import { EXIT, note, print, printJson, table, usage } from '../output.ts';
import type { Verbs } from '../program.ts';
import { codeText, showTimeline, type CcrJson } from '../timeline.ts';

type Action = 'retry' | 'cancel' | 'pause' | 'resume';

const actions: Record<Action, string> = {
  retry: 'try it now instead of when it is due',
  cancel: 'give it up; the machine is left as it is',
  pause: 'leave it alone until it is resumed',
  resume: 'go on with a paused one',
};

/** ccrVerbs: ccr list, show, retry, cancel, pause, resume, generate. */
export function ccrVerbs(verbs: Verbs): void {
  const ccr = verbs.group('ccr', 'client configuration requests');
  verbs
    .add<{ state?: string }>(
      ccr,
      'list',
      'the CCRs, the newest request first',
      ['pushpoint ccr list --data ./p01', 'pushpoint ccr list --state retry --json'],
      (context, options) =>
        context.withApi(async (api) => {
          const items: CcrJson[] = [];
          for await (const item of api.all<CcrJson>('/ccrs', { state: options.state })) items.push(item);
          if (context.json) printJson({ items, next: null });
          else {
            table(
              ['NAME', 'STATE', 'TRIES', 'CODE', 'NEXT TRY', 'WHY'],
              items.map((c) => [c.name, c.state, c.attempts, codeText(c), c.nextAttemptAt, c.lastErrorText]),
            );
          }
          return EXIT.ok;
        }),
    )
    .option(
      '--state <state>',
      'only those in this state: queued processing verifying retry waiting paused complete skipped failed cancelled',
    );
  verbs.add(
    ccr,
    'show <name>',
    'one CCR with every attempt, step by step',
    ['pushpoint ccr show LAB-W11-01 --data ./p01'],
    (context, _options, name) =>
      context.withApi(async (api) => {
        const item = await api.get<CcrJson>(`/ccrs/${encodeURIComponent(name!)}`);
        if (context.json) printJson(item);
        else showTimeline(item);
        return EXIT.ok;
      }),
  );
  for (const [action, description] of Object.entries(actions)) actionVerb(verbs, ccr, action, description);
  verbs
    .add<{ file: string; output: string; domain?: string; forced?: boolean }>(
      ccr,
      'generate',
      'write one .ccr file for each name of a list, to be dropped into ccr.box of any site',
      [
        'pushpoint ccr generate -f names.txt -o ./out',
        'pushpoint ccr generate -f names.txt -o /srv/pushpoint/inboxes/ccr.box --forced',
      ],
      async (context, options) => {
        const names = namesFrom([], options.file);
        if (!names.length) throw usage(`${options.file} holds no name`);
        const result = await generateCcrFiles({
          names,
          folder: options.output,
          domain: options.domain,
          forced: options.forced === true,
        });
        if (context.json) printJson(result);
        else {
          print(`${result.written.length} CCR files written to ${options.output}.`);
          for (const bad of result.rejected) note(`${bad.name}: ${bad.reason}`);
        }
        return result.rejected.length ? EXIT.failed : EXIT.ok;
      },
    )
    .requiredOption('-f, --file <file>', 'names, one a line; - reads standard input')
    .requiredOption('-o, --output <dir>', 'folder to write to')
    .option('--domain <domain>', 'domain of the machines')
    .option('--forced', 'install even where a client is');
}

function actionVerb(verbs: Verbs, ccr: ReturnType<Verbs['group']>, action: string, description: string): void {
  verbs
    .add<{ dryRun?: boolean; file?: string }>(
      ccr,
      `${action} [names...]`,
      description,
      [`pushpoint ccr ${action} LAB-W11-01 --data ./p01`],
      (context, options, ...given) =>
        context.withApi(async (api) => {
          const names = namesFrom(given, options.file);
          if (!names.length) throw usage(`ccr ${action} needs at least one name`);
          const { items } = await api.send<{ items: { name: string; done: boolean; reason?: string }[] }>(
            'POST',
            `/ccrs/${action}`,
            { names, dryRun: options.dryRun === true },
          );
          if (context.json) printJson({ items });
          else
            for (const item of items)
              print(`${item.name}: ${item.done ? `${action} ${options.dryRun ? 'would be done' : 'done'}` : item.reason}`);
          return items.every((i) => i.done) ? EXIT.ok : EXIT.failed;
        }),
    )
    .option('-f, --file <file>', 'names, one a line; - reads standard input')
    .option('--dry-run', 'say what would be done');
}
