import { raise } from '#base/errors';
import { shownName } from '#records/resource';

/** validateCode lets in a site code: three letters or digits, made upper case. */
export function validateCode(given: string): string {
  const code = given.trim().toUpperCase();
  if (!/^[A-Z0-9]{3}$/.test(code)) throw raise('PP_SITE_CODE', { code: shownName(given) });
  return code;
}

/** pointAddress lets in a URL that a client elsewhere could reach: no wildcard address, no credentials, no query. */
export function pointAddress(given: string): string {
  const refuse = (why: string) => raise('PP_SITE_POINT_ADDRESS', { address: shownName(given), why });
  if (!URL.canParse(given)) throw refuse('it is not a URL');
  const url = new URL(given);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw refuse('it is neither http nor https');
  if (url.username !== '' || url.password !== '') throw refuse('it holds a user or a password');
  if (url.search !== '' || url.hash !== '') throw refuse('it has a query or a fragment');
  // Clients get it in command lines and configuration files: a host is a name or an address, and no letters that mean something there.
  if (!/^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\.?|\[[0-9a-f:.]+\])$/.test(url.hostname))
    throw refuse('its host is neither a name of letters, digits, hyphens and dots nor an IP address');
  if (/["'`$\s<>|^&%;]/.test(url.pathname)) throw refuse('its path has characters that no path of a point has');
  if (/^(0\.0\.0\.0|\[::\])$/.test(url.hostname)) throw refuse('it means all addresses of a machine, and none for a client');
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}
