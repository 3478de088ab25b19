import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type, type Static } from 'typebox';
import { raise } from '#base/errors';
import { CCR_STATES } from '#records/ccr';
import {
  FIELDS,
  LONGEST_FILTER,
  parseDevices,
  propertiesOf,
  type Device,
  type ImportFormat,
  type ImportMap,
} from '#records/resource';
import { change, DryRun } from '../change.ts';
import type { ConsoleParts } from '../server.ts';
import { line, Named, Names, Page, splitName, strict, theOne } from '../shapes.ts';

const ListQuery = Type.Interface(
  [Page],
  {
    filter: Type.Optional(line(LONGEST_FILTER)),
    ccr: Type.Optional(Type.Union([...CCR_STATES, 'none' as const].map((state) => Type.Literal(state)))),
  },
  strict,
);

const ImportQuery = Type.Interface([DryRun], { map: Type.Optional(line(1000)) }, strict);

const Reassign = Type.Object(
  {
    names: Type.Optional(Names),
    filter: Type.Optional(line(LONGEST_FILTER, 1)),
    all: Type.Optional(Type.Boolean()),
  },
  strict,
);
/** The audit log holds so many moves of one reassignment. */
const AUDITED = 500;

/** deviceJson is a machine in the fixed names of the API. */
export function deviceJson(device: Device): Record<string, unknown> {
  const {
    name,
    domain,
    fqdn,
    addresses,
    adSite,
    os,
    type,
    assignedSite,
    trusted,
    sources,
    client,
    smbPort,
    osVersion,
    architecture,
  } = device;
  return {
    name,
    domain,
    fqdn,
    addresses,
    adSite,
    os,
    osVersion,
    architecture,
    type,
    assignedSite,
    trusted,
    sources,
    client,
    smbPort,
  };
}

/** deviceRoutes: machines as discovery knows them. */
export function deviceRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  reassignRoute(api, parts);
  api.get<{ Querystring: Static<typeof ListQuery> }>(
    '/devices',
    {
      schema: {
        summary: 'Machines, by name',
        description: 'filter: a part of the name, an address, or a filter over the properties that /device-fields names.',
        querystring: ListQuery,
      },
    },
    async (request) => {
      const { items, next } = await parts.resource.list(request.query);
      return { items: items.map(deviceJson), next };
    },
  );
  api.get('/device-fields', { schema: { summary: 'What a filter can ask for' } }, async () => ({
    items: FIELDS.map(({ name, type, says, wants }) => ({ name, type, says, wants })),
  }));
  api.get<{ Params: Static<typeof Named> }>(
    '/devices/:name',
    { schema: { summary: 'One machine', params: Named } },
    async (request) => {
      const { name, domain } = splitName(request.params.name);
      const device = theOne('machine', request.params.name, await parts.resource.find(name, domain));
      const { guid, hardwareId, ou, keys, told } = device;
      const more = { guid, hardwareId, ou, keys, properties: propertiesOf({ ...device }, told) };
      const collections = await parts.collection.having(device.id);
      return { ...deviceJson(device), ...more, collections, siteWidePush: await parts.discovery.explain(device) };
    },
  );
  api.post<{ Querystring: Static<typeof ImportQuery> }>(
    '/devices/import',
    {
      schema: {
        summary: 'Take in machines; an import is a trusted source',
        description:
          'text/csv with a header line (name,domain,fqdn,ip,os,type), a JSON array of such objects, or text/plain: DDRs in JSON or the old text form, or names, one a line. `repeated` names rows that told of a machine that an earlier row had told of: they were merged into one. map says which column is what: map=Rechner=name',
        consumes: ['text/csv', 'application/json', 'text/plain'],
        querystring: ImportQuery,
      },
    },
    async (request) => {
      const { rows, rejected, ignored } = parseDevices(...bodyOf(request), mapOf(request.query.map));
      const site = (await parts.site.here()).code;
      // An import works in parts, so that a large one holds nobody up, and so does a trial of one.
      const { dryRun } = request.query;
      const {
        ids: _ids,
        outcomes: _outcomes,
        ...result
      } = await parts.discovery[dryRun ? 'trial' : 'take'](rows, { site, source: 'import' });
      const { added, changed, assigned, requested } = result;
      const detail = { added, changed, assigned, requested, rejected: rejected.length + result.rejected.length };
      if (!dryRun) await parts.audit.write(importEntry(request, rows.length, detail));
      return { ...result, ignored, rejected: [...rejected, ...result.rejected].sort((a, b) => a.line - b.line) };
    },
  );
}

/** reassignRoute: machines keep the site that they were first given until somebody asks for this. */
function reassignRoute(api: FastifyInstance, parts: ConsoleParts): void {
  api.post<{ Body: Static<typeof Reassign>; Querystring: DryRun }>(
    '/devices/reassign',
    {
      schema: {
        summary: 'Assign machines anew by the boundaries as they are now; the answer names those that move',
        description: 'Exactly one of names, filter (as the list of machines takes it) and all.',
        body: Reassign,
        querystring: DryRun,
      },
    },
    async ({ body, query, who, ip }) => {
      const { names, filter, all } = body;
      if ([names, filter, all].filter((one) => one !== undefined).length !== 1 || all === false)
        throw raise('PP_API_INVALID', { why: 'it wants exactly one of names, filter and all' });
      await decidesHere(parts, 'pushpoint device reassign');
      const ids = names === undefined ? undefined : await idsOf(parts, names);
      return change(parts.database, query, async (tx) => {
        const whom = ids ? { ids } : filter === undefined ? ('all' as const) : { filter };
        const done = await parts.discovery.reassign(whom, who, tx);
        const moves = done.items.slice(0, AUDITED).map(({ name, from, to }) => `${name} ${from ?? '-'} ${to ?? '-'}`);
        const detail = { filter, all, changed: done.changed, moves };
        await parts.audit.write({ who, what: 'device.reassign', object: `${done.changed} machines`, detail, address: ip }, tx);
        return done;
      });
    },
  );
}

/** decidesHere refuses at a secondary what its primary decides, as long as it has one. */
export async function decidesHere({ site, link }: Pick<ConsoleParts, 'site' | 'link'>, command: string): Promise<void> {
  const here = await site.here();
  if (here.kind !== 'secondary') return;
  const parent = await link.parent();
  if (parent?.state === 'joined') throw raise('PP_SITE_SECONDARY', { site: here.code, parent: parent.site, command });
}

async function idsOf(parts: ConsoleParts, names: readonly string[]): Promise<number[]> {
  const found = await parts.resource.findMany(names.map(splitName));
  return names.map((name, i) => theOne('machine', name, found[i]!).id);
}

function importEntry({ who, ip }: FastifyRequest, rows: number, detail: Record<string, unknown>) {
  return { who, what: 'device.import', object: `${rows} machines`, detail, address: ip };
}

function bodyOf({ body, headers }: FastifyRequest): [Uint8Array, ImportFormat] {
  if (body instanceof Uint8Array) return [body, headers['content-type']?.startsWith('text/plain') ? 'text' : 'csv'];
  // An array of machines, or the {items: […]} that the list of machines answers with.
  if (typeof body === 'object' && body !== null && !(Symbol.asyncIterator in body))
    return [new TextEncoder().encode(JSON.stringify(body)), 'json'];
  throw raise('PP_API_INVALID', { why: 'an import is text/csv, text/plain, or a JSON array of machines' });
}

/** mapOf reads what the columns of a file are: Column=field, several with commas between. */
function mapOf(text: string | undefined): ImportMap {
  const pairs = (text ?? '').split(',').filter((pair) => pair.trim() !== '');
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.lastIndexOf('=');
      if (at < 1) throw raise('PP_API_INVALID', { why: 'map wants Column=field' });
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}
