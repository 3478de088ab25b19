import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type, type Static } from 'typebox';
import { raise } from '#base/errors';
import type { Collection, CollectionChange } from '#records/collection';
import { LONGEST_FILTER } from '#records/resource';
import type { Sql } from '#store/database';
import { auditNames } from '../audit.ts';
import { change, DryRun } from '../change.ts';
import type { ConsoleParts } from '../server.ts';
import { line, Named, Names, Page, splitName, strict, theOne } from '../shapes.ts';
import { deviceJson } from './devices.ts';

const Others = Type.Optional(Type.Array(line(100, 1), { maxItems: 100 }));
const Direct = Type.Optional(Names);
const New = Type.Object(
  {
    name: line(200, 1),
    comment: Type.Optional(line(500)),
    query: Type.Optional(line(LONGEST_FILTER, 1)),
    under: Type.Optional(line(100, 1)),
    limitTo: Type.Optional(line(100, 1)),
    include: Others,
    exclude: Others,
    names: Direct,
    everyMinutes: Type.Optional(Type.Integer({ minimum: 1, maximum: 525_600 })),
  },
  strict,
);
const Change = Type.Object({ names: Direct, include: Others, exclude: Others }, strict);
type Change = Static<typeof Change>;
const OrNone = (name: number) => Type.Optional(Type.Union([line(name, 1), Type.Null()]));
const Definitions = Type.Object(
  {
    name: Type.Optional(line(200, 1)),
    comment: Type.Optional(line(500)),
    query: OrNone(LONGEST_FILTER),
    under: OrNone(100),
    limitTo: OrNone(100),
    everyMinutes: Type.Optional(Type.Integer({ minimum: 1, maximum: 525_600 })),
  },
  strict,
);
const Members = Type.Interface(
  [Page],
  { filter: Type.Optional(line(LONGEST_FILTER)), subcollections: Type.Optional(Type.Boolean()) },
  strict,
);
const One = Type.Object({ name: Type.Optional(line(100, 1)) }, strict);

/** collectionJson is a collection in the names of the API. */
function collectionJson({ id: _id, ...collection }: Collection): Record<string, unknown> {
  return collection;
}

/** collectionRoutes: groups of machines. */
export function collectionRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  const { collection, resource } = parts;
  api.get(
    '/collections',
    { schema: { summary: 'All collections, built-in ones first, with how many members each has' } },
    async () => {
      await collection.freshen();
      return { items: (await collection.list()).map(collectionJson) };
    },
  );
  api.get<{ Params: Static<typeof Named> }>(
    '/collections/:name',
    { schema: { summary: 'One collection', params: Named } },
    async ({ params }) => {
      await collection.freshen();
      return collectionJson(await collection.get(params.name));
    },
  );
  api.get<{ Params: Static<typeof Named>; Querystring: Static<typeof Members> }>(
    '/collections/:name/members',
    {
      schema: {
        summary: 'The machines of a collection, by name',
        description:
          'With subcollections those of the collections under it too. The first page brings the collection up to date.',
        params: Named,
        querystring: Members,
      },
    },
    async ({ params, query: { subcollections, ...query } }) => {
      if (query.cursor === undefined) await collection.freshen();
      const ids = await collection.subtree(params.name, subcollections === true);
      const { items, next } = await resource.list({ ...query, collection: ids });
      return { items: items.map(deviceJson), next };
    },
  );
  changeRoutes(api, parts);
  api.post<{ Body: Static<typeof One> }>(
    '/collections/evaluate',
    { schema: { summary: 'Judge all machines anew for one collection and those that need it, or for all', body: One } },
    async (request) => {
      const { name } = request.body;
      const items = await parts.collection.evaluate(name);
      await write(parts, request, 'collection.evaluate', name ?? 'all collections', { collections: items.length });
      return { items };
    },
  );
}

function changeRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  const { collection, database } = parts;
  api.post<{ Body: Static<typeof New>; Querystring: DryRun }>(
    '/collections',
    { schema: { summary: 'Make a collection; the answer tells how many members it has', body: New, querystring: DryRun } },
    async (request) => {
      const { names, ...given } = request.body;
      const direct = names && (await idsOf(parts, names));
      return change(database, request.query, async (tx) => {
        const made = await collection.create({ ...given, direct }, request.who, tx);
        await write(
          parts,
          request,
          'collection.create',
          made.name,
          { ...given, direct: direct?.length, members: made.members },
          tx,
        );
        return collectionJson(made);
      });
    },
  );
  api.patch<{ Params: Static<typeof Named>; Body: Static<typeof Definitions>; Querystring: DryRun }>(
    '/collections/:name',
    {
      schema: {
        summary: 'Change what makes a collection; what is not named stays, null takes away',
        params: Named,
        body: Definitions,
        querystring: DryRun,
      },
    },
    async (request) => {
      if (Object.keys(request.body).length === 0)
        throw raise('PP_API_INVALID', { why: 'it wants a query, limitTo, under, everyMinutes, comment or name' });
      return change(database, request.query, async (tx) => {
        const was = await collection.get(request.params.name, tx);
        const changed = await collection.set(request.params.name, request.body, tx);
        const detail = { ...request.body, queryWas: was.query, membersWas: was.members, members: changed.members };
        await write(parts, request, 'collection.set', was.name, detail, tx);
        return collectionJson(changed);
      });
    },
  );
  const changing = (verb: 'add' | 'remove', summary: string) =>
    api.post<{ Params: Static<typeof Named>; Body: Change; Querystring: DryRun }>(
      `/collections/:name/${verb}`,
      { schema: { summary, params: Named, body: Change, querystring: DryRun } },
      async (request) => {
        const { names = [], include = [], exclude = [] } = request.body;
        if (names.length + include.length + exclude.length === 0)
          throw raise('PP_API_INVALID', { why: 'it wants names, include or exclude' });
        const what: CollectionChange = { direct: await idsOf(parts, names), include, exclude };
        return change(database, request.query, async (tx) => {
          const changed = await collection[verb](request.params.name, what, tx);
          const detail = { collection: changed.name, include, exclude };
          if (names.length > 0) await auditNames(parts.audit, request, { what: `collection.${verb}`, names, detail }, tx);
          else await write(parts, request, `collection.${verb}`, changed.name, detail, tx);
          return collectionJson(changed);
        });
      },
    );
  changing('add', 'Put machines, or the members of other collections, into a collection');
  changing('remove', 'Take machines that were put in one by one, or rules about other collections, out again');
  api.delete<{ Params: Static<typeof Named>; Querystring: DryRun }>(
    '/collections/:name',
    { schema: { summary: 'Delete a collection; its machines stay', params: Named, querystring: DryRun } },
    async (request) =>
      change(database, request.query, async (tx) => {
        const gone = await collection.delete(request.params.name, tx);
        await write(parts, request, 'collection.delete', gone.name, { query: gone.query, members: gone.members }, tx);
        return collectionJson(gone);
      }),
  );
}

function write(
  { audit }: ConsoleParts,
  { who, ip }: FastifyRequest,
  what: string,
  object: string,
  detail: Record<string, unknown>,
  via?: Sql,
): Promise<unknown> {
  return audit.write({ who, what, object, detail, address: ip }, via);
}

async function idsOf(parts: ConsoleParts, names: readonly string[]): Promise<number[]> {
  const found = await parts.resource.findMany(names.map(splitName));
  return names.map((name, i) => theOne('machine', name, found[i]!).id);
}
