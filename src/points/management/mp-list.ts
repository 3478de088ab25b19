import { X509Certificate } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { raise } from '#base/errors';
import { writeMpList, type ListedPoint } from '#messages';
import { validateCode } from '#records/site';
import type { ManagementParts } from './server.ts';

/**
 * mpList answers `GET /SMS_MP/.sms_aut` (facts D6): `?MPLIST` and `?MPLIST1` with the management points of this site, `?MPLIST2&<site>` with
 * those of a site that this one knows, `?MPKEYINFORMATION` with name and code, `?MPCERT` with the certificate where the point has one.
 */
export function mpList(app: FastifyInstance, parts: ManagementParts): void {
  app.get('/SMS_MP/.sms_aut', async (request, reply) => {
    const [asked = '', named] = (request.url.split('?')[1] ?? '').toUpperCase().split('&');
    reply.type('text/xml; charset=utf-8').header('cache-control', 'no-cache');
    if (asked === 'MPLIST' || asked === 'MPLIST1') return writeMpList((await listed(parts)).points, asked);
    if (asked === 'MPLIST2') return writeMpList((await listed(parts, named)).points, 'MPLIST1');
    // Read each time: it is replaced while the point runs.
    const shown = parts.tls ?? parts.certificate;
    if (asked === 'MPCERT' && shown)
      return `<X509Certificate>${new X509Certificate(shown.cert).raw.toString('hex').toUpperCase()}</X509Certificate>`;
    if (asked !== 'MPKEYINFORMATION') throw raise('PP_MP_NOT_HERE');
    const { points, code } = await listed(parts);
    return `<MPKEYINFORMATION><FQDN>${points[0]?.fqdn ?? ''}</FQDN><SITECODE>${code}</SITECODE></MPKEYINFORMATION>`;
  });
}

/** The build of another site is that of the version it told; of one that told none it is this one's, as a branch runs one version. */
async function listed(parts: ManagementParts, wanted?: string): Promise<{ code: string; points: ListedPoint[] }> {
  const { here, sites, points } = await parts.site.branch();
  const code = wanted ? validateCode(wanted) : here.code;
  const site = sites.find((one) => one.code === code);
  if (!site) throw raise('PP_SITE_UNKNOWN', { code });
  const build = site.own ? parts.build : (site.version?.replace(/\D/g, '').padStart(4, '0') ?? parts.build);
  const on = points.filter((p) => p.site === code && p.kind === 'mp' && p.on);
  return { code, points: on.map(({ address }) => listedPoint(address, code, build)) };
}

/** listedPoint shows a point; its host comes out of the URL parser, which lets no character pass that XML would have to escape. */
function listedPoint(address: string, siteCode: string, version: string): ListedPoint {
  const { hostname } = new URL(address);
  const name = /^[\d.]+$|:/.test(hostname) ? hostname : hostname.split('.')[0]!.toUpperCase();
  return { name, fqdn: hostname, version, siteCode, url: address };
}
