import { raise } from '#base/errors';

/** The longest NetBIOS name of a machine: 16 octets, the last of which tells the kind of service. */
const NETBIOS = 15;
/** Limits of RFC 1035 section 2.3.4; 253 characters are what 255 octets on the wire can hold. */
const LABEL = 63;
const DNS_NAME = 253;

/** ValidName is a machine's name, taken apart and checked. */
export interface ValidName {
  /** The short name: what stands before the first dot. */
  name: string;
  /** The DNS domain that the name itself carries, or ''. */
  domain: string;
  /** The whole name when it carries a domain. */
  fqdn?: string;
}

function wrongLabel(label: string): string | undefined {
  if (label === '') return 'it has an empty part';
  if (label.length > LABEL) return `a part of it is longer than ${LABEL} characters`;
  if (!/^[A-Za-z0-9-]+$/.test(label)) return 'only letters, digits, hyphens and dots are allowed';
  if (label.startsWith('-') || label.endsWith('-')) return 'a part of it begins or ends with a hyphen';
  return undefined;
}

function wrongDns(name: string): string | undefined {
  if (name.length > DNS_NAME) return `it is longer than ${DNS_NAME} characters`;
  const labels = name.split('.');
  for (const label of labels) {
    const wrong = wrongLabel(label);
    if (wrong) return wrong;
  }
  // RFC 3696 section 2: the last label is not all digits; that also keeps addresses out.
  if (/^[0-9]+$/.test(labels.at(-1)!) && labels.length > 1) return 'it is an address, not a name';
  return undefined;
}

function wrongName(name: string): string | undefined {
  if (name === '') return 'it is empty';
  const wrong = wrongDns(name);
  if (wrong) return wrong;
  if (!name.includes('.') && name.length > NETBIOS)
    return `a name without a domain has at most ${NETBIOS} characters; give the full DNS name`;
  return undefined;
}

/** whyNotName says what is wrong with a machine's name, or undefined when nothing is. */
export function whyNotName(name: string): string | undefined {
  return wrongName(name.endsWith('.') ? name.slice(0, -1) : name);
}

/**
 * validName is the one place where names of machines are let in: letters, digits, hyphens and dots, NetBIOS or full DNS name. A name with
 * `@`, a port or a slash would lead a logon to another protocol or host (facts I1), so it is refused, not cleaned.
 */
export function validName(given: string): ValidName {
  const why = whyNotName(given);
  if (why) throw raise('PP_REQUEST_NAME', { name: given === '' ? '(nothing)' : shownName(given), why });
  const whole = given.endsWith('.') ? given.slice(0, -1) : given;
  const dot = whole.indexOf('.');
  if (dot < 0) return { name: whole, domain: '' };
  return { name: whole.slice(0, dot), domain: whole.slice(dot + 1), fqdn: whole };
}

/** validDomain lets in the NetBIOS or DNS name of a domain or workgroup; '' is none. */
export function validDomain(given: string): string {
  const domain = given.endsWith('.') ? given.slice(0, -1) : given;
  if (domain === '') return '';
  const why = wrongDns(domain);
  if (why) throw raise('PP_REQUEST_DOMAIN', { domain: shownName(given), why });
  return domain;
}

/** shownName is a name as it may stand in a message: hostile characters made visible, cut to a line's length. */
export function shownName(given: string): string {
  const plain = given.replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return plain.length > 80 ? `${plain.slice(0, 77)}...` : plain;
}

/** nameKey is what names are compared by: upper case, made in JavaScript because the database's locale is not known. */
export function nameKey(name: string): string {
  const whole = name.endsWith('.') ? name.slice(0, -1) : name;
  return whole.toUpperCase();
}

/** shortKey is the nameKey of what stands before the first dot. */
export function shortKey(name: string): string {
  return nameKey(name).split('.', 1)[0]!;
}

/** sameDomain compares two domain keys; a NetBIOS name matches the DNS name that begins with it, an empty one matches nothing. */
export function sameDomain(a: string, b: string): boolean {
  if (a === '' || b === '') return false;
  if (a === b) return true;
  if (!a.includes('.')) return b.startsWith(`${a}.`);
  return !b.includes('.') && a.startsWith(`${b}.`);
}

/**
 * namePattern tells whether a machine is meant by a pattern of names with * and ?: its short name, or its full one where the domain is known.
 */
export function namePattern(pattern: string): (name: string, domain?: string) => boolean {
  const source = nameKey(pattern).replace(/[.*?-]/g, (c) => (c === '*' ? '.*' : c === '?' ? '.' : `\\${c}`));
  const wanted = new RegExp(`^${source}$`);
  return (name, domain) => {
    const key = nameKey(name);
    const full = domain && !key.includes('.') ? `${key}.${nameKey(domain)}` : key;
    return wanted.test(shortKey(key)) || wanted.test(full);
  };
}
