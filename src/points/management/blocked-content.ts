import type { FastifyInstance } from 'fastify';
import { raise } from '#base/errors';
import { plainAddress } from '#wire/http';
import type { ManagementParts } from './server.ts';

/**
 * refuseContent refuses client files to the addresses of blocked clients where the setting client.blockedContent says so. Downloads are not
 * signed, because the bootstrap has no key yet: an address is all there is to go by, so this hinders a blocked machine and does not stop one
 * that comes from elsewhere.
 */
export function refuseContent(app: FastifyInstance, parts: ManagementParts): void {
  app.addHook('onRequest', async (request) => {
    if (!/^\/ccm_client\//i.test(request.url)) return;
    if ((await parts.site.here()).settings.client.blockedContent !== 'refuse') return;
    const blocked = await parts.client.blockedAt(plainAddress(request.ip));
    if (blocked) throw raise('PP_CLIENT_BLOCKED', { guid: blocked.guid, name: blocked.name });
  });
}
