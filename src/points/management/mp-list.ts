import type { FastifyInstance } from 'fastify';
import { raise } from '#base/errors';
import { writeMpList, type ListedPoint } from '#messages';
import type { ManagementParts } from './server.ts';

/** mpList answers `GET /SMS_MP/.sms_aut?MPLIST` and `?MPLIST1` (facts D6). */
export function mpList(app: FastifyInstance, parts: ManagementParts): void {
  app.get('/SMS_MP/.sms_aut', async (request, reply) => {
    const asked = (request.url.split('?')[1] ?? '').split('&')[0]!.toUpperCase();
    if (asked !== 'MPLIST' && asked !== 'MPLIST1') throw raise('PP_MP_NOT_HERE');
    const site = await parts.site.here();
    const points = (await parts.site.points()).filter((p) => p.kind === 'mp' && p.on);
    const listed = points.map((p) => listedPoint(p.address, p.site || site.code, parts.build));
    return reply.type('text/xml; charset=utf-8').send(writeMpList(listed, asked));
  });
}

function listedPoint(address: string, siteCode: string, build: string): ListedPoint {
  const { hostname } = new URL(address);
  return { name: hostname.split('.')[0]!.toUpperCase(), fqdn: hostname, version: build, siteCode, url: address };
}
