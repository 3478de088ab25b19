import { EXIT, note, print, printJson } from '../output.ts';
import { numberOption, type Verbs } from '../program.ts';
import { runDemo } from '../demo.ts';
import { askRepair, runLab } from '../lab.ts';

/** labVerbs: lab up, demo. */
export function labVerbs(verbs: Verbs): void {
  const lab = verbs.group('lab', 'Windows-like hosts on loopback to try things on');
  verbs
    .add<{ windows?: number; healthy?: boolean; folder?: string; out?: string; port?: number }>(
      lab,
      'up',
      'start lab hosts and write their import list, until stopped (Ctrl-C)',
      ['pushpoint lab up --windows 24 --folder ./lab', 'pushpoint device import ./lab/devices.csv --data ./p01'],
      async (context, options) => {
        const running = await runLab({
          windows: options.windows ?? 24,
          mix: options.healthy ? 'healthy' : 'mixed',
          folder: options.folder ?? './lab',
          port: options.port,
        });
        if (context.json) print(JSON.stringify({ ready: true, ...running.ready }));
        else {
          print(`${running.ready.hosts} lab hosts up; machines: ${running.ready.csv}`);
          print(`account ${running.ready.username}, password in ${running.ready.passwordFile}, package ${running.ready.package}`);
        }
        await running.stopped;
        note('pushpoint: lab stopped');
        return EXIT.ok;
      },
    )
    .addOption(numberOption('--windows <n>', 'how many hosts (default 24)', 1, 1000))
    .addOption(numberOption('--port <n>', 'SMB port of all hosts (default 4450)', 1, 65535))
    .option('--healthy', 'no faulty ones among them')
    .option('--folder <dir>', 'where the hosts keep their disks and the lists stand (default ./lab)');
  verbs
    .add<{ folder?: string }>(
      lab,
      'repair <names...>',
      'take away what is wrong with hosts of a running lab',
      ['pushpoint lab repair WS-0003 --folder ./lab'],
      async (context, options, ...names) => {
        await askRepair(options.folder ?? './lab', names);
        if (context.json) printJson({ repaired: names });
        else print(`repaired: ${names.join(', ')}`);
        return EXIT.ok;
      },
    )
    .option('--folder <dir>', 'folder of the lab (default ./lab)');
  verbs
    .add<{ windows?: number; exit?: boolean; folder?: string }>(
      undefined,
      'demo',
      'everything at once: lab hosts, a site, a push to all of them; stays up to look around',
      ['pushpoint demo', 'npm start'],
      (context, options) =>
        runDemo({ windows: options.windows ?? 24, folder: options.folder, exit: options.exit === true, json: context.json }),
    )
    .addOption(numberOption('--windows <n>', 'how many lab hosts (default 24)', 1, 1000))
    .option('--folder <dir>', 'where the demo keeps its site and hosts (default .data/demo in the checkout)')
    .option('--exit', 'stop when every machine has its verdict');
}
