import type { FastifyInstance, FastifyRequest } from 'fastify';
import { raise } from '#base/errors';
import { ClientTrust } from '#wire/http';
import type { ManagementParts } from './server.ts';

type Known = Awaited<ReturnType<ManagementParts['site']['branch']>>;

/** What was read of the branch when a request came, so that it is read once for each. */
const read = new WeakMap<FastifyRequest, Known>();

/** branchOf is the branch with the site's settings, as they were when a request came. */
export async function branchOf(parts: ManagementParts, request: FastifyRequest): Promise<Known> {
  return read.get(request) ?? parts.site.branch();
}

/**
 * nativeMode lets in, as long as the site is in native mode, only who comes over HTTPS with a client certificate that is good now. Locator
 * and fallback status point stay open to everybody: they are for those that have not got so far (facts E, F7).
 */
export function nativeMode(app: FastifyInstance, parts: ManagementParts): void {
  const { tls } = parts;
  const trust = tls && new ClientTrust(tls, parts.clock);
  app.addHook('onRequest', async (request) => {
    const branch = await parts.site.branch();
    read.set(request, branch);
    const { here } = branch;
    if (here.settings.points.mode !== 'native') return;
    if (!trust) throw raise('PP_MP_NATIVE', { why: 'use its https address' });
    if (!tls.clients)
      throw raise('PP_MP_NATIVE', { why: 'this process was started without --client-ca, so it trusts no client certificate' });
    trust.judge(request.raw);
  });
}
