import { raise } from '#base/errors';

/** SetupOptions is what the command line of ccmsetup asks for (facts D2); the program in C (native/ccmsetup) takes the same. */
export interface SetupOptions {
  uninstall: boolean;
  /** Install again even if this version is installed. */
  force: boolean;
  /** Do nothing where a client is installed, of whatever version. */
  logon: boolean;
  help: boolean;
  /** Minutes between two rounds of download tries. */
  retryMinutes: number;
  /** Minutes until the download is given up. */
  downloadMinutes: number;
  /** Management points to download from, instead of those in the file. */
  points: string[];
  /** Folders to take the files from, before any management point is asked. */
  sources: string[];
  /** Another mobileclient.tcf; a bare name lies beside ccmsetup. */
  config: string | undefined;
  /** Names of checks (os, disk, installer, restart) and of prerequisites to leave out, in lower case. */
  skip: string[];
  /** NAME=value properties, which take the place of those in the file; undefined: those of the file count. */
  properties: string | undefined;
}

const MOST_SOURCES = 8;
const PRIORITIES = /^(?:foreground|high|normal|low)$/i;

const minutes = (value: string, most: number): number | undefined => {
  const number = /^\d{1,6}$/.test(value) ? Number(value) : 0;
  return number >= 1 && number <= most ? number : undefined;
};

/** flags are the parameters without a value; those that have no meaning here are taken, so that old command lines work. */
const flags: Record<string, (options: SetupOptions) => void> = {
  uninstall: (o) => void (o.uninstall = true),
  forceinstall: (o) => void (o.force = true),
  logon: (o) => void (o.logon = true),
  '?': (o) => void (o.help = true),
  runservice: () => {},
  service: () => {},
  noservice: () => {},
};

/** valued are the parameters with a value; false refuses it. */
const valued: Record<string, (options: SetupOptions, value: string) => unknown> = {
  retry: (o, value) => (o.retryMinutes = minutes(value, 1440) ?? 0),
  downloadtimeout: (o, value) => (o.downloadMinutes = minutes(value, 43_200) ?? 0),
  config: (o, value) => (o.config = value),
  source: (o, value) => o.sources.push(value) <= MOST_SOURCES,
  skipprereq: (o, value) => (o.skip = value.toLowerCase().split(';')),
  // BITS is not used: downloads give way by the management point's bandwidth limits.
  bitspriority: (_o, value) => PRIORITIES.test(value),
  mp: (o, value) => {
    o.points = value.split(';').filter((point) => /^https?:\/\/[^\s/]+$/.test(point));
    return o.points.length > 0;
  },
};

function read(options: SetupOptions, argument: string): boolean {
  if (!/^[/-]/.test(argument)) return property(options, argument);
  const [, name = '', colon, value = ''] = /^[/-]([A-Za-z]+|\?)(?:(:)(.*))?$/.exec(argument) ?? [];
  const key = name.toLowerCase();
  if (colon === undefined) {
    const flag = Object.hasOwn(flags, key) ? flags[key] : undefined;
    flag?.(options);
    return flag !== undefined;
  }
  const take = Object.hasOwn(valued, key) ? valued[key] : undefined;
  return value !== '' && take !== undefined && Boolean(take(options, value));
}

function property(options: SetupOptions, argument: string): boolean {
  const [, name, value = ''] = /^([A-Za-z0-9_]+)=([^"]*)$/.exec(argument) ?? [];
  if (name === undefined) return false;
  const one = /\s|^$/.test(value) ? `${name}="${value}"` : argument;
  options.properties = options.properties === undefined ? one : `${options.properties} ${one}`;
  return options.properties.length <= 2048;
}

/** readOptions reads the arguments; what it does not know raises PP_SETUP_COMMAND_LINE, because guessing installs the wrong thing. */
export function readOptions(args: readonly string[]): SetupOptions {
  const options: SetupOptions = {
    uninstall: false,
    force: false,
    logon: false,
    help: false,
    retryMinutes: 10,
    downloadMinutes: 1440,
    points: [],
    sources: [],
    config: undefined,
    skip: [],
    properties: undefined,
  };
  for (const argument of args) if (!read(options, argument)) throw raise('PP_SETUP_COMMAND_LINE', { argument });
  return options;
}

/** usage is what `ccmsetup /?` prints. */
export const usage = [
  'ccmsetup [parameters] [PROPERTY=value …]: installs the client that mobileclient.tcf beside it names.',
  '  /mp:URL[;URL]            take the files from these management points',
  '  /source:FOLDER           take the files from a folder first; may be repeated',
  '  /retry:MINUTES           between two rounds of downloads (10)',
  '  /downloadtimeout:MINUTES until the download is given up (1440)',
  '  /config:FILE             another mobileclient.tcf',
  '  /forceinstall            install again what is there already',
  '  /logon                   do nothing where a client is installed',
  '  /skipprereq:NAME[;NAME]  leave out checks (os, disk, installer, restart) or prerequisites',
  '  /uninstall               remove the client and all it left',
  '  /service /noservice /BITSPriority:P   taken, without a meaning here',
  'Return codes: 0 done, 6 failed, 7 restart needed, 8 another ccmsetup runs, 9 prerequisite not met, 10 wrong hash.',
];
