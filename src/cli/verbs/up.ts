import { runSite } from '#executive';
import { usage } from '../failure.ts';
import { EXIT, note, print, printJsonLine } from '../output.ts';
import type { Verbs } from '../verb.ts';

interface UpOptions {
  roles?: string;
  listen?: string;
  console?: string;
  database?: string;
  cert?: string;
  key?: string;
  listenHttps?: string;
  clientCa?: string;
  clientCrl?: string;
  verbose?: boolean;
}

/** upVerb: run a site. */
export function upVerb(verbs: Verbs): void {
  verbs
    .add<UpOptions>(undefined, {
      name: 'up',
      does: 'run the site in a data folder until it is stopped (Ctrl-C)',
      examples: [
        'pushpoint up --data ./p01',
        'pushpoint up --data ./p01 --listen-https 0.0.0.0:8443 --cert mp.pem --key mp.key',
        'pushpoint up --data ./p01 --listen-https 0.0.0.0:8443 --cert mp.pem --key mp.key --client-ca ca.pem --client-crl ca.crl',
        'pushpoint up --data ./p01 --roles ccm --database postgresql://pushpoint@db/pushpoint',
      ],
      takes: 'folder',
      async run(context, options) {
        const { listenHttps, cert, key, clientCa, clientCrl, roles, verbose, listen, console, database } = options;
        if (listenHttps === undefined && [cert, key, clientCa, clientCrl].some((file) => file !== undefined))
          throw usage('--cert, --key, --client-ca and --client-crl go with --listen-https HOST:PORT');
        const running = await runSite({
          data: context.folder(),
          listen,
          console,
          database,
          roles: roles?.split(',').map((role) => role.trim()),
          https:
            listenHttps === undefined
              ? undefined
              : { listen: listenHttps, certificateFile: cert, keyFile: key, clientCaFile: clientCa, clientCrlFile: clientCrl },
          verbose: verbose === true,
        });
        const { ready } = running;
        if (context.json) printJsonLine({ ready: true, ...ready });
        else {
          const at = (url: string | undefined) => url ?? 'not here';
          print(`ready: site ${ready.site}, points ${at(ready.points)}, API ${at(ready.console)}, data ${ready.data}`);
        }
        const signal = await running.stopped;
        note(`pushpoint: stopped${signal ? ` (${signal})` : ''}`);
        return EXIT.ok;
      },
    })
    .option('--roles <list>', 'only these roles: inbox, ccm, ddm, discovery, hierarchy, mp, slp, fsp, console (default: all)')
    .option('--listen <host:port>', 'where the points listen this time (default: as at site create)')
    .option('--console <host:port>', 'where the API listens this time (default: as at site create)')
    .option('--database <url>', 'an external PostgreSQL instead of the one in the data folder')
    .option('--listen-https <host:port>', 'serve the points over HTTPS here too, with --cert and --key')
    .option('--cert <file>', 'certificate chain, PEM')
    .option('--key <file>', 'private key, PEM')
    .option('--client-ca <file>', 'authorities whose client certificates are taken, PEM; native mode needs it')
    .option('--client-crl <file>', 'what they revoked, PEM; read again whenever it is replaced')
    .option('--verbose', 'write the log to standard error too');
}
