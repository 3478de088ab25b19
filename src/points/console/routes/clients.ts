import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import type { Client } from '#records/client';
import type { ConsoleParts } from '../server.ts';
import { Named, Page, splitName, theOne } from '../shapes.ts';

const ListQuery = Type.Interface([Page], { filter: Type.Optional(Type.String({ maxLength: 300 })) });

function clientJson(client: Client): Record<string, unknown> {
  const {
    guid,
    name,
    domain,
    fqdn,
    addresses,
    os,
    osVersion,
    version,
    site,
    approval,
    blocked,
    registeredAt,
    lastSeenAt,
    lastAddress,
  } = client;
  return {
    guid,
    name,
    domain,
    fqdn,
    addresses,
    os,
    osVersion,
    version,
    site,
    approval,
    blocked,
    registeredAt,
    lastSeenAt,
    lastAddress,
  };
}

/** clientRoutes: clients that registered, and what they said of their installation. */
export function clientRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  api.get<{ Querystring: Static<typeof ListQuery> }>(
    '/clients',
    { schema: { summary: 'Clients, the newest first', querystring: ListQuery } },
    async (request) => {
      const { items, next } = await parts.client.list(request.query);
      return { items: items.map(clientJson), next };
    },
  );
  api.get<{ Params: Static<typeof Named> }>(
    '/clients/:name',
    { schema: { summary: 'One client with its state messages', params: Named } },
    async (request) => {
      const { name, domain } = splitName(request.params.name);
      const found = (await parts.client.byName(name)).filter(
        (c) =>
          domain === undefined ||
          c.domain.toLowerCase() === domain.toLowerCase() ||
          c.fqdn.toLowerCase() === request.params.name.toLowerCase(),
      );
      const one = theOne('client', request.params.name, found);
      const states = await parts.client.statesOf(
        one.resourceId === undefined ? { name: one.name } : { resourceId: one.resourceId },
      );
      return { ...clientJson(one), states };
    },
  );
}
