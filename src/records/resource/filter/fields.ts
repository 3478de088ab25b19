/** FieldType says how the values of a field are written and compared. */
export type FieldType = 'text' | 'one of' | 'yes or no' | 'number' | 'version' | 'time' | 'address' | 'list';

/** Alike says with what a property is kept together that many machines have alike. */
export type Alike = 'system' | 'place';

/** Field is one property that a filter may ask for. Its SQL stands here and nowhere else: r is the resource, c its newest client. */
export interface Field {
  name: string;
  type: FieldType;
  /** What it is, for people. */
  says: string;
  /** How a value is written, for errors. */
  wants: string;
  sql: string;
  /** Upper case of a text, where it is not upper(sql): a column with an index. */
  key?: string;
  choices?: readonly string[];
  /** Many machines have it alike: it is a column of resource_system, or of resource_place, too. */
  alike?: Alike;
  /** How a value of a list is written in the database, where an index finds it. */
  value?: (text: string) => string;
  /** A table, n, that has an index of its values that are rare, how its rows belong to a machine, and the value in it; exact where it
   *  has all that decides. */
  near?: { from: string; sql: string; key?: string; exact?: true };
  /** A few machines at most have the same value, and an index finds them. */
  narrow?: true;
  /** The server knows how many machines any test of it fits, and has an index to find them. */
  known?: true;
  /** The newest client of the machine must be joined. */
  client?: true;
  /** It changes without the machine or its client being changed. */
  moving?: true;
}

/** The install flag, as DeviceClient has it. */
export const FLAGGED = `(c.believed is true and (r.client_cleared_at is null or c.last_seen_at > r.client_cleared_at)
  or r.seen_client_version is not null and (r.client_cleared_at is null or r.seen_at > r.client_cleared_at))`;

const WANTS: Record<FieldType, string> = {
  text: 'a text; like takes * and ?',
  'one of': 'one of the words of the field',
  'yes or no': 'yes or no',
  number: 'a whole number',
  version: 'a version such as 10.0.22631',
  time: 'a date such as 2026-01-31, a time such as 2026-01-31T08:00:00Z, or an age such as 30d, 12h, 45m',
  address: 'an address such as 10.1.2.3, or a network such as 10.1.0.0/16',
  list: 'a text; like takes * and ?',
};

type More = Partial<Omit<Field, 'name' | 'type' | 'says' | 'sql'>>;
const field = (name: string, type: FieldType, sql: string, says: string, more: More = {}): Field => ({
  name,
  type,
  says,
  sql,
  wants: more.choices ? more.choices.join(', ') : WANTS[type],
  ...more,
});

const SEEN = 'coalesce(c.last_seen_at, r.seen_at)';
const LIVE = '(select q.state from ccr q where q.resource_id = r.id and q.finished_at is null limit 1)';
const client = { client: true } as const;
const CLIENT = 'client n where n.resource_id = r.id and not n.obsolete';
const nearClient = (column: string) => ({
  ...client,
  near: { from: CLIENT, sql: `n.${column}` },
});
const system = { alike: 'system' } as const;
const place = { alike: 'place' } as const;
const narrow = { narrow: true } as const;

/** FIELDS are all properties that a filter may ask for; what is not here cannot be asked for. */
export const FIELDS: readonly Field[] = [
  field('name', 'text', 'r.name', 'name of the machine', { key: 'r.name_key', known: true, ...narrow }),
  field('domain', 'text', "nullif(r.domain_key, '')", 'domain or workgroup', { key: "nullif(r.domain_key, '')", ...place }),
  field('fqdn', 'text', 'r.fqdn', 'full DNS name', { key: 'r.fqdn_key', ...narrow }),
  field('guid', 'text', 'r.guid', 'GUID of the machine', { key: 'r.guid', ...narrow }),
  field('hardwareId', 'text', 'r.hardware_id', 'what stays when it is installed anew', {
    key: 'r.hardware_id',
    ...narrow,
  }),
  field('address', 'address', 'r.addresses', 'any of its IP addresses', { known: true, ...narrow }),
  field('mac', 'list', 'r.macs', 'any of its MAC addresses, as 00:15:5D:01:02:03', {
    value: (text) =>
      /^([0-9a-f]{2}[:.-]?){6}$/i.test(text)
        ? text.replace(/[:.-]/g, '').toUpperCase().match(/../g)!.join(':')
        : text.toUpperCase(),
    ...narrow,
  }),
  field('os', 'text', 'r.os', 'operating system', system),
  field('osVersion', 'version', 'r.os_version', 'version of the operating system', system),
  field('osBuild', 'number', 'r.os_build', 'build of the operating system, as a push saw it', system),
  field('architecture', 'text', 'r.architecture', 'architecture, as a push saw it', system),
  field('type', 'one of', 'r.type', 'type of the machine', {
    choices: ['workstation', 'server', 'dc', 'unknown'],
    ...system,
  }),
  field('adSite', 'text', 'r.ad_site', 'site of Active Directory', place),
  field('ou', 'text', 'r.ou', 'its place in a directory', place),
  field('assignedSite', 'text', 'r.assigned_site', 'site that its boundaries assign it to', {
    key: 'r.assigned_site',
    ...place,
  }),
  field('trusted', 'yes or no', 'r.trusted', 'a trusted source knows it', system),
  field(
    'source',
    'list',
    '(select array_agg(s.method) from resource_source s where s.resource_id = r.id)',
    'discovery methods that found it',
  ),
  field(
    'discovered',
    'time',
    '(select max(s.at) from resource_source s where s.resource_id = r.id)',
    'when a discovery method found it last',
    {
      moving: true,
    },
  ),
  field('created', 'time', 'r.created_at', 'when it was first known here'),
  field('changed', 'time', 'r.changed_at', 'when something about it changed last'),
  field('smbPort', 'number', 'r.smb_port', 'port of SMB where it is not 445'),
  field('sshPort', 'number', 'r.ssh_port', 'port of SSH where it is not 22'),
  field('ccr', 'one of', LIVE, 'state of its live CCR; null where there is none', {
    choices: ['queued', 'processing', 'verifying', 'retry', 'waiting', 'paused'],
    moving: true,
    near: { from: 'ccr n where n.resource_id = r.id and n.finished_at is null', sql: 'n.state', exact: true },
  }),
  field('lastSeen', 'time', SEEN, 'when its client was heard last', client),
  field('client.installed', 'yes or no', FLAGGED, 'it is flagged as installed', client),
  field('client.version', 'version', 'coalesce(c.version, r.seen_client_version)', 'version of its client', client),
  field('client.site', 'text', 'coalesce(c.site, r.seen_client_site)', 'site of its client', client),
  field('client.guid', 'text', 'c.guid', 'GUID of its client', {
    ...client,
    near: { from: CLIENT, sql: 'n.guid', key: 'n.guid' },
    key: 'c.guid',
    ...narrow,
  }),
  field('client.approval', 'one of', 'c.approval', 'approval of its client', {
    ...nearClient('approval'),
    choices: ['approved', 'pending', 'rejected'],
  }),
  field('client.blocked', 'yes or no', 'coalesce(c.blocked, false)', 'its client is blocked', nearClient('blocked')),
  field('client.lastSeen', 'time', SEEN, 'the same as lastSeen', client),
];

/** Names that the JSON of a machine has and that people will copy from there. */
const ALSO: Record<string, string> = {
  addresses: 'address',
  ip: 'address',
  macs: 'mac',
  site: 'assignedSite',
  sources: 'source',
  'client.lastseenat': 'lastSeen',
  lastseenat: 'lastSeen',
};

const byName = new Map(FIELDS.map((one) => [one.name.toLowerCase(), one]));

/** FIELD_NAMES are the names of all fields. */
export const FIELD_NAMES: readonly string[] = FIELDS.map(({ name }) => name);

/** fieldOf finds a field by its name, in upper or lower case. */
export function fieldOf(name: string): Field | undefined {
  const key = name.toLowerCase();
  return byName.get(key) ?? byName.get((Object.hasOwn(ALSO, key) ? ALSO[key]! : '').toLowerCase());
}

/** steps is how many letters must be added, taken away or changed between two words (Levenshtein), at most 40 letters long. */
function steps(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

/** nearest gives the word of a list that was probably meant, or undefined when none is near. */
export function nearest(given: string, words: readonly string[]): string | undefined {
  const text = given.toLowerCase();
  if (text.length < 2 || text.length > 40) return undefined;
  const tail = words.find((word) => word.toLowerCase().endsWith(`.${text}`));
  const ranked = words.map((word) => ({ word, far: steps(text, word.toLowerCase()) })).toSorted((a, b) => a.far - b.far)[0]!;
  if (ranked.far <= Math.max(1, Math.floor(text.length / 3))) return ranked.word;
  return tail ?? words.find((word) => word.toLowerCase().startsWith(text) || text.startsWith(word.toLowerCase()));
}
