import type { FastifyInstance } from 'fastify';
import type { ConsoleParts } from '../server.ts';

/** healthRoutes: /healthz = this process runs; /readyz = it can do its work, which needs the database. No token, no detail. */
export function healthRoutes(app: FastifyInstance, parts: ConsoleParts): void {
  app.get('/healthz', { schema: { summary: 'The process runs', open: true } }, async () => ({ ok: true }));
  app.get(
    '/readyz',
    { schema: { summary: 'The process can work: the database answers', open: true } },
    async (_request, reply) => {
      try {
        await parts.database.query('select 1');
        return { ready: true };
      } catch {
        return reply.code(503).header('retry-after', '5').send({ ready: false });
      }
    },
  );
}
