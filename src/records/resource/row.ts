import { isIP } from 'node:net';
import type { SystemType } from './device.ts';
import { nameKey, shownName, validName, whyNotName } from './names.ts';

/** RawDevice is a machine as a file or a discovery method gives it; nothing in it has been checked. */
export interface RawDevice {
  /** The line, or the place in a JSON array, for the report; counted from 1. */
  line?: number | undefined;
  name: string;
  domain?: string | undefined;
  fqdn?: string | undefined;
  addresses?: readonly string[] | undefined;
  os?: string | undefined;
  osVersion?: string | undefined;
  type?: string | undefined;
  macs?: readonly string[] | undefined;
  adSite?: string | undefined;
  guid?: string | undefined;
  smbPort?: string | number | undefined;
  sshPort?: string | number | undefined;
  /** What stays when the machine is installed anew. */
  hardwareId?: string | undefined;
  osBuild?: string | number | undefined;
  architecture?: string | undefined;
  ou?: string | undefined;
  /** Properties that no two machines have the same value of. */
  keys?: Readonly<Record<string, string>> | undefined;
  /** When the source saw it. */
  at?: string | undefined;
  /** The resource it is, where the caller knows that for certain. */
  resourceId?: number | undefined;
}

/** KnownDevice is a machine whose fields have been checked and brought into one form. */
export interface KnownDevice {
  name: string;
  nameKey: string;
  domain: string;
  domainKey: string;
  fqdn?: string | undefined;
  addresses: string[];
  macs: string[];
  os?: string | undefined;
  osVersion?: string | undefined;
  type: SystemType;
  /** The type was not told but guessed from the operating system. */
  guessed: boolean;
  adSite?: string | undefined;
  guid?: string | undefined;
  smbPort?: number | undefined;
  sshPort?: number | undefined;
  hardwareId?: string | undefined;
  osBuild?: number | undefined;
  architecture?: string | undefined;
  ou?: string | undefined;
  /** 'NAME=VALUE', as they are compared. */
  keys: string[];
  at: Date;
  resourceId?: number | undefined;
}

/** Rejected is a row that was not taken, and why. */
export interface Rejected {
  line: number;
  reason: string;
}

/** The reason is for the administrator who wrote the file. */
class BadRow extends Error {}

const TYPES: Record<string, SystemType> = {
  workstation: 'workstation',
  desktop: 'workstation',
  laptop: 'workstation',
  client: 'workstation',
  server: 'server',
  memberserver: 'server',
  dc: 'dc',
  domaincontroller: 'dc',
  unknown: 'unknown',
};

/** systemType reads the type of a machine in the words that people and spreadsheets use; where none is told, the system's name says it. */
export function systemType(given: string | undefined, os: string | undefined): SystemType {
  if (given) {
    const type = TYPES[given.toLowerCase().replace(/[\s_-]/g, '')];
    if (!type) throw new BadRow(`the type ${shownName(given)} is none of workstation, server, dc, unknown`);
    return type;
  }
  if (!os) return 'unknown';
  if (/\bserver\b/i.test(os)) return 'server';
  return /windows/i.test(os) ? 'workstation' : 'unknown';
}

function oneLine(what: string, given: string | undefined, max: number): string | undefined {
  const value = given?.trim();
  if (!value) return undefined;
  if (value.length > max) throw new BadRow(`${what} is longer than ${max} characters`);
  if (/[\u0000-\u001f\u007f]/.test(value) || !value.isWellFormed()) throw new BadRow(`${what} has control characters`);
  return value;
}

/** canonicalAddress gives an IPv4 or IPv6 address in its one usual form, or undefined when it is none. */
export function canonicalAddress(given: string): string | undefined {
  const address = given.trim();
  const family = isIP(address);
  if (family === 4) return address;
  if (family !== 6) return undefined;
  const [plain, zone] = address.split('%', 2);
  // A zone is an interface of the machine that wrote it, and says nothing elsewhere.
  if (zone !== undefined && !plain!.toLowerCase().startsWith('fe80')) return undefined;
  return new URL(`http://[${plain}]/`).hostname.slice(1, -1);
}

/** Unspecified, multicast and broadcast addresses (RFC 6890): a connection to 0.0.0.0 would end at the site server itself. */
function isNobodys(address: string): boolean {
  return /^(0\.|22[4-9]\.|23\d\.|255\.255\.255\.255$|::$|ff)/.test(address);
}

function addressesOf(given: readonly string[] | undefined, byHand: boolean): string[] {
  const addresses = new Set<string>();
  for (const one of given ?? []) {
    if (one.trim() === '') continue;
    const address = canonicalAddress(one);
    if (!address) throw new BadRow(`${shownName(one)} is not an IP address`);
    if (!isNobodys(address)) addresses.add(address);
    else if (byHand) throw new BadRow(`${address} is the address of no machine`);
  }
  if (addresses.size > 64) throw new BadRow('it has more than 64 addresses');
  return [...addresses];
}

function macsOf(given: readonly string[] | undefined): string[] {
  const macs = new Set<string>();
  for (const one of given ?? []) {
    if (one.trim() === '') continue;
    const digits = one.trim().replace(/[:.-]/g, '').toUpperCase();
    if (!/^[0-9A-F]{12}$/.test(digits)) throw new BadRow(`${shownName(one)} is not a MAC address`);
    macs.add(digits.match(/../g)!.join(':'));
  }
  if (macs.size > 64) throw new BadRow('it has more than 64 MAC addresses');
  return [...macs];
}

function guidOf(given: string | undefined): string | undefined {
  const value = given?.trim();
  if (!value) return undefined;
  const plain = value
    .toUpperCase()
    .replace(/^GUID:/, '')
    .replace(/^\{(.*)\}$/, '$1');
  if (!/^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$/.test(plain)) throw new BadRow(`${shownName(value)} is not a GUID`);
  // Boards without a serial number carry one of these; thousands of machines share them.
  if (/^(0{8}(-0{4}){3}-0{12}|F{8}(-F{4}){3}-F{12})$/.test(plain)) throw new BadRow('an empty GUID names no machine');
  return plain;
}

/** What boards say that were never given an id; thousands of machines share these. */
const NO_HARDWARE =
  /^(0+|F+|X+|(TO BE FILLED|DEFAULT STRING|SYSTEM (SERIAL|PRODUCT)|NOT (SPECIFIED|APPLICABLE|SETTABLE)|NONE|N\/A|UNKNOWN|INVALID|CHASSIS|O\.?E\.?M|12345678).*)$/;

/** hardwareIdOf gives a hardware id as it is compared; one that tells no machine from another is none. */
function hardwareIdOf(given: string | undefined): string | undefined {
  const id = oneLine('the hardware id', given, 128)
    ?.toUpperCase()
    .replace(/^\{(.*)\}$/, '$1');
  if (id === undefined || id.length < 4 || NO_HARDWARE.test(id.replace(/[-:. ]/g, (c) => (c === ' ' ? c : '')))) return undefined;
  return id;
}

function keysOf(given: Readonly<Record<string, string>> | undefined): string[] {
  const keys = Object.entries(given ?? {}).flatMap(([name, value]) => {
    const plain = oneLine(shownName(name), value, 256);
    // Docks and virtual machines share MAC addresses: whatever a source calls them, they identify nobody alone.
    if (plain === undefined || /\bmac\b/i.test(name) || /^([0-9a-f]{2}[:.-]?){5}[0-9a-f]{2}$/i.test(plain)) return [];
    return [`${name.toUpperCase()}=${plain.toUpperCase()}`];
  });
  if (keys.length > 8) throw new BadRow('it has more than 8 properties with the flag KEY');
  return keys.sort();
}

/** Clocks and time zones differ; what lies further ahead than this was never measured. */
const AHEAD_MS = 86_400_000;

function atOf(given: string | undefined, now: Date): Date {
  if (given === undefined || given.trim() === '') return now;
  const at = new Date(given);
  const ms = at.getTime();
  if (Number.isNaN(ms) || ms < 0) throw new BadRow(`${shownName(given)} is not a time`);
  if (ms > now.getTime() + AHEAD_MS)
    throw new BadRow(`its time ${at.toISOString()} lies in the future; the clock of its source is wrong`);
  return ms > now.getTime() ? now : at;
}

/** hasTrueTime tells whether the time of a row can be believed; a row said before is looked at again only for that. */
export function hasTrueTime(given: string | undefined, now: Date): boolean {
  try {
    atOf(given, now);
    return true;
  } catch (error) {
    if (error instanceof BadRow) return false;
    throw error;
  }
}

function buildOf(given: string | number | undefined): number | undefined {
  if (given === undefined || given === '') return undefined;
  const build = typeof given === 'number' ? given : /^\s*\d{1,9}\s*$/.test(given) ? Number(given) : Number.NaN;
  if (!Number.isInteger(build) || build < 0 || build > 2_147_483_647)
    throw new BadRow(`${shownName(String(given))} is not a build`);
  return build;
}

function portOf(what: string, given: string | number | undefined): number | undefined {
  if (given === undefined || given === '') return undefined;
  const port = typeof given === 'number' ? given : /^\s*\d{1,5}\s*$/.test(given) ? Number(given) : Number.NaN;
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new BadRow(`${what} ${shownName(String(given))} is not a port`);
  return port;
}

function names(raw: RawDevice): Pick<KnownDevice, 'name' | 'domain' | 'fqdn'> {
  const given = raw.name.trim();
  const why = whyNotName(given);
  if (why) throw new BadRow(`${given === '' ? 'the name' : shownName(given)} is not a name of a machine: ${why}`);
  const name = validName(given);
  const whole = raw.fqdn?.trim() || name.fqdn;
  let fqdn: string | undefined;
  if (whole) {
    const wrong = whole.includes('.') ? whyNotName(whole) : 'it has no domain';
    if (wrong) throw new BadRow(`${shownName(whole)} is not a full DNS name: ${wrong}`);
    fqdn = validName(whole).fqdn!.toLowerCase();
  }
  const domain = raw.domain?.trim().replace(/\.$/, '') || name.domain;
  // A domain is held to the rules of a DNS name behind a label, which lifts the limit of NetBIOS names.
  const wrong = domain === '' ? undefined : whyNotName(`x.${domain}`);
  if (wrong) throw new BadRow(`${shownName(domain)} is not a name of a domain: ${wrong}`);
  return { name: name.name, domain, fqdn };
}

/**
 * knownDevice checks one row; what is wrong comes back as the reason. A program may tell of an adapter that is not connected, and only that
 * address is left out; a row that was written by hand is told to its writer.
 */
export function knownDevice(raw: RawDevice, now: Date, byHand: boolean): KnownDevice | { reason: string } {
  try {
    const { name, domain, fqdn } = names(raw);
    const os = oneLine('the operating system', raw.os, 128);
    return {
      name,
      nameKey: nameKey(name),
      domain,
      domainKey: nameKey(domain),
      fqdn,
      addresses: addressesOf(raw.addresses, byHand),
      macs: macsOf(raw.macs),
      os,
      osVersion: oneLine('the version of the operating system', raw.osVersion, 64),
      type: systemType(raw.type?.trim(), os),
      guessed: !raw.type?.trim(),
      adSite: oneLine('the AD site', raw.adSite, 128),
      guid: guidOf(raw.guid),
      smbPort: portOf('the SMB port', raw.smbPort),
      sshPort: portOf('the SSH port', raw.sshPort),
      hardwareId: hardwareIdOf(raw.hardwareId),
      osBuild: buildOf(raw.osBuild),
      architecture: oneLine('the architecture', raw.architecture, 16),
      ou: oneLine('the OU', raw.ou, 512),
      keys: keysOf(raw.keys),
      at: atOf(raw.at, now),
      resourceId: raw.resourceId,
    };
  } catch (error) {
    if (error instanceof BadRow) return { reason: error.message };
    throw error;
  }
}
