/**
 * The installation properties of the client (facts D3), as they stand in mobileclient.tcf, on the command line of ccmsetup and in the site's
 * settings: `KEY=VALUE`, blanks between, a value with blanks in double quotes.
 */
export interface ClientProperties {
  /** SMSSITECODE: a site code, or AUTO for the site whose boundaries hold this machine. Absent: the site of mobileclient.tcf. */
  site?: string;
  /** SITEREASSIGN=TRUE: also where the client is assigned to another site already. */
  reassign: boolean;
  /** SMSMP: the management points to begin with. */
  points: string[];
  /** FSP. */
  fallbackStatusPoint?: string;
  /** SMSSLP: server locator points. */
  locators: string[];
  /** DNSSUFFIX: the domain in which the management points of a site are published. */
  dnsSuffix?: string;
  /** CCMCERTFILE: the certificate that this machine shows to points in native mode, PEM. */
  certificateFile?: string;
  /** CCMKEYFILE: its key, PEM; without it that in CCMCERTFILE. */
  certificateKeyFile?: string;
  /** RESETKEYINFORMATION=TRUE: forget the certificate that earlier installations pinned, and the key of the client. */
  resetKey: boolean;
  /** SMSCACHESIZE in megabytes. */
  cacheMegabytes?: number;
  /** CCMLOGLEVEL: 0 = everything … 3 = errors only. */
  logLevel?: number;
  /** CCMLOGMAXSIZE in octets, at least 10000. */
  logMaxSize?: number;
  /** CCMLOGMAXHISTORY: how many old files of each log are kept. */
  logMaxHistory?: number;
}

/** The port of a point named without one; the points listener of a site is there by default. */
const HTTP_PORT = 8480;
const HTTPS_PORT = 8443;

/** propertyMap takes `KEY=VALUE KEY="VALUE" …` apart; keys in upper case, of a repeated key the last counts. */
function propertyMap(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, key, quoted, bare] of text.matchAll(/(?:^|\s)([A-Za-z][A-Za-z0-9_]*)=(?:"([^"]*)"|(\S*))/g))
    found.set(key!.toUpperCase(), quoted ?? bare ?? '');
  return found;
}

/** readProperties reads what the client itself understands; a value that has no sense counts as absent. */
export function readProperties(text: string): ClientProperties {
  const map = propertyMap(text);
  const ports = { http: port(map.get('CCMHTTPPORT'), HTTP_PORT), https: port(map.get('CCMHTTPSPORT'), HTTPS_PORT) };
  const urls = (key: string) =>
    (map.get(key) ?? '')
      .split(';')
      .map((one) => pointUrl(one.trim(), ports))
      .filter((url) => url !== undefined);
  const [fallback] = urls('FSP');
  const site = map.get('SMSSITECODE')?.toUpperCase();
  const suffix = map.get('DNSSUFFIX');
  return {
    ...(site && { site }),
    reassign: isTrue(map.get('SITEREASSIGN')),
    points: urls('SMSMP'),
    ...(fallback !== undefined && { fallbackStatusPoint: fallback }),
    locators: urls('SMSSLP'),
    ...(suffix && /^[A-Za-z0-9.-]{1,253}$/.test(suffix) && { dnsSuffix: suffix }),
    ...paths(map),
    resetKey: isTrue(map.get('RESETKEYINFORMATION')),
    ...numbers(map),
  };
}

/** paths takes whole paths only: nobody knows in which folder a service stands. */
function paths(map: ReadonlyMap<string, string>): Partial<ClientProperties> {
  const path = (key: string) => {
    const text = map.get(key) ?? '';
    return /^(?:\/|[A-Za-z]:\\)[^\u0000-\u001f"]{1,1000}$/.test(text) ? text : undefined;
  };
  const certificateFile = path('CCMCERTFILE');
  const certificateKeyFile = path('CCMKEYFILE');
  return {
    ...(certificateFile !== undefined && { certificateFile }),
    ...(certificateKeyFile !== undefined && { certificateKeyFile }),
  };
}

function numbers(map: ReadonlyMap<string, string>): Partial<ClientProperties> {
  const within = (key: string, least: number, most: number) => {
    const text = map.get(key) ?? '';
    const n = /^\d{1,9}$/.test(text) ? Number(text) : -1;
    return n >= least && n <= most ? n : undefined;
  };
  const cacheMegabytes = within('SMSCACHESIZE', 1, 1_048_576);
  const logLevel = within('CCMLOGLEVEL', 0, 3);
  const logMaxSize = within('CCMLOGMAXSIZE', 10_000, 100_000_000);
  const logMaxHistory = within('CCMLOGMAXHISTORY', 0, 9);
  return {
    ...(cacheMegabytes !== undefined && { cacheMegabytes }),
    ...(logLevel !== undefined && { logLevel }),
    ...(logMaxSize !== undefined && { logMaxSize }),
    ...(logMaxHistory !== undefined && { logMaxHistory }),
  };
}

const isTrue = (text: string | undefined) => /^(true|1|yes)$/i.test(text ?? '');

function port(text: string | undefined, usual: number): number {
  const n = /^\d{1,5}$/.test(text ?? '') ? Number(text) : 0;
  return n >= 1 && n <= 65_535 ? n : usual;
}

/** pointUrl makes the address of a point of a name, a name with a port, or a whole address. */
function pointUrl(text: string, ports: { http: number; https: number }): string | undefined {
  const [, scheme = 'http', rest = ''] = /^(?:(https?):\/\/)?([A-Za-z0-9._:[\]-]+)\/?$/i.exec(text) ?? [];
  if (rest === '' || !/^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?$/.test(rest)) return undefined;
  const hasPort = /:\d+$/.test(rest.replace(/^\[.*\]/, ''));
  const lower = scheme.toLowerCase() === 'https' ? 'https' : 'http';
  return `${lower}://${rest}${hasPort ? '' : `:${ports[lower]}`}`;
}
