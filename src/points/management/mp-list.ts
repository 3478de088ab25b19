import { X509Certificate } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { raise } from '#base/errors';
import { writeMpList, type ListedPoint } from '#messages';
import type { ManagementParts } from './server.ts';

/**
 * mpList answers `GET /SMS_MP/.sms_aut` (facts D6): `?MPLIST` and `?MPLIST1` with the management points of this site, `?MPKEYINFORMATION`
 * with its name and code, `?MPCERT` with the certificate where the point has one.
 */
export function mpList(app: FastifyInstance, parts: ManagementParts): void {
  const certificate = parts.tls && new X509Certificate(parts.tls.cert).raw.toString('hex').toUpperCase();
  app.get('/SMS_MP/.sms_aut', async (request, reply) => {
    const asked = (request.url.split('?')[1] ?? '').split('&')[0]!.toUpperCase();
    reply.type('text/xml; charset=utf-8').header('cache-control', 'no-cache');
    if (asked === 'MPLIST' || asked === 'MPLIST1') return writeMpList((await listed(parts)).points, asked);
    if (asked === 'MPCERT' && certificate) return `<X509Certificate>${certificate}</X509Certificate>`;
    if (asked !== 'MPKEYINFORMATION') throw raise('PP_MP_NOT_HERE');
    const { points, code } = await listed(parts);
    return `<MPKEYINFORMATION><FQDN>${points[0]?.fqdn ?? ''}</FQDN><SITECODE>${code}</SITECODE></MPKEYINFORMATION>`;
  });
}

async function listed(parts: ManagementParts): Promise<{ code: string; points: ListedPoint[] }> {
  const { code } = await parts.site.here();
  const points = (await parts.site.points(code)).filter((p) => p.kind === 'mp' && p.on);
  return { code, points: points.map(({ address }) => listedPoint(address, code, parts.build)) };
}

/** listedPoint shows a point; its host comes out of the URL parser, which lets no character pass that XML would have to escape. */
function listedPoint(address: string, siteCode: string, version: string): ListedPoint {
  const { hostname } = new URL(address);
  const name = /^[\d.]+$|:/.test(hostname) ? hostname : hostname.split('.')[0]!.toUpperCase();
  return { name, fqdn: hostname, version, siteCode, url: address };
}
