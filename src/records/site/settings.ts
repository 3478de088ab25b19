import { isIP } from 'node:net';
import * as Type from 'typebox';
import { Check, Errors } from 'typebox/value';
import { raise } from '#base/errors';
import { namePattern, shownName } from '#records/resource';

const whole = (minimum: number, maximum: number) => Type.Integer({ minimum, maximum });
const strict = { additionalProperties: false };

/** The settings of a site; each has its range here, so that no reader has to doubt one. */
const Settings = Type.Object(
  {
    /** Site-wide push; explicit CCRs are worked whether it is on or not. */
    push: Type.Object(
      {
        enabled: Type.Boolean(),
        systems: Type.Array(Type.Union([Type.Literal('workstations'), Type.Literal('servers'), Type.Literal('dcs')]), {
          maxItems: 3,
          uniqueItems: true,
        }),
        /** Whether machines that a point of a site stands on are taken too, whatever their type. */
        siteSystems: Type.Boolean(),
        /** Installation properties, as they stand on the command line of the client's installer. */
        properties: Type.String({ maxLength: 4096, pattern: '^[^\\u0000-\\u001f\\u007f]*$' }),
        /** Names and patterns of machines that are never pushed to, whoever asks: NAS boxes, appliances (`ExcludeServers` of 2003, facts B7). */
        exclude: Type.Array(Type.String({ minLength: 1, maxLength: 253, pattern: '^[A-Za-z0-9*?.-]+$' }), {
          maxItems: 1000,
          uniqueItems: true,
        }),
        package: Type.Optional(Type.String({ minLength: 1, maxLength: 64, pattern: '^[A-Za-z0-9][A-Za-z0-9 ._-]*$' })),
      },
      strict,
    ),
    ccr: Type.Object(
      {
        smsPost: Type.Union([Type.Literal('off'), Type.Literal('known'), Type.Literal('authenticated')]),
        retryMinutes: whole(1, 10_080),
        maxAttempts: whole(1, 10_000),
        windowDays: whole(1, 365),
        eventAfterHours: whole(1, 8760),
        verifyMinutes: Type.Array(whole(1, 10_080), { minItems: 1, maxItems: 32 }),
        jitterPercent: whole(0, 50),
        concurrency: whole(1, 4096),
        perSubnet: whole(1, 4096),
        perAccount: whole(1, 4096),
        /** Over all processes of the site; `concurrency` is that of one process. */
        perSite: whole(1, 65_536),
        /** How many machines that are away are asked in a minute whether they are back; 0 = none. */
        presencePerMinute: whole(0, 60_000),
        /** Nothing is claimed: a stop of all new attempts of the site. */
        held: Type.Boolean(),
        probeMs: whole(50, 60_000),
        lockMinutes: whole(1, 1440),
        tokenHours: whole(1, 8760),
      },
      strict,
    ),
    client: Type.Object(
      {
        heartbeatMinutes: whole(1, 129_600),
        /** How often a client asks for its policy without being told that it changed. */
        policyMinutes: whole(1, 129_600),
        /** Who is approved without a person: nobody, those that proved themselves, or everybody (facts F1). */
        approval: Type.Union([Type.Literal('manual'), Type.Literal('proven'), Type.Literal('all')]),
        /** What becomes of a hardware id that another client has: a record of its own, or a person decides (facts F3). */
        conflicts: Type.Union([Type.Literal('automatic'), Type.Literal('manual')]),
        /** Whether a machine that a push proved and that was installed anew keeps its record. */
        reimage: Type.Union([Type.Literal('keep'), Type.Literal('new')]),
        /** Whether an address from which a blocked client was heard last still gets the client files. */
        blockedContent: Type.Union([Type.Literal('serve'), Type.Literal('refuse')]),
        logLevel: Type.Optional(whole(0, 3)),
        cacheMegabytes: Type.Optional(whole(1, 1_048_576)),
      },
      strict,
    ),
    /** How points answer; a rate of 0 is without a limit. */
    points: Type.Object(
      {
        /** Native: clients come over HTTPS with a certificate, and else not (2007). */
        mode: Type.Union([Type.Literal('mixed'), Type.Literal('native')]),
        /** Kilobits of content in a second: of one process in all, and to one client. */
        bandwidth: whole(0, 100_000_000),
        clientBandwidth: whole(0, 100_000_000),
        /** What the ends of logs may take that come to the fallback status point; of one network an eighth of it. */
        fallbackMegabytes: whole(1, 1_048_576),
      },
      strict,
    ),
    /** Who may read /metrics without a token: addresses and CIDRs. */
    metrics: Type.Object(
      {
        open: Type.Array(Type.String({ minLength: 2, maxLength: 60, pattern: '^[0-9a-fA-F.:]+(/\\d{1,3})?$' }), { maxItems: 32 }),
      },
      strict,
    ),
    /** After how many days each task acts; 0 is off. */
    maintenance: Type.Object(
      {
        clearInstallFlagDays: whole(0, 3650),
        deleteAgedDiscoveryDays: whole(0, 3650),
        deleteInactiveClientDays: whole(0, 3650),
        deleteObsoleteClientDays: whole(0, 3650),
        deleteUnapprovedClientDays: whole(0, 3650),
        deleteClientHistoryDays: whole(0, 3650),
        deleteStateMessageDays: whole(0, 3650),
        deleteFinishedCcrDays: whole(0, 3650),
      },
      strict,
    ),
  },
  strict,
);
export type SiteSettings = Type.Static<typeof Settings>;

/** defaultSettings are those of 2003 where it had one (facts B2, H). */
export const defaultSettings: SiteSettings = {
  push: { enabled: false, systems: ['workstations', 'servers'], siteSystems: false, properties: '', exclude: [] },
  ccr: {
    smsPost: 'known',
    retryMinutes: 60,
    maxAttempts: 168,
    windowDays: 7,
    eventAfterHours: 24,
    verifyMinutes: [1, 2, 5, 15],
    jitterPercent: 5,
    concurrency: 256,
    perSubnet: 32,
    perAccount: 128,
    perSite: 4096,
    presencePerMinute: 500,
    held: false,
    probeMs: 2000,
    lockMinutes: 15,
    tokenHours: 168,
  },
  client: {
    heartbeatMinutes: 10_080,
    policyMinutes: 60,
    approval: 'proven',
    conflicts: 'automatic',
    reimage: 'keep',
    blockedContent: 'serve',
  },
  points: { mode: 'mixed', bandwidth: 0, clientBandwidth: 0, fallbackMegabytes: 1024 },
  metrics: { open: [] },
  maintenance: {
    clearInstallFlagDays: 0,
    deleteAgedDiscoveryDays: 90,
    deleteInactiveClientDays: 0,
    deleteObsoleteClientDays: 0,
    deleteUnapprovedClientDays: 90,
    deleteClientHistoryDays: 365,
    deleteStateMessageDays: 90,
    deleteFinishedCcrDays: 90,
  },
};

/** SettingsPatch names the settings that shall change; `null` takes an optional one away. */
export type SettingsPatch = {
  [Group in keyof SiteSettings]?: { [Key in keyof SiteSettings[Group]]?: SiteSettings[Group][Key] | null };
};

/** Stored settings are those that differ from the defaults, so that a better default reaches old sites. */
export type StoredSettings = { [group: string]: { [key: string]: unknown } };

/** settingsOf puts what is stored over the defaults. */
export function settingsOf(stored: StoredSettings): SiteSettings {
  const all = structuredClone(defaultSettings) as unknown as StoredSettings;
  for (const [group, values] of Object.entries(stored)) if (all[group]) Object.assign(all[group], values);
  return all as unknown as SiteSettings;
}

/** patched gives what is to be stored after a patch, or raises PP_SITE_SETTING with the first thing that is wrong. */
export function patched(stored: StoredSettings, patch: SettingsPatch): StoredSettings {
  const next = structuredClone(stored);
  for (const [group, values] of Object.entries(patch) as [string, { [key: string]: unknown } | undefined][]) {
    // Own names only: `constructor` would reach the prototype of every object.
    if (!Object.hasOwn(defaultSettings, group))
      throw raise('PP_SITE_SETTING', { setting: group.slice(0, 40), why: 'there is no such group of settings' });
    if (typeof values !== 'object' || values === null)
      throw raise('PP_SITE_SETTING', { setting: group.slice(0, 40), why: 'it is not a group of settings' });
    const kept = (next[group] ??= {});
    for (const [key, value] of Object.entries(values)) {
      if (value === null) delete kept[key];
      else if (value !== undefined) kept[key] = value;
    }
  }
  const result: unknown = {
    ...settingsOf(next),
    ...Object.fromEntries(Object.entries(next).filter(([g]) => !(g in defaultSettings))),
  };
  if (!Check(Settings, result)) {
    const errors = Errors(Settings, result);
    const [first] = errors;
    const setting = first?.instancePath.slice(1).replaceAll('/', '.').slice(0, 60) ?? 'settings';
    throw raise('PP_SITE_SETTING', { setting, why: whyWrong(errors) });
  }
  checkPeriods(result);
  checkOpen(result);
  return next;
}

const DAY_MINUTES = 1440;
/** These act on what was written down, whether a client is heard or not. */
const OF_RECORDS = new Set(['deleteClientHistoryDays', 'deleteStateMessageDays', 'deleteFinishedCcrDays']);

/** A client is silent for a whole heartbeat between two signs of life: a task that acts sooner would act on healthy ones (facts F9). */
function checkPeriods({ maintenance, client }: SiteSettings): void {
  for (const [task, days] of Object.entries(maintenance))
    if (!OF_RECORDS.has(task) && days > 0 && days * DAY_MINUTES <= client.heartbeatMinutes) {
      const why = `${days} days is no longer than client.heartbeatMinutes, ${client.heartbeatMinutes} minutes, so it would take clients that are well`;
      throw raise('PP_SITE_SETTING', { setting: `maintenance.${task}`, why });
    }
}

const WHAT_OPENS = 'it takes addresses and networks, such as 10.1.0.7 or 10.2.0.0/16';

/** What looks like an address and is none would let in nobody, and nobody would know why. */
function checkOpen({ metrics }: SiteSettings): void {
  const wrong = metrics.open.find((one) => {
    const [address = '', bits] = one.split('/');
    const version = isIP(address);
    return version === 0 || (bits !== undefined && Number(bits) > (version === 4 ? 32 : 128));
  });
  if (wrong !== undefined)
    throw raise('PP_SITE_SETTING', { setting: 'metrics.open', why: `${WHAT_OPENS}, not ${shownName(wrong)}` });
}

type Wrong = ReturnType<typeof Errors>[number];

/** whyWrong says what is wrong with the first setting of a list of errors, with its values where there are few. */
function whyWrong([first, ...rest]: Wrong[]): string {
  if (first?.keyword === 'boolean') return 'there is no such setting';
  if (first?.keyword === 'pattern' && first.instancePath.startsWith('/metrics/open/')) return WHAT_OPENS;
  if (first?.keyword !== 'const') return first?.message ?? 'it does not have the right form';
  const values = [first, ...rest].flatMap((e) =>
    e.keyword === 'const' && e.instancePath === first.instancePath ? [e.params] : [],
  );
  return `it is one of ${values.map(({ allowedValue }) => String(allowedValue)).join(', ')}`;
}

/** excludedBy is the pattern of `push.exclude` that keeps a machine from ever being pushed to, by any of its names; undefined where none does. */
export function excludedBy(
  settings: Pick<SiteSettings, 'push'>,
  machine: { name: string; domain?: string | undefined; others?: readonly string[] | undefined },
): string | undefined {
  return settings.push.exclude.find((pattern) => {
    const fits = namePattern(pattern);
    return fits(machine.name, machine.domain) || (machine.others ?? []).some((name) => fits(name));
  });
}
