import { Command, CommanderError } from 'commander';
import { usage } from './failure.ts';
import { EXIT } from './output.ts';
import { accountVerbs } from './verbs/account.ts';
import { boundaryVerbs } from './verbs/boundary.ts';
import { backupVerb } from './verbs/backup.ts';
import { ccrVerbs, waveVerbs } from './verbs/ccr.ts';
import { clientVerbs } from './verbs/client.ts';
import { collectionVerbs } from './verbs/collection.ts';
import { policyVerbs } from './verbs/policy.ts';
import { completionVerb } from './verbs/completion.ts';
import { dbVerbs } from './verbs/db.ts';
import { doctorVerb } from './verbs/doctor.ts';
import { deviceVerbs } from './verbs/device.ts';
import { discoverVerbs } from './verbs/discover.ts';
import { labVerbs } from './verbs/lab.ts';
import { packageVerbs } from './verbs/package.ts';
import { fspVerbs } from './verbs/fsp.ts';
import { pointVerbs } from './verbs/point.ts';
import { pushVerbs } from './verbs/push.ts';
import { reportVerbs } from './verbs/report.ts';
import { restoreVerb } from './verbs/restore.ts';
import { siteVerbs } from './verbs/site.ts';
import { upVerb } from './verbs/up.ts';
import { vaultVerbs } from './verbs/vault.ts';
import type { Context, Takes, Verb, Verbs } from './verb.ts';
import { version } from './version.ts';
import { idleFolder, openApi, whereOf, type Where } from './where.ts';

const FIRST_STEPS = `
First steps:
  $ pushpoint demo                                            everything at once, on this machine alone
  $ pushpoint site create P01 --data /srv/pushpoint
  $ pushpoint point set mp --address http://$(hostname -f):8480 --data /srv/pushpoint
  $ pushpoint up --data /srv/pushpoint

Exit codes: 0 done, 1 some of it failed, 2 wrong use. PUSHPOINT_DATA stands for --data, PUSHPOINT_SERVER and PUSHPOINT_TOKEN_FILE for
--server and --token-file.`;

/** What people type who know other programs, and which verb does it here. */
const MEANT: Record<string, string> = {
  status: 'doctor, or ccr list',
  health: 'doctor',
  check: 'doctor',
  deploy: 'push',
  install: 'push',
  queue: 'ccr list',
  jobs: 'ccr list',
  start: 'up',
  serve: 'up',
  run: 'up',
  init: 'site create',
  create: 'site create',
  import: 'device import',
  scan: 'discover network',
  discovery: 'discover',
  settings: 'site settings',
  config: 'site settings',
  machine: 'device',
  machines: 'device list',
  host: 'device',
  hosts: 'device list',
  computer: 'device',
  computers: 'device list',
  agent: 'client',
  agents: 'client list',
  uninstall: 'client uninstall',
  upgrade: 'client upgrade',
  mp: 'point set mp',
};

const WHERE = ['data', 'server', 'tokenFile'] as const;

function withOptions(command: Command, takes: Takes): Command {
  if (takes !== 'nothing')
    command.option(
      '--data <dir>',
      takes === 'site'
        ? 'the site in this folder, running or not; or PUSHPOINT_DATA'
        : 'data folder of the site; or PUSHPOINT_DATA',
    );
  if (takes === 'site')
    command
      .option('--server <url>', 'the console listener of a site server elsewhere; or PUSHPOINT_SERVER')
      .option('--token-file <file>', 'file with the API token, with --server; or PUSHPOINT_TOKEN_FILE');
  return command.option('--json', 'print JSON instead of text');
}

class Builder implements Verbs {
  readonly program = new Command('pushpoint');
  exitCode: number = EXIT.ok;

  constructor() {
    withOptions(this.program, 'site');
    for (const option of this.program.options) option.hideHelp();
    this.#quiet(this.program)
      .description(
        'Client deployment: finds machines, pushes the client, proves that it runs, keeps trying, notices when it is gone.',
      )
      .version(version)
      .enablePositionalOptions()
      .addHelpText('after', FIRST_STEPS);
  }

  /** Complaints are thrown, so that they look like all others and are JSON where JSON is wanted; help is printed. */
  #quiet(command: Command): Command {
    return command
      .exitOverride()
      .showSuggestionAfterError(true)
      .configureOutput({ outputError: () => {} })
      .configureHelp({ sortSubcommands: false });
  }

  group(name: string, does: string): Command {
    return this.#quiet(this.program.command(name)).description(does);
  }

  add<O>(parent: Command | undefined, verb: Verb<O>): Command {
    const { takes = 'site', examples, run } = verb;
    const command = this.#quiet(withOptions((parent ?? this.program).command(verb.name), takes)).description(verb.does);
    if (examples.length) command.addHelpText('after', `\nExamples:\n${examples.map((e) => `  $ ${e}`).join('\n')}`);
    command.action(async (...given: unknown[]) => {
      const options = command.opts<O & Where & { json?: boolean }>();
      // Options may stand before the verb, and before the verb of a verb.
      const before = {
        ...this.program.opts<Where & { json?: boolean }>(),
        ...parent?.opts<Where & { json?: boolean }>(),
      };
      const where = { ...before, ...options };
      const args = given.slice(0, -2).flat() as string[];
      const called = parent ? `${parent.name()} ${command.name()}` : command.name();
      if (takes === 'nothing' && WHERE.some((key) => before[key] !== undefined))
        throw usage(`${called} works on no site, so it takes no --data or --server`);
      this.exitCode = await run(contextOf(called, where), options, ...args);
    });
    return command;
  }
}

function contextOf(verb: string, where: Where & { json?: boolean }): Context {
  return {
    json: where.json === true,
    folder() {
      if (where.server !== undefined) throw usage(`${verb} works on a folder of this machine: --data DIR, not --server`);
      const data = where.data ?? process.env['PUSHPOINT_DATA'];
      if (!data) throw usage(`${verb} needs --data DIR (or PUSHPOINT_DATA)`);
      return whereOf({ data }).data!;
    },
    idleFolder: () => idleFolder(where),
    async withApi(work) {
      const api = await openApi(where);
      try {
        return await work(api);
      } finally {
        await api.close();
      }
    },
  };
}

/** Program runs a command line and gives its exit code. */
export interface Program {
  run(args: string[]): Promise<number>;
}

/** buildProgram puts all verbs together. */
export function buildProgram(): Program {
  const builder = new Builder();
  siteVerbs(builder);
  pointVerbs(builder);
  upVerb(builder);
  boundaryVerbs(builder);
  deviceVerbs(builder);
  discoverVerbs(builder);
  collectionVerbs(builder);
  accountVerbs(builder);
  vaultVerbs(builder);
  packageVerbs(builder);
  pushVerbs(builder);
  ccrVerbs(builder);
  waveVerbs(builder);
  doctorVerb(builder);
  clientVerbs(builder);
  policyVerbs(builder);
  fspVerbs(builder);
  reportVerbs(builder);
  backupVerb(builder);
  restoreVerb(builder);
  dbVerbs(builder);
  labVerbs(builder);
  completionVerb(builder, () => builder.program);
  return {
    async run(args) {
      // Help about a verb that is not there must not look as if it were.
      const isLost = args[0] === 'help' && !builder.program.commands.some((one) => one.name() === args[1]);
      if (isLost && args[1] !== undefined && !args[1].startsWith('-')) args = args.slice(1);
      try {
        await builder.program.parseAsync(args.length ? args : ['--help'], { from: 'user' });
        return builder.exitCode;
      } catch (error) {
        if (!(error instanceof CommanderError)) throw error;
        if (error.exitCode === 0) return EXIT.ok;
        // A group without a verb has printed its help, which says more than a complaint.
        if (error.code === 'commander.help') return EXIT.usage;
        const why = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
        // What resembles nothing has no suggestion: then the verbs of the group are few enough to be named.
        const group = builder.program.commands.find((one) => one.commands.length > 0 && args.includes(one.name()));
        if (error.code !== 'commander.unknownCommand') throw usage(why);
        const meant = group === undefined ? MEANT[/'(\w+)'/.exec(why)?.[1]?.toLowerCase() ?? ''] : undefined;
        if (meant !== undefined) throw usage(`${why.replace(/ \(Did you mean .*/, '')}; perhaps pushpoint ${meant}`);
        if (why.includes('Did you mean')) throw usage(why);
        const { commands } = group ?? builder.program;
        throw usage(`${why}; ${group?.name() ?? 'pushpoint'} has ${commands.map((one) => one.name()).join(', ')}`);
      }
    },
  };
}
