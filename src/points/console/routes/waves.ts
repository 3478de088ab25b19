import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { raise } from '#base/errors';
import type { ConsoleParts } from '../server.ts';
import { line, strict } from '../shapes.ts';

const Id = Type.Object({ id: Type.String({ pattern: '^[1-9][0-9]{0,8}$' }) });
const Query = Type.Object(
  { cursor: Type.Optional(line(20)), limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }) },
  strict,
);

/** waveRoutes: what each push asked for, with how its CCRs stand. */
export function waveRoutes(api: FastifyInstance, { ccr }: ConsoleParts): void {
  api.get<{ Querystring: Static<typeof Query> }>(
    '/waves',
    { schema: { summary: 'Waves: what each push asked for, the newest first', querystring: Query } },
    async ({ query: { cursor, limit } }) => {
      if (cursor !== undefined && !/^\d{1,9}$/.test(cursor)) throw raise('PP_REQUEST_CURSOR');
      const items = await ccr.waves.list({ before: cursor === undefined ? undefined : Number(cursor), limit: limit + 1 });
      const page = items.slice(0, limit);
      return items.length > limit ? { items: page, next: String(page.at(-1)!.id) } : { items: page };
    },
  );
  api.get<{ Params: Static<typeof Id> }>(
    '/waves/:id',
    { schema: { summary: 'One wave', params: Id } },
    async ({ params: { id } }) => {
      const wave = await ccr.waves.get(Number(id));
      if (!wave) throw raise('PP_API_NOT_FOUND', { kind: 'wave', name: id });
      return wave;
    },
  );
}
