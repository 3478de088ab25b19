import { Argument } from 'commander';
import { usage } from '../failure.ts';
import { EXIT, print, printJson, table } from '../output.ts';
import type { Verbs } from '../verb.ts';

interface PointJson {
  kind: string;
  address: string;
  on: boolean;
}

/** pointVerbs: point set, list. */
export function pointVerbs(verbs: Verbs): void {
  const point = verbs.group('point', 'the points of this site');
  verbs
    .add<{ address?: string; off?: boolean }>(point, {
      name: 'set',
      does: 'say where clients reach a point (mp, slp, fsp), or switch it off',
      examples: [
        'pushpoint point set mp --address http://mp.corp.example:8480 --data ./p01',
        'pushpoint point set mp --off --data ./p01',
      ],
      run: (context, options, kind) =>
        context.withApi(async (api) => {
          if (options.address === undefined && !options.off) throw usage('point set needs --address URL or --off');
          const made = await api.send<PointJson>('PUT', `/points/${encodeURIComponent(kind)}`, {
            address: options.address,
            on: options.off !== true,
          });
          if (context.json) printJson(made);
          else print(made.on ? `Clients reach the ${kind} at ${made.address}.` : `The ${kind} is off.`);
          return EXIT.ok;
        }),
    })
    .addArgument(new Argument('<kind>', 'mp, slp or fsp').choices(['mp', 'slp', 'fsp']))
    .option('--address <url>', 'URL that clients can reach, with the intranet name of the server')
    .option('--off', 'switch the point off');
  verbs.add(point, {
    name: 'list',
    does: 'the points of this site',
    examples: ['pushpoint point list --data ./p01'],
    run: (context) =>
      context.withApi(async (api) => {
        const { items } = await api.get<{ items: PointJson[] }>('/points');
        if (context.json) printJson({ items });
        else
          table(
            ['POINT', 'ON', 'ADDRESS'],
            items.map((p) => [p.kind, p.on ? 'yes' : 'no', p.address]),
            'no points yet: pushpoint point set mp --address URL',
          );
        return EXIT.ok;
      }),
  });
}
