import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { openApi, type Api, type Where } from './api.ts';
import { EXIT, usage } from './output.ts';
import { accountVerbs } from './verbs/account.ts';
import { ccrVerbs } from './verbs/ccr.ts';
import { clientVerbs } from './verbs/client.ts';
import { completionVerb } from './verbs/completion.ts';
import { deviceVerbs } from './verbs/device.ts';
import { labVerbs } from './verbs/lab.ts';
import { packageVerbs } from './verbs/package.ts';
import { pushVerbs } from './verbs/push.ts';
import { siteVerbs } from './verbs/site.ts';
import { upVerb } from './verbs/up.ts';

/** What every verb gets: its own options, the global ones, and a way to the API. */
export interface Context {
  json: boolean;
  data: string | undefined;
  /** withApi opens the API, hands it over, and closes what it opened. The result is the exit code. */
  withApi(work: (api: Api) => Promise<number>): Promise<number>;
}

/** Run is the body of a verb; it gives the exit code. */
export type Run<O> = (context: Context, options: O, ...args: string[]) => Promise<number>;

/** Verbs is how the files in verbs/ add theirs. */
export interface Verbs {
  group(name: string, description: string): Command;
  add<O>(parent: Command | undefined, signature: string, description: string, examples: string[], run: Run<O>): Command;
}

const version = (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;

/** WHERE_OPTIONS are taken by every verb that talks to a site. */
function withWhere(command: Command): Command {
  return command
    .option('--data <dir>', 'the site in this folder (running or not); or PUSHPOINT_DATA')
    .option('--server <url>', 'the console listener of a site server elsewhere; or PUSHPOINT_SERVER')
    .option('--token-file <file>', 'file with the API token, with --server; or PUSHPOINT_TOKEN_FILE')
    .option('--json', 'print JSON instead of tables');
}

class Builder implements Verbs {
  readonly program = new Command('pushpoint');
  exitCode: number = EXIT.ok;

  constructor() {
    this.program
      .description(
        'Client deployment: finds machines, pushes the client, proves that it runs, keeps trying, notices when it is gone.',
      )
      .version(version)
      .showSuggestionAfterError(true)
      .enablePositionalOptions()
      .exitOverride()
      .configureHelp({ sortSubcommands: false, showGlobalOptions: false });
  }

  group(name: string, description: string): Command {
    return this.program.command(name).description(description).exitOverride();
  }

  add<O>(parent: Command | undefined, signature: string, description: string, examples: string[], run: Run<O>): Command {
    const command = withWhere((parent ?? this.program).command(signature))
      .description(description)
      .exitOverride();
    if (examples.length) command.addHelpText('after', `\nExamples:\n${examples.map((e) => `  $ ${e}`).join('\n')}`);
    command.action(async (...given: unknown[]) => {
      const options = command.opts<O & Where & { json?: boolean }>();
      const args = given.slice(0, -2).flat() as string[];
      const context: Context = {
        json: options.json === true,
        data: options.data ?? process.env['PUSHPOINT_DATA'],
        async withApi(work) {
          const api = await openApi(options);
          try {
            return await work(api);
          } finally {
            await api.close();
          }
        },
      };
      this.exitCode = await run(context, options, ...args);
    });
    return command;
  }
}

/** Program runs a command line and gives its exit code. */
export interface Program {
  command: Command;
  run(args: string[]): Promise<number>;
}

/** buildProgram puts all verbs together. */
export function buildProgram(): Program {
  const builder = new Builder();
  siteVerbs(builder);
  upVerb(builder);
  deviceVerbs(builder);
  accountVerbs(builder);
  packageVerbs(builder);
  pushVerbs(builder);
  ccrVerbs(builder);
  clientVerbs(builder);
  labVerbs(builder);
  completionVerb(builder, () => builder.program);
  return {
    command: builder.program,
    async run(args) {
      try {
        await builder.program.parseAsync(args.length ? args : ['--help'], { from: 'user' });
        return builder.exitCode;
      } catch (error) {
        // commander has printed its help or its complaint already.
        if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
        throw error;
      }
    },
  };
}

/** numberOption reads a whole number between two bounds. */
export function numberOption(flags: string, description: string, least: number, most: number): Option {
  return new Option(flags, description).argParser((text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least || value > most)
      throw usage(`${flags}: ${text} is not a whole number from ${least} to ${most}`);
    return value;
  });
}
