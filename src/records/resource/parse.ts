import { raise } from '#base/errors';
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

/** The names of design section 6, lower case, with what spreadsheets and our own JSON call them. */
const MEMBERS: Record<string, Member> = {
  name: 'name',
  domain: 'domain',
  fqdn: 'fqdn',
  ip: 'addresses',
  addresses: 'addresses',
  os: 'os',
  osversion: 'osVersion',
  type: 'type',
  mac: 'macs',
  macs: 'macs',
  adsite: 'adSite',
  guid: 'guid',
  smbport: 'smbPort',
  sshport: 'sshPort',
  hardwareid: 'hardwareId',
  osbuild: 'osBuild',
  architecture: 'architecture',
  ou: 'ou',
  at: 'at',
};

/** Members of our own device JSON that an import does not take, so that an exported list can come back. */
const OURS = new Set(['id', 'assignedsite', 'trusted', 'sources', 'client', 'createdat', 'changedat', 'domainkey', 'properties']);

function member(name: string): Member | undefined {
  return MEMBERS[name.trim().toLowerCase()];
}

/** parseDevices reads a device file; it raises PP_IMPORT_UNREADABLE when it cannot be read at all. */
export function parseDevices(bytes: Uint8Array, format: 'csv' | 'json'): ParsedDevices {
  const text = textOf(bytes);
  if (text === undefined) throw raise('PP_IMPORT_UNREADABLE', { format, why: 'it is neither UTF-8 nor UTF-16' });
  return format === 'csv' ? parseCsv(text) : parseJson(text);
}

/** The header tells the separator: a comma, or what spreadsheets of other countries write. */
function separatorOf(text: string): string {
  const header = /^[^\r\n]*/.exec(text.trimStart())![0];
  return header.includes(',') ? ',' : header.includes('\t') ? '\t' : header.includes(';') ? ';' : ',';
}

function parseCsv(text: string): ParsedDevices {
  const records = readCsv(text, separatorOf(text));
  const header = records.next().value as { fields: string[]; wrong?: string } | undefined;
  if (!header) throw raise('PP_IMPORT_UNREADABLE', { format: 'csv', why: 'it is empty' });
  const columns = header.fields.map(member);
  const named = columns.filter((c) => c !== undefined);
  if (header.wrong) throw raise('PP_IMPORT_UNREADABLE', { format: 'csv', why: `in the header ${header.wrong}` });
  if (!named.includes('name')) throw raise('PP_IMPORT_UNREADABLE', { format: 'csv', why: 'the header has no column name' });
  if (new Set(named).size < named.length)
    throw raise('PP_IMPORT_UNREADABLE', { format: 'csv', why: 'the header has a column twice' });
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

function parseJson(text: string): ParsedDevices {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw raise('PP_IMPORT_UNREADABLE', { format: 'json', why: 'it is not JSON' });
  }
  // `device list --json` answers with {items: […]}; that may come back as it is.
  if (typeof value === 'object' && value !== null && 'items' in value) value = value.items;
  if (!Array.isArray(value)) throw raise('PP_IMPORT_UNREADABLE', { format: 'json', why: 'it is not an array' });
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
    if (!name) {
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
