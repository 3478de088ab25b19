import type { FastifyInstance } from 'fastify';
import { raise } from '#base/errors';
import { plainAddress } from '#wire/http';
import type { ConsoleParts } from './server.ts';
import { WrongTokens } from './wrong-tokens.ts';

/** Scope is what a token is good for; each one includes those before it. */
type Scope = 'read' | 'push' | 'admin';

const INCLUDES: Record<Scope, readonly string[]> = { read: ['read', 'push', 'admin'], push: ['push', 'admin'], admin: ['admin'] };

declare module 'fastify' {
  interface FastifyRequest {
    /** Who makes this call: the label of its token. */
    who: string;
  }
  interface FastifyContextConfig {
    /** What a token must be good for; without it reading needs `read` and everything else `admin`. */
    scope?: Scope;
  }
}

/**
 * guard lets in only calls with a valid token and names who makes them. Browsers are kept out of what they could be tricked into:
 * the token stands in a header, never in a cookie, and no cross-origin header is ever sent. `isOpenTo` names addresses that need no token.
 */
export function guard(
  api: FastifyInstance,
  parts: ConsoleParts,
  isOpenTo: (address: string) => Promise<boolean> = async () => false,
): void {
  api.decorateRequest('who', '');
  const tokens = new WrongTokens(parts);
  api.addHook('onRequest', async (request) => {
    const address = plainAddress(request.ip);
    const given = /^Bearer ([A-Za-z0-9._~+/=-]{16,512})$/.exec(request.headers.authorization ?? '')?.[1];
    if (given === undefined && (await isOpenTo(address))) return;
    tokens.check(given, address);
    const token = given === undefined ? undefined : await parts.site.tokens.check(given);
    if (!token) {
      await tokens.wrong(given, address);
      throw raise('PP_API_UNAUTHORIZED');
    }
    tokens.good(given!);
    const reading = request.method === 'GET' || request.method === 'HEAD';
    const scope = request.routeOptions.config.scope ?? (reading ? 'read' : 'admin');
    if (!token.scopes.some((s) => INCLUDES[scope].includes(s))) throw raise('PP_API_FORBIDDEN', { label: token.label, scope });
    request.who = token.label;
  });
}
