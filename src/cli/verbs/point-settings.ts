import type { Command } from 'commander';
import { EXIT, fields, printDone, printJson } from '../output.ts';
import { DRY_RUN, numberOption, type Verbs } from '../verb.ts';

interface PointsJson {
  mode: 'mixed' | 'native';
  bandwidth: number;
  clientBandwidth: number;
}

interface Options {
  mode?: string;
  bandwidth?: number;
  clientBandwidth?: number;
  dryRun?: boolean;
}

/** The widest line that a setting can name, in kilobits in a second. */
const WIDEST = 100_000_000;

const rateText = (kilobits: number): string => (kilobits === 0 ? 'no limit' : `${kilobits} kbit/s`);

/** pointSettingsVerb: point settings, how the points of this site answer. */
export function pointSettingsVerb(verbs: Verbs, point: Command): void {
  verbs
    .add<Options>(point, {
      name: 'settings',
      does: 'show or change how the points of this site answer: mixed or native mode, and the bandwidth for client files',
      examples: [
        'pushpoint point settings --data ./p01',
        'pushpoint point settings --mode native --data ./p01',
        'pushpoint point settings --bandwidth 200000 --client-bandwidth 20000 --data ./p01',
      ],
      run: (context, { mode, bandwidth, clientBandwidth, dryRun }) =>
        context.withApi(async (api) => {
          const changes = Object.fromEntries(
            Object.entries({ mode, bandwidth, clientBandwidth }).filter(([, value]) => value !== undefined),
          );
          const isChange = Object.keys(changes).length > 0;
          const { points } = isChange
            ? await api.send<{ points: PointsJson }>('PATCH', '/settings', { points: changes }, { dryRun })
            : await api.get<{ points: PointsJson }>('/settings');
          if (context.json) printJson(points);
          else {
            if (isChange) printDone('The points were set so:', dryRun);
            fields([
              ['mode', points.mode],
              ['bandwidth', `${rateText(points.bandwidth)} for each process with points`],
              ['client-bandwidth', `${rateText(points.clientBandwidth)} for each client`],
            ]);
          }
          return EXIT.ok;
        }),
    })
    .option('--mode <mode>', 'mixed: HTTP and HTTPS; native: HTTPS with client certificates only')
    .addOption(
      numberOption('--bandwidth <kbit>', 'kilobits of client files in a second, of one process in all; 0 = no limit', 0, WIDEST),
    )
    .addOption(numberOption('--client-bandwidth <kbit>', 'the same for one client', 0, WIDEST))
    .option(...DRY_RUN);
}
