import type { Command } from 'commander';
import { usage } from '../failure.ts';
import { EXIT, fields, note, printDone, printJson } from '../output.ts';
import { DRY_RUN, type Verbs } from '../verb.ts';

interface ApprovalJson {
  mode: string;
  counts: { approved: number; pending: number; rejected: number; blocked: number; conflicts: number };
}

const MODES: Record<string, string> = {
  manual: 'nobody without a person',
  proven: 'clients that proved themselves by the token of a push; a person approves the rest',
  all: 'everybody who registers',
};

/** approvalVerb: site approval, who is approved without a person. */
export function approvalVerb(verbs: Verbs, site: Command): void {
  verbs
    .add<{ dryRun?: boolean }>(site, {
      name: 'approval [mode]',
      does: 'show or set who is approved without a person: manual, proven (as it is by itself) or all',
      examples: ['pushpoint site approval --data ./p01', 'pushpoint site approval manual --data ./p01'],
      run: (context, { dryRun }, mode) => {
        if (mode !== undefined && !Object.hasOwn(MODES, mode)) throw usage(`the mode is one of ${Object.keys(MODES).join(', ')}`);
        return context.withApi(async (api) => {
          if (mode !== undefined) await api.send('PATCH', '/settings', { client: { approval: mode } }, { dryRun });
          const { mode: now, counts } = await api.get<ApprovalJson>('/clients/approval');
          const shown = dryRun ? (mode ?? now) : now;
          if (context.json) printJson({ mode: shown, counts });
          else {
            if (mode !== undefined) printDone(`approval is ${shown}.`, dryRun);
            fields([
              ['approved by itself', MODES[shown] ?? shown],
              ['approved', counts.approved],
              ['pending', counts.pending],
              ['rejected', counts.rejected],
              ['blocked', counts.blocked],
              ['conflicts', counts.conflicts],
            ]);
          }
          if (shown === 'all')
            note(
              'Anybody who reaches a management point gets all policy of this site, secrets too: use this in closed networks only.',
            );
          return EXIT.ok;
        });
      },
    })
    .option(...DRY_RUN);
}
