import * as Type from 'typebox';
import { Check, Errors } from 'typebox/value';
import { raise } from '#base/errors';
import { Targets } from './targets.ts';

/** METHODS are the discovery methods that run; Active Directory will be another one. Import and heartbeat bring machines without a run. */
export const METHODS = ['network'] as const;
export type MethodName = (typeof METHODS)[number];

const whole = (minimum: number, maximum: number) => Type.Integer({ minimum, maximum });
const Lines = Type.Array(Type.String({ minLength: 1, maxLength: 100 }), { maxItems: 10_000 });
const Port = Type.Union([Type.Literal(445), Type.Literal(22), Type.Literal(135)]);
export type ProbePort = Type.Static<typeof Port>;

const Network = Type.Object(
  {
    /** Networks, ranges and addresses that are asked, and those among them that are not. */
    targets: Lines,
    exclude: Lines,
    ports: Type.Array(Port, { minItems: 1, maxItems: 3, uniqueItems: true }),
    /** Where SMB is, if not on its usual port: lab hosts have one of their own. */
    smbPort: whole(1, 65_535),
    /** So many connections are begun in a second at most, */
    perSecond: whole(1, 20_000),
    /** and so many are open at once at most. */
    atOnce: whole(1, 16_384),
    /** How long an address may be silent. Below a second the system sends one packet for each connection, and no other one after it. */
    timeoutMs: whole(50, 30_000),
    /** Whether DNS is asked for names. */
    dns: Type.Boolean(),
    /** Whether machines whose name DNS confirms count as known from a trusted source. */
    trusted: Type.Boolean(),
  },
  { additionalProperties: false },
);
export type NetworkSettings = Type.Static<typeof Network>;
/** NetworkPatch names the settings that shall differ from what is stored. */
export type NetworkPatch = { [Key in keyof NetworkSettings]?: NetworkSettings[Key] | undefined };

const defaults: NetworkSettings = {
  targets: [],
  exclude: [],
  ports: [445, 22, 135],
  smbPort: 445,
  perSecond: 1000,
  atOnce: 2000,
  timeoutMs: 900,
  dns: true,
  trusted: false,
};

/** methodNamed lets in the name of a method, or raises PP_DISCOVERY_METHOD. */
export function methodNamed(given: string): MethodName {
  const name = METHODS.find((one) => one === given.toLowerCase());
  if (!name) throw raise('PP_DISCOVERY_METHOD', { method: given.slice(0, 40), methods: METHODS.join(', ') });
  return name;
}

/** networkSettings puts what is stored over the defaults and a patch over both; it raises PP_DISCOVERY_SETTING or what is wrong with a target. */
export function networkSettings(stored: object, patch: NetworkPatch = {}): NetworkSettings {
  const given = Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined));
  const result: unknown = { ...defaults, ...stored, ...given };
  if (!Check(Network, result)) {
    const [first] = Errors(Network, result);
    const setting = first?.instancePath.slice(1).replaceAll('/', '.').slice(0, 60) || 'settings';
    throw raise('PP_DISCOVERY_SETTING', { setting, why: first?.message ?? 'it does not have the right form' });
  }
  countOf(result);
  return result;
}

/** countOf tells how many addresses settings mean. */
export function countOf(settings: Pick<NetworkSettings, 'targets' | 'exclude'>): number {
  return new Targets(settings.targets, settings.exclude).count;
}
