import { runDemo } from '../demo.ts';
import { askRepair, runLab } from '../lab.ts';
import { EXIT, note, print, printJson, printJsonLine } from '../output.ts';
import { numberOption, type Verbs } from '../verb.ts';

const HOSTS = 24;
const FOLDER = './lab';

/** labVerbs: lab up, lab repair, demo. */
export function labVerbs(verbs: Verbs): void {
  const lab = verbs.group('lab', 'Windows-like hosts on loopback to try things on');
  verbs
    .add<{ windows?: number; healthy?: boolean; folder?: string; port?: number }>(lab, {
      name: 'up',
      does: 'start lab hosts and write their import list, until stopped (Ctrl-C)',
      examples: ['pushpoint lab up --windows 24 --folder ./lab', 'pushpoint device import ./lab/devices.csv --data ./p01'],
      takes: 'nothing',
      async run(context, options) {
        const { ready, stopped } = await runLab({
          windows: options.windows ?? HOSTS,
          mix: options.healthy ? 'healthy' : 'mixed',
          folder: options.folder ?? FOLDER,
          port: options.port,
        });
        if (context.json) printJsonLine({ ready: true, ...ready });
        else {
          print(`${ready.hosts} lab hosts up; machines: ${ready.csv}`);
          print(`account ${ready.username}, password in ${ready.passwordFile}, package ${ready.package}`);
        }
        await stopped;
        note('pushpoint: lab stopped');
        return EXIT.ok;
      },
    })
    .addOption(numberOption('--windows <n>', `how many hosts (default ${HOSTS})`, 1, 1000))
    .addOption(numberOption('--port <n>', 'SMB port of all hosts (default: any that is free)', 1, 65535))
    .option('--healthy', 'no faulty ones among them')
    .option('--folder <dir>', `where the hosts keep their disks and the lists stand (default ${FOLDER})`);
  verbs
    .add<{ folder?: string }>(lab, {
      name: 'repair <names...>',
      does: 'take away what is wrong with hosts of a running lab',
      examples: ['pushpoint lab repair WS-0003 --folder ./lab'],
      takes: 'nothing',
      async run(context, options, ...names) {
        await askRepair(options.folder ?? FOLDER, names);
        if (context.json) printJson({ repaired: names });
        else print(`repaired: ${names.join(', ')}`);
        return EXIT.ok;
      },
    })
    .option('--folder <dir>', `folder of the lab (default ${FOLDER})`);
  verbs
    .add<{ windows?: number; exit?: boolean; folder?: string }>(undefined, {
      name: 'demo',
      does: 'everything at once: lab hosts, a site, a push to all of them; stays up to look around',
      examples: ['pushpoint demo', 'npm start'],
      takes: 'nothing',
      run: (context, options) =>
        runDemo({
          windows: options.windows ?? HOSTS,
          folder: options.folder,
          exit: options.exit === true,
          json: context.json,
        }),
    })
    .addOption(numberOption('--windows <n>', `how many lab hosts (default ${HOSTS})`, 1, 1000))
    .option('--folder <dir>', 'where the demo keeps its site and hosts (default .data/demo in the checkout)')
    .option('--exit', 'stop when every machine has its verdict');
}
