import { runSite } from '#executive';
import { EXIT, note, print, usage } from '../output.ts';
import type { Verbs } from '../program.ts';

/** upVerb: run a site. */
export function upVerb(verbs: Verbs): void {
  verbs
    .add<{ roles?: string; database?: string; cert?: string; key?: string; listenHttps?: string; verbose?: boolean }>(
      undefined,
      'up',
      'run the site in a data folder until it is stopped (Ctrl-C)',
      ['pushpoint up --data ./p01', 'pushpoint up --data ./p01 --roles ccm --database postgresql://pushpoint@db/pushpoint'],
      async (context, options) => {
        if (!context.data) throw usage('up needs --data DIR');
        const running = await runSite({
          data: context.data,
          roles: options.roles?.split(',').map((role) => role.trim()),
          database: options.database,
          https:
            options.listenHttps === undefined
              ? undefined
              : { listen: options.listenHttps, certificateFile: options.cert, keyFile: options.key },
          verbose: options.verbose === true,
        });
        const { ready } = running;
        if (context.json) print(JSON.stringify({ ready: true, ...ready }));
        else
          print(
            `ready: site ${ready.site}, points ${ready.points ?? 'not here'}, API ${ready.console ?? 'not here'}, data ${ready.data}`,
          );
        const signal = await running.stopped;
        note(`pushpoint: stopped${signal ? ` (${signal})` : ''}`);
        return EXIT.ok;
      },
    )
    .option('--roles <list>', 'only these roles: ccm, inbox, mp, console (default: all)')
    .option('--database <url>', 'an external PostgreSQL instead of the one in the data folder')
    .option('--listen-https <host:port>', 'serve the points over HTTPS here too, with --cert and --key')
    .option('--cert <file>', 'certificate chain, PEM')
    .option('--key <file>', 'private key, PEM')
    .option('--verbose', 'write the log to standard error too');
}
