import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { raise } from '#base/errors';
import { isSmsid } from '#messages';
import type { Client } from '#records/client';
import { shownName } from '#records/resource';
import type { ConsoleParts } from '../server.ts';
import { line, Named, Page, splitName, strict, theOne } from '../shapes.ts';

const ListQuery = Type.Interface([Page], { filter: Type.Optional(line(300)) }, strict);
const Action = Type.Object({
  name: line(300, 1),
  action: Type.Union([Type.Literal('approve'), Type.Literal('block'), Type.Literal('unblock')]),
});

/** clientJson is a client in the fixed names of the API; its key and its token are nobody's business. */
function clientJson(client: Client): Record<string, unknown> {
  const { guid, name, domain, fqdn, addresses, os, osVersion, version, site } = client;
  const { approval, blocked, registeredAt, lastSeenAt, lastAddress } = client;
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

/** clientRoutes: clients that registered, what they said of their installation, and what people think of them. */
export function clientRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  const { client } = parts;
  api.get<{ Querystring: Static<typeof ListQuery> }>(
    '/clients',
    { schema: { summary: 'Clients, the newest first', querystring: ListQuery } },
    async (request) => {
      const { items, next } = await client.list(request.query);
      return { items: items.map(clientJson), next };
    },
  );
  api.get('/clients/conflicts', { schema: { summary: 'Clients that claim what an approved one has' } }, async () => ({
    items: (await client.conflicts(1000)).map(clientJson),
  }));
  api.get<{ Params: Static<typeof Named> }>(
    '/clients/:name',
    { schema: { summary: 'One client, by name or GUID, with its state messages', params: Named } },
    async (request) => {
      const one = await theClient(parts, request.params.name);
      const states = await client.statesOf(one.resourceId === undefined ? { name: one.name } : { resourceId: one.resourceId });
      return { ...clientJson(one), states };
    },
  );
  api.post<{ Params: Static<typeof Action> }>(
    '/clients/:name/:action',
    { schema: { summary: 'Approve, block or unblock a client', params: Action } },
    async (request) => {
      const { guid, name } = await theClient(parts, request.params.name);
      const { action } = request.params;
      return parts.database.transaction(async (tx) => {
        const done = action === 'unblock' ? await client.unblock(guid, tx) : await client[action](guid, request.who, tx);
        if (done)
          await parts.audit.write(
            { who: request.who, what: `client.${action}`, object: name, detail: { guid }, address: request.ip },
            tx,
          );
        return { guid, name, done };
      });
    },
  );
}

async function theClient(parts: ConsoleParts, given: string): Promise<Client> {
  const isGuid: boolean = isSmsid(given);
  if (isGuid) {
    const known = await parts.client.byGuid(given);
    return theOne('client', given, known ? [known] : []);
  }
  const { name, domain } = splitName(given);
  const found = await parts.client.byName(name);
  const wanted = domain?.toLowerCase();
  const fits = (c: Client) => c.domain.toLowerCase() === wanted || c.fqdn.toLowerCase() === given.toLowerCase();
  const meant = wanted === undefined ? found : found.filter(fits);
  // Clients in conflict have the same name and domain; only their GUIDs tell them apart.
  if (meant.length > 1) {
    const choices = meant.map(({ guid, approval }) => `${guid} (${approval})`).join(', ');
    throw raise('PP_API_AMBIGUOUS', { name: shownName(given), count: meant.length, choices });
  }
  return theOne('client', given, meant);
}
