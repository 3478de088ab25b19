import { formatDate } from './dates.ts';
import type { CcrFile } from './read.ts';

type Line = [key: string, value: string | number | Date | boolean | undefined];

function shown(value: string | number | Date | boolean): string {
  if (value instanceof Date) return formatDate(value);
  if (typeof value === 'boolean') return value ? 'TRUE' : 'FALSE';
  return String(value)
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu, ' ')
    .trim();
}

function section(name: string, lines: Line[]): string {
  const present = lines.filter(([, value]) => value !== undefined && value !== '');
  return [`[${name}]`, ...present.map(([key, value]) => `${key}=${shown(value!)}`), ''].join('\r\n');
}

const numbered = (key: string, values: string[]): Line[] => values.map((value, index) => [`${key} ${index + 1}`, value]);

/**
 * writeCcrFile writes the CCR text of D4: its sections and keys in its order, CRLF, section names with their trailing blank.
 * Keys that D4's sample does not have appear only when they say something; ours stand in [Pushpoint], before the type stamp.
 */
export function writeCcrFile(file: Omit<CcrFile, 'unknown'>): string {
  const { processing, pushpoint } = file;
  const extras: Line[] = [
    ['Reinstall', pushpoint.reinstall || undefined],
    ['Inspect Only', pushpoint.inspectOnly || undefined],
    ['Package', pushpoint.package],
    ['Requested By', pushpoint.requestedBy],
    ['State', pushpoint.state],
    ['Last Error', pushpoint.lastError],
    ['Next Processing Attempt', pushpoint.nextAttempt],
    ['Account', pushpoint.account],
    ['Week Start', pushpoint.weekStart],
  ];
  const sections = [
    section('NT Client Configuration Request', [
      ['Machine Name', file.machineName],
      ['Domain', file.domain],
      ...numbered('IP Address', file.ipAddresses),
      ['Forced CCR', file.forced || undefined],
      ['PushClientEvenIfDC', file.pushEvenIfDc || undefined],
      ['Client Type', file.clientType],
      ['Initial Request Date', file.initialRequestDate],
      ['Latest Request Date', file.latestRequestDate],
      ['Client Request Count', file.clientRequestCount],
    ]),
    section('IP Address ', numbered('IP Address', file.ipAddresses)),
    section('Resource Names ', numbered('Resource Names', file.resourceNames)),
    section('Request Processing', [
      ['Initial Processing Attempt', processing.initialAttempt],
      ['Retry Interval Start', processing.retryIntervalStart],
      ['Latest Processing Attempt', processing.latestAttempt],
      ['Last Error Code', processing.lastErrorCode],
      ['Number of Processing Attempts', processing.attempts],
      ['Error Event Created', processing.errorEventCreated],
    ]),
    ...(extras.some(([, value]) => value !== undefined) ? [section('Pushpoint', extras)] : []),
    section('IDENT', [['TYPE', 'Client Config Request File']]),
  ];
  return sections.join('\r\n');
}
