import { raise } from '#base/errors';

/**
 * The list of management points, `GET /SMS_MP/.sms_aut?MPLIST` and `?MPLIST1` (facts D6): MPLIST names no site, MPLIST1 does. Where ours
 * answer on another port than 80 or over https, the address stands in a capability property of our own, which other readers skip.
 */
export interface ListedPoint {
  name: string;
  fqdn: string;
  /** Build number of the site, as `<Version>`. */
  version: string;
  siteCode?: string;
  /** The address clients reach it at. */
  url?: string;
}

const URL_PROPERTY = 'PushpointUrl';
const LONGEST = 262_144;
const MOST_POINTS = 1000;

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' };

function escaped(value: string): string {
  return value.replace(/[\u0000-\u001f\u007f\ufffe\uffff]/g, '').replace(/[&<>"']/g, (c) => entities[c]!);
}

function unescaped(value: string): string {
  return value.replace(
    /&(?:#(\d{1,7})|#x([0-9A-Fa-f]{1,6})|(amp|lt|gt|quot|apos));/g,
    (whole, dec?: string, hex?: string, name?: string) => {
      if (name) return Object.keys(entities).find((c) => entities[c] === `&${name};`)!;
      const code = dec ? Number(dec) : Number.parseInt(hex!, 16);
      return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}

/** writeMpList makes the XML; the site code is shown in MPLIST1 only. */
export function writeMpList(points: ListedPoint[], form: 'MPLIST' | 'MPLIST1'): string {
  const one = (point: ListedPoint) => {
    const site = form === 'MPLIST1' && point.siteCode ? ` SiteCode="${escaped(point.siteCode)}"` : '';
    const property = point.url ? `<Property Name="${URL_PROPERTY}" Value="${escaped(point.url)}"/>` : '';
    const capabilities = property
      ? `<Capabilities SchemaVersion="1.0">${property}</Capabilities>`
      : '<Capabilities SchemaVersion="1.0"/>';
    return `<MP Name="${escaped(point.name)}" FQDN="${escaped(point.fqdn)}"${site}><Version>${escaped(point.version)}</Version>${capabilities}</MP>`;
  };
  return `<MPList>${points.map(one).join('')}</MPList>`;
}

function attributes(tag: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const match of tag.matchAll(/([A-Za-z]{1,32})\s{0,8}=\s{0,8}(?:"([^"]*)"|'([^']*)')/g)) {
    found[match[1]!.toLowerCase()] ??= unescaped(match[2] ?? match[3] ?? '');
  }
  return found;
}

function readPoint(tag: string, inside: string): ListedPoint {
  const named = attributes(tag);
  if (!named['name'] || named['name'].length > 255) throw malformed('has an MP without a usable Name');
  const point: ListedPoint = {
    name: named['name'],
    fqdn: named['fqdn'] ?? '',
    version: unescaped(between(inside, '<Version>', '</Version>')).trim(),
  };
  if (named['sitecode']) point.siteCode = named['sitecode'];
  for (const property of inside.matchAll(/<Property\s([^<>]{1,600})>/g)) {
    const { name, value } = attributes(property[1]!);
    if (name === URL_PROPERTY && value) point.url = value;
  }
  return point;
}

function between(text: string, start: string, end: string): string {
  const from = text.indexOf(start);
  const to = from === -1 ? -1 : text.indexOf(end, from);
  return to === -1 ? '' : text.slice(from + start.length, to);
}

const malformed = (why: string) => raise('PP_MSG_MALFORMED', { message: 'MPList', why });

/** readMpList takes either form; anything that is no such list, or carries a document type, raises PP_MSG_MALFORMED. */
export function readMpList(xml: string): ListedPoint[] {
  if (xml.length > LONGEST) throw malformed(`is longer than ${LONGEST} characters`);
  if (/<!(?:DOCTYPE|ENTITY)/i.test(xml)) throw malformed('carries a document type');
  const list = xml.indexOf('<MPList');
  if (list === -1) throw malformed('has no MPList element');
  const points: ListedPoint[] = [];
  for (let at = xml.indexOf('<MP ', list); at !== -1; at = xml.indexOf('<MP ', at)) {
    const tagEnd = xml.indexOf('>', at);
    if (tagEnd === -1) throw malformed('ends inside a tag');
    const tag = xml.slice(at, tagEnd);
    const empty = tag.endsWith('/');
    const end = empty ? tagEnd : xml.indexOf('</MP>', tagEnd);
    if (end === -1) throw malformed('has an MP that is not closed');
    if (points.length >= MOST_POINTS) throw malformed(`names more than ${MOST_POINTS} management points`);
    points.push(readPoint(tag, empty ? '' : xml.slice(tagEnd + 1, end)));
    at = end;
  }
  return points;
}
