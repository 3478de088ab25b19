import { shownName } from './names.ts';
import type { ParsedDevices } from './parse.ts';
import type { RawDevice } from './row.ts';

/** Flags of properties (facts A6): they say which properties tell machines apart. */
const FLAG = { guid: 0x2, key: 0x8 } as const;

type Text = 'name' | 'domain' | 'fqdn' | 'guid' | 'hardwareId' | 'os' | 'adSite' | 'ou';
type List = 'addresses' | 'macs';

/** Names of properties, lower case and without anything but letters, and what they are here. */
const TEXTS: Record<string, Text> = {
  netbiosname: 'name',
  name: 'name',
  resourcedomainorworkgroup: 'domain',
  domain: 'domain',
  fqname: 'fqdn',
  resourcenames: 'fqdn',
  smsuniqueidentifier: 'guid',
  smsuuid: 'guid',
  hardwareid: 'hardwareId',
  smbiosguid: 'hardwareId',
  operatingsystemnameandversion: 'os',
  operatingsystem: 'os',
  platformid: 'os',
  adsitename: 'adSite',
  adsite: 'adSite',
  systemouname: 'ou',
  systemcontainername: 'ou',
};
const LISTS: Record<string, List> = {
  ipaddresses: 'addresses',
  ipaddress: 'addresses',
  macaddresses: 'macs',
  macaddress: 'macs',
};

/** A DDR of discovery has about a kilobyte; a property with more values than this is none. */
const VALUES = 256;

interface Property {
  flags: number;
  name: string;
  values: string[];
}

interface Draft {
  line: number;
  architecture: string;
  properties: Property[];
  wrong: string | undefined;
  at: string | undefined;
  complete: boolean;
}

/** isClassicDdr tells whether text is the old form of a DDR, which begins with the kind of thing it is about. */
export function isClassicDdr(text: string): boolean {
  return /^\s*<[^<>\r\n]+>[ \t]*(\r?\n|\r)\s*(BEGIN_PROPERTY|AGENTINFO)/.test(text);
}

/** parseClassic reads DDRs in the text form of the original, one after the other in a file. */
export function parseClassic(text: string): ParsedDevices {
  const parsed: ParsedDevices = { rows: [], rejected: [], ignored: [] };
  const ignored = new Set<string>();
  for (const draft of draftsOf(text)) {
    const row = rowOf(draft, ignored);
    if ('reason' in row) parsed.rejected.push(row);
    else parsed.rows.push(row);
  }
  parsed.ignored = [...ignored].map(shownName);
  return parsed;
}

function* draftsOf(text: string): Generator<Draft> {
  let draft: Draft | undefined;
  let property: Property | undefined;
  let inside = false;
  const lines = text.split(/\r\n|\n|\r/);
  for (const [i, raw] of lines.entries()) {
    const line = raw.trim();
    if (line === '' || /^(FEOF|BEGIN_ARRAY_VALUES|END_ARRAY_VALUES)$/.test(line)) continue;
    const kind = /^<([^<>]+)>$/.exec(line)?.[1];
    if (kind !== undefined && !inside) {
      if (draft) yield draft;
      draft = { line: i + 1, architecture: kind, properties: [], wrong: undefined, at: undefined, complete: false };
      continue;
    }
    draft ??= { line: i + 1, architecture: '', properties: [], wrong: undefined, at: undefined, complete: false };
    if (line === 'BEGIN_PROPERTY') {
      if (inside) draft.wrong ??= `in line ${i + 1} a property begins within another one`;
      [inside, property] = [true, undefined];
    } else if (line === 'END_PROPERTY') {
      if (!property) draft.wrong ??= `in line ${i + 1} a property ends that has no line of its own`;
      [inside, property] = [false, undefined];
    } else if (inside) property = readProperty(line, i + 1, draft, property);
    else if (line.startsWith('AGENTINFO')) readAgent(line, i + 1, draft);
    else draft.wrong ??= `line ${i + 1} is neither a property nor AGENTINFO`;
  }
  if (draft && inside) draft.wrong ??= 'it is cut off within a property';
  if (draft) yield draft;
}

/** `<flags><name><type><width><value>`; the further values of a list follow in lines of their own. */
function readProperty(line: string, at: number, draft: Draft, open: Property | undefined): Property | undefined {
  const fields = /^<([^<>]*)><([^<>]*)><([^<>]*)><([^<>]*)>(?:<(.*)>)?$/.exec(line);
  if (!open) {
    const flags = Number(fields?.[1]?.trim() || Number.NaN);
    if (!fields || !Number.isInteger(flags) || flags < 0 || fields[2]!.trim() === '') {
      draft.wrong ??= `line ${at} is not <flags><name><type><width><value>`;
      return undefined;
    }
    const property = { flags, name: fields[2]!.trim(), values: fields[5] === undefined ? [] : [fields[5].trim()] };
    draft.properties.push(property);
    return property;
  }
  const value = /^<(.*)>$/.exec(line)?.[1];
  if (value === undefined) draft.wrong ??= `line ${at} is not a value of a list`;
  else if (open.values.length >= VALUES) draft.wrong ??= `in line ${at} a list has more than ${VALUES} values`;
  else open.values.push(value.trim());
  return open;
}

/** `AGENTINFO<agent><site><date>` ends a DDR; without it nobody knows whether all of it is there. */
function readAgent(line: string, at: number, draft: Draft): void {
  const fields = /^AGENTINFO<([^<>]*)><([^<>]*)><([^<>]*)>$/.exec(line);
  if (!fields) draft.wrong ??= `line ${at} is not AGENTINFO<agent><site><date>`;
  else draft.complete = true;
  const date = fields?.[3]?.trim();
  if (!date) return;
  const us = /^(\d{1,2})\/(\d{1,2})\/(\d{4})(?:\s+(\d{1,2}:\d\d(?::\d\d)?))?$/.exec(date);
  const [, month, day, year, time] = us ?? [];
  draft.at = us ? `${year}-${month!.padStart(2, '0')}-${day!.padStart(2, '0')}T${(time ?? '0:00').padStart(5, '0')}Z` : date;
}

function rowOf(draft: Draft, ignored: Set<string>): RawDevice | { line: number; reason: string } {
  const { line, architecture, properties, wrong, at, complete } = draft;
  const reject = (reason: string) => ({ line, reason });
  if (wrong) return reject(wrong);
  if (architecture.toLowerCase() !== 'system')
    return reject(
      architecture === '' ? 'it does not begin with <System>' : `it is about a ${shownName(architecture)}, not a machine`,
    );
  if (!complete) return reject('it is cut off: its end, AGENTINFO, is missing');
  const row: RawDevice = { line, name: '', at };
  const keys: Record<string, string> = {};
  for (const { flags, name, values } of properties) {
    const plain = name.toLowerCase().replace(/[^a-z]/g, '');
    const filled = values.filter((value) => value !== '');
    const [text, list] = [TEXTS[plain], LISTS[plain]];
    if (list) row[list] = [...(row[list] ?? []), ...filled];
    else if (text) put(row, text, plain, filled);
    else if (flags & FLAG.guid && filled[0]) row.guid ??= filled[0];
    else if (flags & FLAG.key && filled[0]) keys[name] = filled[0];
    else ignored.add(name);
  }
  return Object.keys(keys).length > 0 ? { ...row, keys } : row;
}

function put(row: RawDevice, text: Text, plain: string, values: readonly string[]): void {
  // Of the names of a machine the full one has a dot; the NetBIOS name is the one that names it.
  const value = text === 'fqdn' ? values.find((one) => one.includes('.')) : values[0];
  if (value === undefined) return;
  if (text !== 'name') row[text] ??= value;
  else if (plain === 'netbiosname' || row.name === '') row.name = value;
}
