import { createHash } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { raise } from '#base/errors';
import { Check } from 'typebox/value';
import { Approval, isSmsid, type SentDecision } from '#messages';
import type { Client, ClientRecord } from '#records/client';
import { shownName } from '#records/resource';
import { primaryBelow } from '#records/site';
import type { Sql } from '#store/database';
import { change, DryRun } from '../change.ts';
import type { ConsoleParts } from '../server.ts';
import { decidesHere } from './devices.ts';
import { line, Named, Page, splitName, strict, theOne } from '../shapes.ts';

const ListQuery = Type.Interface(
  [Page],
  {
    filter: Type.Optional(line(300)),
    site: Type.Optional(line(3)),
    approval: Type.Optional(Approval),
    blocked: Type.Optional(Type.Boolean()),
  },
  strict,
);
const Decided = Type.Union([
  Type.Literal('approve'),
  Type.Literal('reject'),
  Type.Literal('block'),
  Type.Literal('unblock'),
  Type.Literal('merge'),
  Type.Literal('new'),
]);
const Action = Type.Object({ name: line(300, 1), action: Decided });
/** `ifName` and `ifKey` are what whoever decides was shown: a client that is another one by then is not meant. */
const Into = Type.Union([
  Type.Null(),
  Type.Object(
    { into: Type.Optional(line(300, 1)), ifName: Type.Optional(line(300, 1)), ifKey: Type.Optional(line(64, 1)) },
    strict,
  ),
]);
const Hardware = Type.Object({ id: line(128, 1) });
const BadHardware = Type.Object({ hardwareId: line(128, 1), why: Type.Optional(line(300)) }, strict);

/** keyIdOf names the key of a client: the SHA-256 of its SPKI. */
const keyIdOf = ({ publicKey }: Client): string => createHash('sha256').update(Buffer.from(publicKey, 'base64')).digest('hex');

/** clientJson is a client in the fixed names of the API; its token is nobody's business. */
function clientJson(client: Client): Record<string, unknown> {
  const { guid, name, domain, fqdn, addresses, os, osVersion, version, site } = client;
  const { approval, approvedBy, provenBy, blocked, obsolete, hardwareId, registeredAt, lastSeenAt, lastAddress, wanted } = client;
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
    approvedBy,
    provenBy,
    blocked,
    obsolete,
    hardwareId,
    keyId: keyIdOf(client),
    wanted,
    hasSecrets: Object.keys(client.sealed).length > 0,
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
  api.get('/clients/conflicts', { schema: { summary: 'Clients that seem to be somebody else, undecided' } }, async () => ({
    items: (await client.trust.conflicts(1000)).map(({ client: one, other, kind, score, holds, detail, at }) => ({
      ...clientJson(one),
      conflict: { kind, score, holds, at, detail, other: other && clientJson(other) },
    })),
  }));
  api.get('/clients/approval', { schema: { summary: 'Who is approved without a person, and how many wait' } }, async () => ({
    mode: (await parts.site.here()).settings.client.approval,
    counts: await client.trust.counts(),
  }));
  hardwareRoutes(api, parts);
  api.get<{ Params: Static<typeof Named> }>(
    '/clients/:name',
    { schema: { summary: 'One client, by name or GUID, with its history and its state messages', params: Named } },
    async (request) => {
      const one = await theClient(parts, request.params.name);
      const states = await client.statesOf(one.resourceId === undefined ? { name: one.name } : { resourceId: one.resourceId });
      return { ...clientJson(one), history: await client.trust.history(one.id), states };
    },
  );
  api.post<{ Params: Static<typeof Action>; Body: Static<typeof Into> | undefined; Querystring: DryRun }>(
    '/clients/:name/:action',
    {
      schema: {
        summary: 'Decide about a client: approve, reject, block, unblock, merge or new',
        description:
          'ifName and ifKey (keyId of the client) are what was shown: where the client is another one by now, 409 PP_CLIENT_CHANGED.',
        params: Action,
        querystring: DryRun,
      },
    },
    async ({ params: { name, action }, body, query, who, ip }) => {
      // A block counts at the proxy MP of a secondary until its primary says otherwise; the rest is for the primary alone.
      if (action !== 'block' && action !== 'unblock') await decidesHere(parts, `pushpoint client ${action} ${name}`);
      const one = await theClient(parts, name);
      const { guid } = one;
      const said = Check(Into, body) ? (body ?? {}) : {};
      assertMeant(one, said);
      const below = primaryBelow(await parts.site.branch(), one.viaSite);
      if (below !== undefined) return sendDecision(parts, { one, below, action, body, who, ip, query });
      const into = Check(Into, body) && body?.into !== undefined ? (await theClient(parts, body.into)).guid : undefined;
      // Who is approved or taken back is the machine that was found by that name; a block is of whoever holds the key.
      const asFound = action === 'block' || action === 'reject' ? undefined : one;
      return change(parts.database, query, async (tx) => {
        const now = await client.trust.locked(guid, tx);
        if (now) assertMeant(now, said, asFound);
        const done = await decide(client, action, { guid, into, who }, tx);
        const detail = { guid, ...(done && done.guid !== guid && { into: done.guid }) };
        if (done) await parts.audit.write({ who, what: `client.${action}`, object: one.name, detail, address: ip }, tx);
        const stays = action === 'merge' && done?.blocked === true;
        return { guid: done?.guid ?? guid, name: one.name, done: done !== undefined, ...(stays && { blocked: true }) };
      });
    },
  );
  api.delete<{ Params: Static<typeof Named>; Querystring: DryRun }>(
    '/clients/:name',
    { schema: { summary: 'Forget a client; one that is still there registers again', params: Named, querystring: DryRun } },
    async ({ params, query, who, ip }) => {
      await decidesHere(parts, `pushpoint client delete ${params.name}`);
      const { guid, name } = await theClient(parts, params.name);
      return change(parts.database, query, async (tx) => {
        await client.trust.remove(guid, who, tx);
        await parts.audit.write({ who, what: 'client.delete', object: name, detail: { guid }, address: ip }, tx);
        return { guid, name, done: true };
      });
    },
  );
}

/**
 * sendDecision tells the site that has a client what was decided about it at the top of the branch. That is possible where both ask a person
 * (client.conflicts = manual); whatever else is decided there.
 */
async function sendDecision(
  parts: ConsoleParts,
  {
    one,
    below,
    action,
    body,
    who,
    ip,
    query,
  }: {
    one: Client;
    below: string;
    action: Static<typeof Decided>;
    body: unknown;
    who: string;
    ip: string;
    query: DryRun;
  },
): Promise<Record<string, unknown>> {
  const { guid, name } = one;
  const { here } = await parts.site.branch();
  if (here.settings.client.conflicts !== 'manual' || (action !== 'merge' && action !== 'new' && action !== 'block'))
    throw raise('PP_CLIENT_ELSEWHERE', { name, site: below });
  const conflicts = (await parts.client.trust.conflicts(1000)).filter(({ client }) => client.guid === guid);
  const other =
    Check(Into, body) && body?.into !== undefined ? await theClient(parts, body.into) : conflicts.find((c) => c.other)?.other;
  if (action !== 'block' && conflicts.length === 0 && !other) throw raise('PP_CLIENT_NO_CONFLICT', { name });
  if (action === 'merge' && other?.viaSite !== one.viaSite) throw raise('PP_CLIENT_ELSEWHERE', { name, site: below });
  const into = action === 'merge' ? other?.guid : undefined;
  const decision: SentDecision = {
    guid,
    action,
    ...(into !== undefined && { into }),
    by: who,
    at: parts.clock.now().toISOString(),
  };
  return change(parts.database, query, async (tx) => {
    await parts.link.enqueue(tx, { to: below, kind: 'decision', key: guid, body: decision, ordered: true });
    await parts.client.trust.settleElsewhere(guid, action, who, tx);
    await parts.audit.write(
      { who, what: `client.${action}`, object: name, detail: { guid, into, site: below }, address: ip },
      tx,
    );
    return { guid: into ?? guid, name, done: true, site: below };
  });
}

/** assertMeant refuses a client that is not what whoever decides about it was shown. */
function assertMeant(one: Client, { ifName, ifKey }: { ifName?: string; ifKey?: string }, asFound: Client = one): void {
  const isFound = one.name === asFound.name && one.domain === asFound.domain && one.publicKey === asFound.publicKey;
  if (isFound && (ifName === undefined || isCalled(one, ifName)) && (ifKey ?? keyIdOf(one)).toLowerCase() === keyIdOf(one))
    return;
  const { name, domain } = one;
  throw raise('PP_CLIENT_CHANGED', {
    guid: one.guid,
    name: shownName(domain === '' ? name : `${name}.${domain}`),
    key: keyIdOf(one),
  });
}

function isCalled(one: Client, given: string): boolean {
  const { name, domain } = splitName(given);
  const isDomain = domain === undefined || domain.toLowerCase() === one.domain.toLowerCase();
  return one.name.toLowerCase() === name.toLowerCase() && (isDomain || one.fqdn.toLowerCase() === given.toLowerCase());
}

function decide(
  client: ClientRecord,
  action: Static<typeof Decided>,
  { guid, into, who }: { guid: string; into: string | undefined; who: string },
  tx: Sql,
): Promise<Client | undefined> {
  if (action === 'merge') return client.trust.merge(guid, who, { into }, tx);
  return action === 'new' ? client.trust.asNew(guid, who, tx) : client.trust[action](guid, who, tx);
}

function hardwareRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  const { trust } = parts.client;
  api.get('/clients/bad-hardware', { schema: { summary: 'Hardware ids that tell no machine from another' } }, async () => ({
    items: await trust.badHardware(),
  }));
  api.post<{ Body: Static<typeof BadHardware>; Querystring: DryRun }>(
    '/clients/bad-hardware',
    { schema: { summary: 'Compare a hardware id no more', body: BadHardware, querystring: DryRun } },
    async ({ body: { hardwareId, why = '' }, query, who, ip }) =>
      change(parts.database, query, async (tx) => {
        const done = await trust.addBadHardware({ hardwareId, why, by: who }, tx);
        await parts.audit.write(
          { who, what: 'client.bad-hardware.add', object: done.hardwareId, detail: { why }, address: ip },
          tx,
        );
        return done;
      }),
  );
  api.delete<{ Params: Static<typeof Hardware>; Querystring: DryRun }>(
    '/clients/bad-hardware/:id',
    { schema: { summary: 'Compare it again', params: Hardware, querystring: DryRun } },
    async ({ params: { id }, query, who, ip }) =>
      change(parts.database, query, async (tx) => {
        const done = await trust.removeBadHardware(id, tx);
        if (!done) throw raise('PP_API_NOT_FOUND', { kind: 'hardware id', name: shownName(id) });
        await parts.audit.write({ who, what: 'client.bad-hardware.remove', object: id, address: ip }, tx);
        return { hardwareId: id, done };
      }),
  );
}

/** theClient finds the client that a name or a GUID means. */
export async function theClient(parts: ConsoleParts, given: string): Promise<Client> {
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
