import { Guid, matches } from './fields.ts';

/** isSmsid tells whether a text is an SMSID, `GUID:` and an upper-case UUID. */
export function isSmsid(value: unknown): value is string {
  return matches(Guid, value);
}

/** smsidOf makes an SMSID of a UUID in any case, with or without braces or the prefix; undefined when it is none. */
export function smsidOf(value: string): string | undefined {
  const upper = value
    .trim()
    .toUpperCase()
    .replace(/^GUID:/, '')
    .replace(/^\{(.*)\}$/, '$1');
  const smsid = `GUID:${upper}`;
  return isSmsid(smsid) ? smsid : undefined;
}
