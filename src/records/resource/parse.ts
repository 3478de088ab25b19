import { raise } from '#base/errors';
import { isClassicDdr, parseClassic } from './classic-ddr.ts';
import { readCsv, textOf } from './csv.ts';
import { shownName } from './names.ts';
import type { RawDevice, Rejected } from './row.ts';

/** ParsedDevices are the rows of a file; each record of the file is in `rows` or in `rejected`. */
export interface ParsedDevices {
  rows: RawDevice[];
  rejected: Rejected[];
  /** Names of columns or members that mean nothing here. */
  ignored: string[];
}

type Member = Exclude<keyof RawDevice, 'line' | 'resourceId' | 'keys'>;

/** Members by their names, lower case without spaces, with what spreadsheets, directories and our own JSON call them. */
const MEMBERS: Record<string, Member> = {
  name: 'name',
  computername: 'name',
  hostname: 'name',
  netbiosname: 'name',
  domain: 'domain',
  fqdn: 'fqdn',
  dnshostname: 'fqdn',
  ip: 'addresses',
  ipaddress: 'addresses',
  ipaddresses: 'addresses',
  addresses: 'addresses',
  os: 'os',
  operatingsystem: 'os',
  osversion: 'osVersion',
  operatingsystemversion: 'osVersion',
  osbuild: 'osBuild',
  architecture: 'architecture',
  type: 'type',
  mac: 'macs',
  macs: 'macs',
  macaddress: 'macs',
  macaddresses: 'macs',
  adsite: 'adSite',
  ou: 'ou',
  guid: 'guid',
  hardwareid: 'hardwareId',
  smbport: 'smbPort',
  sshport: 'sshPort',
  at: 'at',
};

/** ImportFormat is how a file of machines is written: ddr is DDRs in JSON or in the old text form, text is that or a list of names. */
export type ImportFormat = 'csv' | 'json' | 'ddr' | 'text';

/** ImportMap says which column is what where a header has words of its own: {'Rechner': 'name'}. */
export type ImportMap = Readonly<Record<string, string>>;

/** Members of our own device JSON that an import does not take, so that an exported list can come back. */
const OURS = new Set(['id', 'assignedsite', 'trusted', 'sources', 'client', 'createdat', 'changedat', 'domainkey', 'properties']);

const plainName = (name: string) =>
  name
    .trim()
    .toLowerCase()
    .replace(/[\s_-]/g, '');

function member(name: string): Member | undefined {
  return Object.hasOwn(MEMBERS, plainName(name)) ? MEMBERS[plainName(name)] : undefined;
}

/** parseDevices reads a device file; it raises PP_IMPORT_UNREADABLE when it cannot be read at all. */
export function parseDevices(bytes: Uint8Array, format: ImportFormat, map: ImportMap = {}): ParsedDevices {
  const text = textOf(bytes);
  if (text === undefined) throw unreadable(format, 'it is neither UTF-8 nor UTF-16');
  if (format === 'csv') return parseCsv(text, readMap(map));
  if (format === 'json') return parseJson(text);
  if (/^\s*[[{]/.test(text)) return parseJson(text, 'ddr');
  if (isClassicDdr(text)) return parseClassic(text);
  if (format === 'text' && !/^\s*</.test(text)) return parseNames(text);
  throw unreadable(format, text.trim() === '' ? 'it is empty' : 'it is neither JSON nor properties after <System>');
}

const unreadable = (format: string, why: string) => raise('PP_IMPORT_UNREADABLE', { format, why });

function readMap(map: ImportMap): Map<string, Member> {
  return new Map(
    Object.entries(map).map(([column, field]) => {
      const known = member(field);
      if (!known)
        throw unreadable('csv', `the column ${shownName(column)} is to be ${shownName(field)}, which is no field of a machine`);
      return [plainName(column), known];
    }),
  );
}

/** A list of names as CCRMan took it: one machine a line, blank lines and those that begin with # or ; left out. */
function parseNames(text: string): ParsedDevices {
  const rows = text.split(/\r\n|\n|\r/).flatMap((line, i) => {
    const name = line.trim();
    return name === '' || /^[#;]/.test(name) ? [] : [{ line: i + 1, name }];
  });
  return { rows, rejected: [], ignored: [] };
}

/** The header tells the separator: a comma, or what spreadsheets of other countries write. */
function separatorOf(text: string): string {
  const header = /^[^\r\n]*/.exec(text.trimStart())![0];
  return header.includes(',') ? ',' : header.includes('\t') ? '\t' : header.includes(';') ? ';' : ',';
}

function parseCsv(text: string, map: ReadonlyMap<string, Member>): ParsedDevices {
  const records = readCsv(text, separatorOf(text));
  const header = records.next().value as { fields: string[]; wrong?: string } | undefined;
  if (!header) throw unreadable('csv', 'it is empty');
  const columns = header.fields.map((field) => map.get(plainName(field)) ?? member(field));
  const named = columns.filter((c) => c !== undefined);
  if (header.wrong) throw unreadable('csv', `in the header ${header.wrong}`);
  if (!named.includes('name')) throw unreadable('csv', 'the header has no column name');
  if (new Set(named).size < named.length) throw unreadable('csv', 'the header has a column twice');
  const parsed: ParsedDevices = { rows: [], rejected: [], ignored: header.fields.filter((_, i) => !columns[i]).map(shownName) };
  for (const { line, fields, wrong } of records) {
    if (wrong) parsed.rejected.push({ line, reason: wrong });
    else if (fields.length !== columns.length)
      parsed.rejected.push({ line, reason: `it has ${fields.length} fields, and the header has ${columns.length}` });
    else parsed.rows.push(csvRow(line, columns, fields));
  }
  return parsed;
}

function csvRow(line: number, columns: (Member | undefined)[], fields: string[]): RawDevice {
  const row: RawDevice = { line, name: '' };
  columns.forEach((column, i) => {
    const value = fields[i]!.trim();
    if (column === 'addresses' || column === 'macs') row[column] = value.split(';');
    else if (column) row[column] = value;
  });
  return row;
}

function parseJson(text: string, format: 'json' | 'ddr' = 'json'): ParsedDevices {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw unreadable(format, 'it is not JSON');
  }
  // `device list --json` answers with {items: […]}; that may come back as it is.
  if (typeof value === 'object' && value !== null && 'items' in value) value = value.items;
  // A .ddr file is about one machine as a rule.
  else if (format === 'ddr' && !Array.isArray(value)) value = [value];
  if (!Array.isArray(value)) throw unreadable(format, 'it is not an array');
  const ignored = new Set<string>();
  const parsed: ParsedDevices = { rows: [], rejected: [], ignored: [] };
  value.forEach((item: unknown, i) => {
    const row = jsonRow(item, i + 1, ignored);
    if ('reason' in row) parsed.rejected.push(row);
    else parsed.rows.push(row);
  });
  parsed.ignored = [...ignored].map(shownName);
  return parsed;
}

function jsonRow(item: unknown, line: number, ignored: Set<string>): RawDevice | Rejected {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return { line, reason: 'it is not an object' };
  const row: RawDevice = { line, name: '' };
  for (const [key, value] of Object.entries(item) as [string, unknown][]) {
    const name = member(key);
    if (key === 'keys' && typeof value === 'object' && value !== null) {
      if (!Object.values(value).every((one) => typeof one === 'string'))
        return { line, reason: 'keys has a value that is not text' };
      row.keys = value as Record<string, string>;
    } else if (!name) {
      if (!OURS.has(key.toLowerCase())) ignored.add(key);
    } else if (value === null || value === undefined) continue;
    else if (name === 'addresses' || name === 'macs') {
      const list: unknown[] = Array.isArray(value) ? value : [value];
      if (!list.every((one) => typeof one === 'string')) return { line, reason: `${key} is neither text nor a list of texts` };
      row[name] = list.flatMap((one) => one.split(';'));
    } else if (name === 'smbPort' || name === 'sshPort' || name === 'osBuild') {
      if (typeof value !== 'string' && typeof value !== 'number') return { line, reason: `${key} is not a number` };
      row[name] = value;
    } else if (typeof value === 'string') row[name] = value;
    else return { line, reason: `${key} is not text` };
  }
  return row;
}
