import type { FastifyInstance } from 'fastify';
import { raise } from '#base/errors';
import type { ConsoleParts } from './server.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who makes this call: the label of its token. */
    who: string;
  }
}

/**
 * guard lets in only calls with a valid token and names who makes them. Browsers are kept out of what they could be tricked into:
 * the token stands in a header, never in a cookie, and no cross-origin header is ever sent.
 */
export function guard(api: FastifyInstance, parts: ConsoleParts): void {
  api.decorateRequest('who', '');
  api.addHook('onRequest', async (request) => {
    const given = /^Bearer ([A-Za-z0-9._~+/=-]{16,512})$/.exec(request.headers.authorization ?? '')?.[1];
    const token = given === undefined ? undefined : await parts.site.checkToken(given);
    if (!token) throw raise('PP_API_UNAUTHORIZED');
    request.who = token.label;
  });
  api.addHook('onSend', async (_request, reply) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
  });
}
