import type { Command } from 'commander';
import { usage } from './failure.ts';
import { linesFrom } from './names.ts';
import { DRY_RUN, numberOption } from './verb.ts';

/** DiscoverySettings is what a discovery method works with. */
export interface DiscoverySettings {
  targets: string[];
  exclude: string[];
  ports: number[];
  smbPort: number;
  perSecond: number;
  atOnce: number;
  timeoutMs: number;
  dns: boolean;
  trusted: boolean;
}

/** NetworkOptions are the options by which a command sets them. */
export interface NetworkOptions {
  exclude?: string;
  file?: string;
  ports?: string;
  smbPort?: number;
  rate?: number;
  atOnce?: number;
  timeout?: number;
  dns?: boolean;
  trusted?: boolean;
  wait?: boolean;
  dryRun?: boolean;
}

/** withNetworkOptions gives a verb the options of network discovery; a run can be waited for, a setting can be taken back. */
export function withNetworkOptions(command: Command, isRun: boolean): Command {
  return command
    .option('--exclude <list>', 'networks, ranges and addresses that are left out, with commas')
    .option('-f, --file <file>', 'targets, one a line; - reads standard input')
    .option('--ports <list>', 'which of 445,22,135 are asked, in this order (default: all)')
    .addOption(numberOption('--smb-port <n>', 'where SMB is, if not on 445; lab hosts have one of their own', 1, 65_535))
    .addOption(numberOption('--rate <n>', 'connections begun in a second, at most (default 1000)', 1, 20_000))
    .addOption(numberOption('--at-once <n>', 'connections open at once, at most (default 2000)', 1, 16_384))
    .addOption(numberOption('--timeout <ms>', 'how long an address may be silent (default 900)', 50, 30_000))
    .option('--dns', 'ask DNS for names (default)')
    .option('--no-dns', 'ask DNS for no names')
    .option('--trusted', 'machines whose name DNS confirms count as trusted; read docs/discovery.md first')
    .option(...DRY_RUN)
    .option(
      isRun ? '--wait' : '--no-trusted',
      isRun ? 'wait until it is over; exit code 1 unless it is done' : 'take --trusted back',
    );
}

/** patchOf gives the settings that were named on the command line. */
export async function patchOf(options: NetworkOptions, given: readonly string[]): Promise<Partial<DiscoverySettings>> {
  const targets = [...given.flatMap((one) => one.split(',')), ...(await linesFrom(options.file))].filter((one) => one !== '');
  const ports = options.ports?.split(',').map((one) => Number(one.trim()));
  if (ports?.some((port) => ![445, 22, 135].includes(port))) throw usage('--ports takes 445, 22 and 135');
  const patch: { [Key in keyof DiscoverySettings]?: DiscoverySettings[Key] | undefined } = {
    targets: targets.length > 0 ? targets : undefined,
    exclude: options.exclude
      ?.split(',')
      .map((one) => one.trim())
      .filter(Boolean),
    ports,
    smbPort: options.smbPort,
    perSecond: options.rate,
    atOnce: options.atOnce,
    timeoutMs: options.timeout,
    dns: options.dns,
    trusted: options.trusted,
  };
  return Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined));
}

/** minutesOf reads 30, 30m, 12h or 7d in minutes; off is 0. */
export function minutesOf(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (text === 'off') return 0;
  const [, number, unit] = /^(\d{1,6})([mhd]?)$/.exec(text) ?? [];
  const minutes = Number(number) * { m: 1, h: 60, d: 1440, '': 1 }[(unit ?? '') as 'm' | 'h' | 'd' | ''];
  if (number === undefined || minutes < 1 || minutes > 525_600)
    throw usage(`${flag}: ${text.slice(0, 40)} is not a time from 1m to 365d, like 30m, 12h or 7d; or off`);
  return minutes;
}

/** every says how often something happens. */
export function every(minutes: number): string {
  if (minutes === 0) return 'never';
  if (minutes % 1440 === 0) return `every ${minutes / 1440}d`;
  return minutes % 60 === 0 ? `every ${minutes / 60}h` : `every ${minutes}m`;
}
