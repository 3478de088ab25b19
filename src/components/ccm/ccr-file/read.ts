import { isIP } from 'node:net';
import { whyNotName } from '#records/resource';

import { parseDate } from './dates.ts';
import { decodeText, malformed, parseLines, plain, type Entry } from './lines.ts';

/** CcrFile is what a CCR file says; times are UTC, and what is not there is undefined. */
export interface CcrFile {
  machineName: string;
  domain?: string;
  ipAddresses: string[];
  resourceNames: string[];
  forced: boolean;
  pushEvenIfDc: boolean;
  clientType?: number;
  initialRequestDate?: Date;
  latestRequestDate?: Date;
  clientRequestCount?: number;
  processing: Processing;
  pushpoint: PushpointExtras;
  /** Keys this product gives no meaning to; kept so that nothing is lost in memory, and otherwise ignored. */
  unknown: Entry[];
}

/** Processing is the section that CCM itself writes, on the site server's clock. */
export interface Processing {
  initialAttempt?: Date;
  retryIntervalStart?: Date;
  latestAttempt?: Date;
  lastErrorCode?: number;
  attempts?: number;
  errorEventCreated?: Date;
}

/** PushpointExtras are our own keys; they stand in a section of their own, so that no CCR key is invented. */
export interface PushpointExtras {
  reinstall?: boolean;
  inspectOnly?: boolean;
  package?: string;
  requestedBy?: string;
  state?: string;
  lastError?: string;
  nextAttempt?: Date;
  account?: string;
  /** When the week of attempts began. */
  weekStart?: Date;
}

const MAX_ADDRESSES = 64;

/** Names are let in by the same rule everywhere (facts B4: `host@8080` once led to WebDAV). */
function nameOf(entry: Entry): string {
  const why = whyNotName(entry.value);
  if (why) throw malformed(entry.line, `"${entry.key}" is no name: ${why}`);
  return entry.value;
}

/** A domain is named like a host below it. */
function domainOf(entry: Entry): string {
  const why = whyNotName(`x.${entry.value}`);
  if (why) throw malformed(entry.line, `"${entry.key}" is no name of a domain: ${why}`);
  return entry.value;
}

function addressOf(entry: Entry): string {
  if (isIP(entry.value) === 0) throw malformed(entry.line, `"${entry.key}" is no IPv4 or IPv6 address`);
  return entry.value;
}

function numberOf(entry: Entry): number {
  if (!/^-?\d{1,10}$/.test(entry.value)) throw malformed(entry.line, `"${entry.key}" is no whole number`);
  return Number(entry.value);
}

function truth(entry: Entry): boolean {
  const value = entry.value.toUpperCase();
  if (['TRUE', '1', 'YES', '-1', 'ON'].includes(value)) return true;
  if (['FALSE', '0', 'NO', 'OFF', ''].includes(value)) return false;
  throw malformed(entry.line, `"${entry.key}" is neither TRUE nor FALSE`);
}

function oneLine(entry: Entry): string {
  if (entry.value.length > 256) throw malformed(entry.line, `"${entry.key}" is longer than 256 characters`);
  return entry.value;
}

type Setter = (file: CcrFile, entry: Entry) => void;

const REQUEST: Record<string, Setter> = {
  'machine name': (f, e) => void (f.machineName = machineNameOf(e)),
  domain: (f, e) => void (f.domain = domainOf(e)),
  'forced ccr': (f, e) => void (f.forced = truth(e)),
  pushclientevenifdc: (f, e) => void (f.pushEvenIfDc = truth(e)),
  pushevenifdc: (f, e) => void (f.pushEvenIfDc = truth(e)),
  'client type': (f, e) => void (f.clientType = numberOf(e)),
  'initial request date': (f, e) => void (f.initialRequestDate = parseDate(e)),
  'latest request date': (f, e) => void (f.latestRequestDate = parseDate(e)),
  'client request count': (f, e) => void (f.clientRequestCount = numberOf(e)),
};

const PROCESSING: Record<string, Setter> = {
  'initial processing attempt': (f, e) => void (f.processing.initialAttempt = parseDate(e)),
  'retry interval start': (f, e) => void (f.processing.retryIntervalStart = parseDate(e)),
  'latest processing attempt': (f, e) => void (f.processing.latestAttempt = parseDate(e)),
  'last error code': (f, e) => void (f.processing.lastErrorCode = numberOf(e)),
  'number of processing attempts': (f, e) => void (f.processing.attempts = numberOf(e)),
  'error event created': (f, e) => void (f.processing.errorEventCreated = parseDate(e)),
};

const PUSHPOINT: Record<string, Setter> = {
  reinstall: (f, e) => void (f.pushpoint.reinstall = truth(e)),
  'inspect only': (f, e) => void (f.pushpoint.inspectOnly = truth(e)),
  package: (f, e) => void (f.pushpoint.package = oneLine(e)),
  'requested by': (f, e) => void (f.pushpoint.requestedBy = oneLine(e)),
  state: (f, e) => void (f.pushpoint.state = oneLine(e)),
  'last error': (f, e) => void (f.pushpoint.lastError = oneLine(e)),
  'next processing attempt': (f, e) => void (f.pushpoint.nextAttempt = parseDate(e)),
  account: (f, e) => void (f.pushpoint.account = oneLine(e)),
  'week start': (f, e) => void (f.pushpoint.weekStart = parseDate(e)),
};

const SECTIONS: Record<string, Record<string, Setter>> = {
  'nt client configuration request': REQUEST,
  'request processing': PROCESSING,
  pushpoint: PUSHPOINT,
  'ip address': {},
  'resource names': {},
  ident: {
    type: (_f, e) => {
      if (plain(e.value) !== 'client config request file') throw malformed(e.line, `"${e.value}" is not the type of a CCR file`);
    },
  },
};

function machineNameOf(entry: Entry): string {
  if (entry.value === '') throw malformed(entry.line, '"Machine Name" is empty');
  if (isIP(entry.value) !== 0) throw malformed(entry.line, '"Machine Name" is an address; a CCR asks for a machine by its name');
  return nameOf(entry);
}

function addOnce(list: string[], value: string, entry: Entry): void {
  if (list.some((known) => known.toLowerCase() === value.toLowerCase())) return;
  if (list.length >= MAX_ADDRESSES) throw malformed(entry.line, `there are more than ${MAX_ADDRESSES} of them`);
  list.push(value);
}

function take(file: CcrFile, entry: Entry, seen: Set<string>): void {
  const section = plain(entry.section);
  const key = plain(entry.key);
  if (/^ip address \d+$/.test(key) && (section === 'ip address' || section === 'nt client configuration request')) {
    if (entry.value !== '') addOnce(file.ipAddresses, addressOf(entry), entry);
    return;
  }
  if (/^resource names? \d+$/.test(key) && section === 'resource names') {
    if (entry.value !== '') addOnce(file.resourceNames, nameOf(entry), entry);
    return;
  }
  const setter = SECTIONS[section]?.[key];
  // As the INI functions of Windows do, the first of two equal keys counts.
  if (!setter || seen.has(`${section}\n${key}`)) {
    file.unknown.push(entry);
    return;
  }
  seen.add(`${section}\n${key}`);
  if (entry.value === '' && key !== 'machine name') return;
  setter(file, entry);
}

/** readCcrFile reads the bytes of a CCR file in any of the forms facts A1 lists; two lines suffice. It throws Malformed with the line. */
export function readCcrFile(bytes: Uint8Array): CcrFile {
  const entries = parseLines(decodeText(bytes));
  const file: CcrFile = {
    machineName: '',
    ipAddresses: [],
    resourceNames: [],
    forced: false,
    pushEvenIfDc: false,
    processing: {},
    pushpoint: {},
    unknown: [],
  };
  const seen = new Set<string>();
  for (const entry of entries) take(file, entry, seen);
  if (file.machineName === '') {
    const header = entries.find((e) => plain(e.section) === 'nt client configuration request')?.line ?? 1;
    throw malformed(header, 'there is no "Machine Name" in [NT Client Configuration Request]');
  }
  return file;
}
