import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Argument } from 'commander';
import { usage } from '../failure.ts';
import { EXIT, note, printDone, printJson, table } from '../output.ts';
import { DRY_RUN, type Verbs } from '../verb.ts';
import { pointSettingsVerb } from './point-settings.ts';

interface PointJson {
  kind: string;
  address: string;
  on: boolean;
  pin?: string;
}

/** pinOf reads what --pin was given: the file of a certificate, its SHA-256 with or without colons, or `none`. */
function pinOf(given: string | undefined): string | undefined {
  if (given === undefined) return undefined;
  if (given === 'none') return '';
  const hex = given.replaceAll(':', '').toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hex)) return hex;
  try {
    return new X509Certificate(readFileSync(given)).fingerprint256.replaceAll(':', '').toLowerCase();
  } catch {
    throw usage(`--pin wants the file of a certificate in PEM form, its SHA-256 in hex, or none; not ${given}`);
  }
}

function isLoopback(address: string): boolean {
  return /^(localhost|127\.[\d.]+|\[::1\])$/.test(new URL(address).hostname);
}

/** pointVerbs: point set, settings, list. */
export function pointVerbs(verbs: Verbs): void {
  const point = verbs.group('point', 'the points of this site');
  verbs
    .add<{ address?: string; off?: boolean; pin?: string; dryRun?: boolean }>(point, {
      name: 'set',
      does: 'say where clients reach a point (mp, slp, fsp), or switch it off',
      examples: [
        'pushpoint point set mp --address http://mp.corp.example:8480 --data ./p01',
        'pushpoint point set mp --address https://mp.corp.example:8443 --pin chain.pem --data ./p01',
        'pushpoint point set fsp --address http://fsp.corp.example:8480 --data ./p01',
        'pushpoint point set mp --off --data ./p01',
      ],
      run: (context, options, kind) =>
        context.withApi(async (api) => {
          if (options.address === undefined && options.pin === undefined && !options.off)
            throw usage('point set needs --address URL, --pin or --off');
          const pin = pinOf(options.pin);
          const made = await api.send<PointJson>(
            'PUT',
            `/points/${encodeURIComponent(kind)}`,
            {
              address: options.address,
              on: options.off ? false : options.address === undefined ? undefined : true,
              pin,
            },
            { dryRun: options.dryRun },
          );
          if (made.on && isLoopback(made.address))
            note(`only this machine reaches ${made.address}; for clients elsewhere give the name that they know this server by`);
          if (context.json) printJson(made);
          else if (!made.on) printDone(`The ${kind} is off.`, options.dryRun);
          else
            printDone(
              `Clients reach the ${kind} at ${made.address}${made.pin ? `, only with the certificate ${made.pin}` : ''}.`,
              options.dryRun,
            );
          return EXIT.ok;
        }),
    })
    .addArgument(new Argument('<kind>', 'mp, slp or fsp').choices(['mp', 'slp', 'fsp']))
    .option('--address <url>', 'URL that clients can reach, with the intranet name of the server')
    .option('--pin <certificate>', 'the certificate clients have to be shown there: PEM file or SHA-256; none takes the pin away')
    .option('--off', 'switch the point off')
    .option(...DRY_RUN);
  pointSettingsVerb(verbs, point);
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
