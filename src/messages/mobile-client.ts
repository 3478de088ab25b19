import * as Type from 'typebox';
import { raise } from '#base/errors';
import { FileName, Instant, MachineName, PointUrl, Sha256, SiteCode, TokenId, Version, matches, text } from './fields.ts';

const size = Type.Integer({ minimum: 1, maximum: 4_294_967_296 });

/** Prerequisite is a file that is installed before the payload, unless what `check` names is there: a path, or a registry key `HKLM\\…`. */
const Prerequisite = Type.Object({
  file: FileName,
  sha256: Sha256,
  size,
  command: text(1024),
  check: Type.Optional(text(500)),
});

/** Requires is what a machine must have before anything is brought (facts D5); what is not there is not asked for. */
export const Requires = Type.Object({
  minimumBuild: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000_000 })),
  architectures: Type.Optional(Type.Array(Type.String({ pattern: '^[A-Za-z0-9_-]{1,16}$' }), { minItems: 1, maxItems: 8 })),
  freeBytes: Type.Optional(Type.Integer({ minimum: 0, maximum: 999_999_999_999_999 })),
  /** Version of Windows Installer: 3.1 is 301. */
  windowsInstaller: Type.Optional(Type.Integer({ minimum: 100, maximum: 9999 })),
  noRestartPending: Type.Optional(Type.Boolean()),
});

/**
 * mobileclient.tcf (facts D1): the INI text that CCM lays beside ccmsetup over the signed SMB session. It is the trust anchor of a
 * deployment: where the MPs are, which file is the client and what its hash is, and which certificate to expect. The copy of one push also
 * carries that machine's one-time registration token.
 */
export const MobileClient = Type.Object({
  /** Installation properties, `SMSSITECODE=P01 …`; written as `Install=INSTALL=ALL <properties>`. */
  properties: text(2048),
  site: SiteCode,
  managementPoints: Type.Array(PointUrl, { minItems: 1, maxItems: 32 }),
  fallbackStatusPoint: Type.Optional(PointUrl),
  payload: Type.Object({
    file: FileName,
    sha256: Sha256,
    size,
    version: Version,
    /** Command that installs the file; without one the file is the agent itself. */
    command: Type.Optional(text(1024)),
  }),
  requires: Type.Optional(Requires),
  /** In the order in which they are installed. */
  prerequisites: Type.Optional(Type.Array(Prerequisite, { maxItems: 8 })),
  /**
   * Hex SHA-256 of the DER certificates that https MPs show, one for each certificate: the proxy MP of a secondary and the MP of its primary
   * have two. Any of them is right at any of the points. One key holds them, with commas between; a file with one is what it always was.
   */
  certificatePins: Type.Optional(Type.Array(Sha256, { minItems: 1, maxItems: 32 })),
  registration: Type.Optional(
    Type.Object({
      machine: MachineName,
      tokenId: TokenId,
      token: Type.String({ minLength: 16, maxLength: 128, pattern: '^[A-Za-z0-9_-]+$' }),
      expires: Instant,
    }),
  ),
});
export type MobileClient = Type.Static<typeof MobileClient>;

const LONGEST = 65_536;
const INSTALL = 'INSTALL=ALL';

function refuse(why: string): Error {
  return raise('PP_TCF_MALFORMED', { why });
}

/** plain lets through what an INI reader gives back as it was written: one line, no outer blanks, no outer quotes. */
function plain(key: string, value: string): string {
  if (/[\u0000-\u001f\u007f\u0085\u2028\u2029]/.test(value)) throw refuse(`${key} holds a control character`);
  if (value !== value.trim() || /^(["']).*\1$/.test(value)) throw refuse(`${key} has blanks or quotes around it`);
  return value;
}

/** writeMobileClient makes the file. Nothing in a value can start a line, a key or a section of its own: such values are refused. */
export function writeMobileClient(value: MobileClient): Uint8Array {
  if (!matches(MobileClient, value)) throw refuse(wrongPart(value));
  const { payload, registration } = value;
  const sections: [string, [string, string | undefined][]][] = [
    ['Client Install', [['Install', `${INSTALL} ${plain('Install', value.properties)}`.trim()]]],
    [
      'Site',
      [
        ['SiteCode', value.site],
        ['MP', value.managementPoints.join(';')],
        ['FSP', value.fallbackStatusPoint],
      ],
    ],
    [
      'Payload',
      [
        ['File', payload.file],
        ['SHA256', payload.sha256],
        ['Size', String(payload.size)],
        ['Version', payload.version],
        ['Command', payload.command],
      ],
    ],
    ...requirements(value),
    ['Trust', [['CertificatePin', value.certificatePins?.join(',')]]],
    [
      'Registration',
      registration
        ? [
            ['Machine', registration.machine],
            ['TokenId', registration.tokenId],
            ['Token', registration.token],
            ['Expires', registration.expires],
          ]
        : [],
    ],
    ['IDENT', [['TYPE', 'Target Configuration File']]],
  ];
  const lines: string[] = [];
  for (const [section, keys] of sections) {
    const present = keys.filter(([, v]) => v !== undefined && v !== '');
    if (present.length > 0) lines.push(`[${section}]`, ...present.map(([k, v]) => `${k}=${plain(k, v!)}`), '');
  }
  return encoded(lines.join('\r\n'));
}

function requirements({ requires, prerequisites }: MobileClient): [string, [string, string | undefined][]][] {
  const digits = (n: number | undefined) => (n === undefined ? undefined : String(n));
  return [
    [
      'Requires',
      [
        ['MinimumBuild', digits(requires?.minimumBuild)],
        ['Architectures', requires?.architectures?.join(';')],
        ['FreeBytes', digits(requires?.freeBytes)],
        ['WindowsInstaller', digits(requires?.windowsInstaller)],
        ['NoRestartPending', requires?.noRestartPending ? '1' : undefined],
      ],
    ],
    ...(prerequisites ?? []).map((one, i): [string, [string, string | undefined][]] => [
      `Prerequisite ${i + 1}`,
      [
        ['File', one.file],
        ['SHA256', one.sha256],
        ['Size', String(one.size)],
        ['Command', one.command],
        ['Check', one.check],
      ],
    ]),
  ];
}

/** encoded writes ASCII as it is and anything else as UTF-16LE with a BOM, which is what Windows' own INI reader takes. */
function encoded(ini: string): Uint8Array {
  if (/^[\u0000-\u007f]*$/.test(ini)) return new Uint8Array(Buffer.from(ini, 'ascii'));
  return new Uint8Array(Buffer.from(`\ufeff${ini}`, 'utf16le'));
}

function decoded(bytes: Uint8Array): string {
  if (bytes.length > LONGEST) throw refuse(`it is longer than ${LONGEST} bytes`);
  const [a, b] = bytes;
  if (a === 0xff && b === 0xfe) return new TextDecoder('utf-16le').decode(bytes);
  if (a === 0xfe && b === 0xff) return new TextDecoder('utf-16be').decode(bytes);
  // `[` or a line end, then a zero: UTF-16LE that lost its BOM.
  if (b === 0 && a !== undefined && a !== 0) return new TextDecoder('utf-16le').decode(bytes);
  return new TextDecoder('utf-8').decode(bytes);
}

/** readIni gives keys as `section.key` in lower case; of a repeated key the first counts, as in Windows' own reader. */
function readIni(ini: string): Map<string, string> {
  const values = new Map<string, string>();
  let section = '';
  for (const raw of ini.split(/\r\n|\n|\r/)) {
    const line = raw.trim();
    if (line === '' || line.startsWith(';') || line.startsWith('#')) continue;
    if (line.startsWith('[') && line.endsWith(']')) {
      section = line.slice(1, -1).trim().toLowerCase();
      continue;
    }
    const equals = line.indexOf('=');
    if (equals <= 0) continue;
    const key = `${section}.${line.slice(0, equals).trim().toLowerCase()}`;
    if (!values.has(key)) values.set(key, line.slice(equals + 1).trim());
  }
  return values;
}

/** readMobileClient takes a file of ours or one that somebody wrote by hand: BOM, UTF-16, bare LF, blanks and unknown keys are fine. */
export function readMobileClient(bytes: Uint8Array): MobileClient {
  const ini = readIni(decoded(bytes));
  const one = (key: string) => ini.get(key) || undefined;
  const install = one('client install.install') ?? INSTALL;
  const value = {
    properties: install.replace(/^INSTALL\s*=\s*ALL\b\s*/i, ''),
    site: one('site.sitecode')?.toUpperCase(),
    managementPoints: (one('site.mp') ?? '')
      .split(';')
      .map((mp) => mp.trim())
      .filter((mp) => mp !== ''),
    fallbackStatusPoint: one('site.fsp'),
    payload: {
      file: one('payload.file'),
      sha256: one('payload.sha256')?.toLowerCase(),
      size: Number(one('payload.size')),
      version: one('payload.version'),
      command: one('payload.command'),
    },
    requires: requiresOf(one),
    prerequisites: prerequisitesOf(one),
    certificatePins: pinsOf(one('trust.certificatepin')),
    registration: one('registration.tokenid')
      ? {
          machine: one('registration.machine'),
          tokenId: one('registration.tokenid'),
          token: one('registration.token'),
          expires: one('registration.expires'),
        }
      : undefined,
  };
  if (value.managementPoints.length === 0) throw refuse('it names no management point ([Site] MP)');
  const bare = JSON.parse(JSON.stringify(value)) as unknown;
  if (!matches(MobileClient, bare)) throw refuse(wrongPart(bare));
  return bare;
}

type One = (key: string) => string | undefined;

const numeric = (value: string | undefined) => (value === undefined ? undefined : Number(value));

/** pinsOf takes what people paste: with colons, blanks, capitals. An empty place in the list is no pin, and makes the file malformed. */
function pinsOf(list: string | undefined): string[] | undefined {
  return list?.split(',').map((pin) => pin.replace(/[:\s]/g, '').toLowerCase());
}

function requiresOf(one: One): unknown {
  const architectures = one('requires.architectures')?.split(/[;, ]+/);
  const pending = one('requires.norestartpending');
  const found = {
    minimumBuild: numeric(one('requires.minimumbuild')),
    ...(architectures && { architectures }),
    freeBytes: numeric(one('requires.freebytes')),
    windowsInstaller: numeric(one('requires.windowsinstaller')),
    ...(pending !== undefined && { noRestartPending: /^(1|true)$/i.test(pending) }),
  };
  return Object.values(found).some((value) => value !== undefined) ? found : undefined;
}

function prerequisitesOf(one: One): unknown {
  const found = [];
  for (let i = 1; one(`prerequisite ${i}.file`) !== undefined && i <= 9; i++)
    found.push({
      file: one(`prerequisite ${i}.file`),
      sha256: one(`prerequisite ${i}.sha256`)?.toLowerCase(),
      size: numeric(one(`prerequisite ${i}.size`)),
      command: one(`prerequisite ${i}.command`),
      check: one(`prerequisite ${i}.check`),
    });
  return found.length > 0 ? found : undefined;
}

function wrongPart(value: unknown): string {
  for (const [key, schema] of Object.entries(MobileClient.properties)) {
    const part = (value as Record<string, unknown>)[key];
    if (part !== undefined && !matches(schema, part)) return `${key} is not of the right form`;
    if (part === undefined && (MobileClient.required as string[]).includes(key)) return `${key} is missing`;
  }
  return 'it does not have the right form';
}
