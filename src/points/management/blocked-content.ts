import type { FastifyInstance, FastifyRequest } from 'fastify';
import { raise } from '#base/errors';
import { Guid, matches, SIGNATURE_HEADERS, TokenId } from '#messages';
import { plainAddress } from '#wire/http';
import type { ManagementParts } from './server.ts';

/**
 * refuseContent refuses client files to blocked clients where the setting client.blockedContent says so: to one that names itself, or the
 * token of its push, from wherever it comes, and to the address of one that does not. A name is not proven here, for it can only do its
 * bearer harm. So this stops software that is honest, and hinders who is not: the files are public, because the bootstrap has no key yet.
 */
export function refuseContent(app: FastifyInstance, parts: ManagementParts): void {
  app.addHook('onRequest', async (request) => {
    if (!/^\/ccm_client\//i.test(request.url)) return;
    if ((await parts.site.here()).settings.client.blockedContent !== 'refuse') return;
    const blocked = (await named(parts, request)) ?? (await parts.client.blockedAt(plainAddress(request.ip)));
    if (blocked) throw raise('PP_CLIENT_BLOCKED', { guid: blocked.guid, name: blocked.name });
  });
}

/** named is the blocked client that a request names as its sender. */
async function named(
  { client }: ManagementParts,
  { headers }: FastifyRequest,
): Promise<{ guid: string; name: string } | undefined> {
  const { [SIGNATURE_HEADERS.client]: guid, [SIGNATURE_HEADERS.token]: id } = headers;
  if (matches(Guid, guid)) {
    const known = await client.known(guid);
    if (known?.blocked) return known;
  }
  if (!matches(TokenId, id)) return undefined;
  const token = await client.tokenKey(id);
  return token?.blocked ? { guid: token.name, name: token.name } : undefined;
}
