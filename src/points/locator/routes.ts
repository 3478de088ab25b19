import type { FastifyInstance, FastifyRequest } from 'fastify';
import { raise } from '#base/errors';
import { checked, LocationQuery, type Location, type SiteInformation } from '#messages';
import type { BoundaryRecord } from '#records/boundary';
import { validateCode, type Branch, type SiteRecord } from '#records/site';
import { plainAddress, Rate, type ListenerParts } from '#wire/http';
import { locate, siteInformation } from './locate.ts';

/** A building behind one address may start in the same minute; a loop may not. */
const BURST = 2000;
const PER_SECOND = 50;

/** LocatorParts is what tells a machine its site. */
export interface LocatorParts extends ListenerParts {
  site: SiteRecord;
  boundary: BoundaryRecord;
}

/** queryOf reads where a machine is; `ip` and `ad` are the names that a URL of slp.dll has. The connection's address counts where none is given. */
function queryOf(request: FastifyRequest): LocationQuery {
  const mark = request.url.indexOf('?');
  const address: string[] = [];
  let adSite: string | undefined;
  for (const [key, value] of new URLSearchParams(mark === -1 ? '' : request.url.slice(mark + 1))) {
    const name = key.toLowerCase();
    if (name === 'address' || name === 'ip') address.push(...value.split(';').filter((one) => one !== ''));
    else if (name === 'adsite' || name === 'ad') adSite ??= value;
  }
  if (address.length === 0) address.push(plainAddress(request.ip));
  return checked(LocationQuery, { address, ...(adSite ? { adSite } : {}) }, 'Location');
}

/**
 * locatorRoutes answers which site a machine belongs to and what is known of a site: `/sms_slp/…` at a server locator point, `/ccm_system/…`
 * at a management point. Who asks has no key yet, so everybody is told; it is what boundaries and points say, and no machine's name.
 */
export function locatorRoutes(app: FastifyInstance, parts: LocatorParts, at: '/sms_slp' | '/ccm_system'): void {
  const rate = new Rate(parts.clock, BURST, PER_SECOND);
  const config = { point: at === '/sms_slp' ? 'slp' : 'mp' };
  const known = async (): Promise<Branch> => {
    const branch = await parts.site.branch();
    const isOff = branch.points.some((p) => p.kind === 'slp' && p.site === branch.here.code && !p.on);
    if (isOff && at === '/sms_slp') throw raise('PP_MP_NOT_HERE');
    return branch;
  };
  const location = async (request: FastifyRequest): Promise<Location> => {
    rate.take(plainAddress(request.ip));
    const { address, adSite } = queryOf(request);
    const [branch, index] = await Promise.all([known(), parts.boundary.index()]);
    return locate(branch, index, { addresses: address, ...(adSite !== undefined && { adSite }) });
  };
  app.get(`${at}/location`, { config }, location);
  // The name of 2003; its parameters are in no document found, so these are ours.
  if (at === '/sms_slp') app.get('/sms_slp/slp.dll', { config }, location);
  app.get<{ Params: { code: string } }>(`${at}/sites/:code`, { config }, async (request): Promise<SiteInformation> => {
    rate.take(plainAddress(request.ip));
    const code = validateCode(request.params.code);
    const found = siteInformation(await known(), code);
    if (!found) throw raise('PP_SITE_UNKNOWN', { code });
    return found;
  });
}
