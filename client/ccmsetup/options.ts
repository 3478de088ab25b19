import { raise } from '#base/errors';

/** SetupOptions is what the command line of ccmsetup asks for (facts D2). Properties do not stand there: they come with mobileclient.tcf. */
export interface SetupOptions {
  uninstall: boolean;
  /** Install again even if this version is installed. */
  force: boolean;
  /** Minutes between two rounds of download tries. */
  retryMinutes: number;
  /** Minutes until the download is given up. */
  downloadMinutes: number;
  /** Management points to download from, instead of those in the file. */
  points: string[];
  /** Another mobileclient.tcf; a bare name lies beside ccmsetup. */
  config: string | undefined;
}

const minutes = (argument: string, value: string, most: number): number => {
  const number = /^\d{1,6}$/.test(value) ? Number(value) : 0;
  if (number < 1 || number > most) throw raise('PP_SETUP_COMMAND_LINE', { argument });
  return number;
};

/** readOptions reads the arguments; what it does not know raises PP_SETUP_COMMAND_LINE, because guessing installs the wrong thing. */
export function readOptions(args: readonly string[]): SetupOptions {
  const options: SetupOptions = {
    uninstall: false,
    force: false,
    retryMinutes: 10,
    downloadMinutes: 1440,
    points: [],
    config: undefined,
  };
  for (const argument of args) {
    const [, name = '', value = ''] = /^[/-]([A-Za-z]+)(?::(.*))?$/.exec(argument) ?? [];
    switch (name.toLowerCase()) {
      case 'uninstall':
        options.uninstall = true;
        break;
      case 'forceinstall':
        options.force = true;
        break;
      // The service manager starts the program so; nothing to do about it here.
      case 'runservice':
      case 'service':
        break;
      case 'retry':
        options.retryMinutes = minutes(argument, value, 1440);
        break;
      case 'downloadtimeout':
        options.downloadMinutes = minutes(argument, value, 43_200);
        break;
      case 'mp':
        options.points = value.split(';').filter((point) => /^https?:\/\/[^\s/]+$/.test(point));
        if (options.points.length === 0) throw raise('PP_SETUP_COMMAND_LINE', { argument });
        break;
      case 'config':
        if (value === '') throw raise('PP_SETUP_COMMAND_LINE', { argument });
        options.config = value;
        break;
      default:
        throw raise('PP_SETUP_COMMAND_LINE', { argument });
    }
  }
  return options;
}
