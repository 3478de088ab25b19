import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { deploymentStateText, TOPIC } from '#messages';
import type { FallbackState } from '#records/fallback-status';
import type { ConsoleParts } from '../server.ts';
import { line, Page, strict } from '../shapes.ts';

const Query = Type.Interface([Page], { name: Type.Optional(line(63, 1)), failed: Type.Optional(Type.Boolean()) }, strict);

function stateJson(state: FallbackState): Record<string, unknown> {
  const { topicType, stateId } = state;
  return { ...state, id: undefined, text: topicType === TOPIC.clientDeployment ? deploymentStateText(stateId) : undefined };
}

/** fallbackStatusRoutes: what was said at the fallback status point, by whoever said it. */
export function fallbackStatusRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  api.get<{ Querystring: Static<typeof Query> }>(
    '/fallback-status',
    {
      schema: { summary: 'State messages that came to the fallback status point unsigned, the newest first', querystring: Query },
    },
    async ({ query }) => {
      const { items, next } = await parts.fallbackStatus.list(query);
      return { items: items.map(stateJson), next };
    },
  );
}
