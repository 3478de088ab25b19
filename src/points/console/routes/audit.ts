import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import type { ConsoleParts } from '../server.ts';
import { line, Page, strict } from '../shapes.ts';

const ListQuery = Type.Interface([Page], { what: Type.Optional(line(64)) }, strict);

/** auditRoutes: who did what. */
export function auditRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  api.get<{ Querystring: Static<typeof ListQuery> }>(
    '/audit',
    { config: { scope: 'admin' }, schema: { summary: 'The audit log, the newest entry first', querystring: ListQuery } },
    async (request) => parts.audit.list(request.query),
  );
}
