import { EXIT, noteMore, printJson, table } from '../output.ts';
import { numberOption, type Verbs } from '../verb.ts';

interface StateJson {
  receivedAt: string;
  sender: string;
  name: string;
  topicType: number;
  stateId: number;
  text?: string;
  exitCode?: number;
  detail?: string;
}

/** fspVerbs: fsp list. */
export function fspVerbs(verbs: Verbs): void {
  const fsp = verbs.group('fsp', 'what was said at the fallback status point, unsigned');
  verbs
    .add<{ name?: string; failed?: boolean; limit?: number; cursor?: string }>(fsp, {
      name: 'list',
      does: 'state messages of the fallback status point, the newest first; nobody proved them',
      examples: ['pushpoint fsp list --failed --data ./p01', 'pushpoint fsp list --name LAB-W11-01 --data ./p01'],
      run: (context, { name, failed, ...page }) =>
        context.withApi(async (api) => {
          const list = await api.list<StateJson>('/fallback-status', { name, failed: failed ? 'true' : undefined }, page);
          if (context.json) printJson(list);
          else
            table(
              ['RECEIVED', 'FROM', 'NAME', 'STATE', 'MEANING'],
              list.items.map((s) => [s.receivedAt, s.sender, s.name, `${s.topicType}/${s.stateId}`, meaning(s)]),
              'nothing was said there: pushpoint point set fsp --address URL tells clients where it is',
            );
          if (!context.json) noteMore(list.next);
          return EXIT.ok;
        }),
    })
    .option('--name <name>', 'only of the machine of this short name')
    .option('--failed', 'only deployments and assignments that failed')
    .addOption(numberOption('--limit <n>', 'one page of this many', 1, 1000))
    .option('--cursor <text>', 'the page after the one whose `next` this was');
}

function meaning({ text, exitCode, detail }: StateJson): string {
  const code = exitCode === undefined || exitCode === 0 ? '' : ` (code ${exitCode})`;
  return `${text ?? ''}${code}${detail ? `: ${detail}` : ''}`;
}
