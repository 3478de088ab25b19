import { Option, type Command } from 'commander';
import type { Api } from './api.ts';
import { usage } from './failure.ts';

/** What every verb gets: the global options, and a way to the API. */
export interface Context {
  json: boolean;
  /** The data folder, for verbs that work on one; those that talk to a site use `withApi`. */
  folder(): string;
  /** idleFolder is the data folder where one was named and no site server serves it; undefined where one does, or it is elsewhere. */
  idleFolder(): Promise<string | undefined>;
  /** withApi opens the API, hands it over, and closes what it opened. The result is the exit code. */
  withApi(work: (api: Api) => Promise<number>): Promise<number>;
}

/** Run is the body of a verb; it gives the exit code. */
type Run<O> = (context: Context, options: O, ...args: string[]) => Promise<number>;

/** Takes tells what a verb works on: a site wherever it is, a data folder on this machine, or neither. */
export type Takes = 'site' | 'folder' | 'nothing';

/** Verb is one verb: its name with its arguments, what it does, how it is used. */
export interface Verb<O> {
  name: string;
  does: string;
  examples: string[];
  takes?: Takes;
  run: Run<O>;
}

/** Verbs is how the files in verbs/ add theirs. */
export interface Verbs {
  group(name: string, does: string): Command;
  add<O>(parent: Command | undefined, verb: Verb<O>): Command;
}

/** numberOption is an option whose value is a whole number between two bounds. */
export function numberOption(flags: string, description: string, least: number, most: number): Option {
  return new Option(flags, description).argParser((given) => {
    // What was cut out of a file with Windows' line ends brings one along.
    const text = given.trim();
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most)
      throw usage(`${flags}: ${text.slice(0, 40)} is not a whole number from ${least} to ${most}`);
    return value;
  });
}

/** DRY_RUN is the option of every verb that changes something; the site tries the change and takes it back. */
export const DRY_RUN = ['--dry-run', 'say what would become of it, change nothing'] as const;

/** FILTER says what --filter takes, wherever machines are picked. */
export const FILTER =
  'machines that fit: a part of the name, an address, or a filter such as type = server and not client.installed (docs/collections.md)';
