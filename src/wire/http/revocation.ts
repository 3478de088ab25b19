import { raise } from '#base/errors';

/** Element is one tag-length-value (X.690, section 8.1) by its places in the octets around it. */
interface Element {
  tag: number;
  from: number;
  to: number;
}

const malformed = (why: string) => raise('PP_TLS_MALFORMED', { why });

const SEQUENCE = 0x30;
const INTEGER = 0x02;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const VERSION = 0xa0;

/** elementAt reads the element at a place; all lengths are checked against the end. */
function elementAt(der: Uint8Array, at: number, end: number): Element {
  const tag = der[at];
  const first = der[at + 1];
  if (tag === undefined || first === undefined || at + 2 > end) throw malformed('an element is cut off');
  let from = at + 2;
  let length = first;
  if (first >= 0x80) {
    const octets = first & 0x7f;
    if (octets === 0 || octets > 4) throw malformed('an element has a length of no right form');
    length = 0;
    for (let i = 0; i < octets; i++) length = length * 256 + (der[from + i] ?? 0);
    from += octets;
  }
  if (from + length > end) throw malformed('an element is longer than what it stands in');
  return { tag, from, to: from + length };
}

/** inside gives the elements of a constructed one, in their order. */
function inside(der: Uint8Array, { from, to }: Element): Element[] {
  const found: Element[] = [];
  for (let at = from; at < to;) {
    const element = elementAt(der, at, to);
    found.push(element);
    at = element.to;
  }
  return found;
}

const hexOf = (der: Uint8Array, { from, to }: Element): string => Buffer.from(der.subarray(from, to)).toString('hex');

/** timeOf reads UTCTime and GeneralizedTime (RFC 5280, section 4.1.2.5). */
function timeOf(der: Uint8Array, element: Element): Date {
  const text = Buffer.from(der.subarray(element.from, element.to)).toString('latin1');
  const match = /^(\d{2,4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (!match) throw malformed('a time has no right form');
  const [year = 0, month = 0, ...rest] = match.slice(1).map(Number);
  const full = match[1]!.length === 4 ? year : year + (year >= 50 ? 1900 : 2000);
  const [day = 0, hour = 0, minute = 0, second = 0] = rest;
  return new Date(Date.UTC(full, month - 1, day, hour, minute, second));
}

/** isTime tells a time from what may stand in its place. */
function isTime(element: Element | undefined): element is Element {
  return element?.tag === UTC_TIME || element?.tag === GENERALIZED_TIME;
}

/** RevocationList is a certificate revocation list as far as it is asked here: whose, how long it holds, and which serial numbers. */
export interface RevocationList {
  /** The issuer's name, as hex DER. */
  issuer: string;
  until: Date | undefined;
  serials: ReadonlySet<string>;
}

/** readRevocationList reads a CRL in DER (RFC 5280, section 5.1). Its signature is checked by TLS, where it is used. */
export function readRevocationList(der: Uint8Array): RevocationList {
  const [tbs] = inside(der, elementAt(der, 0, der.length));
  if (tbs?.tag !== SEQUENCE) throw malformed('it is no revocation list');
  const parts = inside(der, tbs);
  // The version is there in a list with extensions, and nowhere else is an INTEGER.
  const at = parts[0]?.tag === INTEGER ? 1 : 0;
  const [, issuer, thisUpdate, maybeNext] = parts.slice(at);
  if (issuer?.tag !== SEQUENCE || !isTime(thisUpdate)) throw malformed('it is no revocation list');
  const next = isTime(maybeNext) ? maybeNext : undefined;
  const revoked = parts[at + (next ? 4 : 3)];
  const entries = revoked?.tag === SEQUENCE ? inside(der, revoked) : [];
  return {
    issuer: hexOf(der, issuer),
    until: next && timeOf(der, next),
    serials: new Set(entries.map((entry) => hexOf(der, inside(der, entry)[0]!))),
  };
}

/** namesOf gives issuer and serial number of a certificate in DER (RFC 5280, section 4.1), in the form that a revocation list has them. */
export function namesOf(der: Uint8Array): { issuer: string; serial: string } {
  const [tbs] = inside(der, elementAt(der, 0, der.length));
  const parts = tbs ? inside(der, tbs) : [];
  const [serial, , issuer] = parts.slice(parts[0]?.tag === VERSION ? 1 : 0);
  if (serial?.tag !== INTEGER || issuer?.tag !== SEQUENCE) throw malformed('it is no certificate');
  return { issuer: hexOf(der, issuer), serial: hexOf(der, serial) };
}

/** pemBlocks gives the DER of each block of one kind in a PEM text. */
export function pemBlocks(pem: string, kind: 'CERTIFICATE' | 'X509 CRL'): { pem: string; der: Buffer }[] {
  const blocks = pem.matchAll(new RegExp(`-----BEGIN ${kind}-----([A-Za-z0-9+/=\\s]*)-----END ${kind}-----`, 'g'));
  return [...blocks].map((match) => ({ pem: `${match[0]}\n`, der: Buffer.from(match[1]!, 'base64') }));
}
