import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { boundaryText, type Boundary } from '#records/boundary';
import { change, DryRun } from '../change.ts';
import type { ConsoleParts } from '../server.ts';
import { line, strict } from '../shapes.ts';

const Text = line(200, 1);
const Code = Type.Optional(line(20));
const Body = Type.Object(
  {
    boundaries: Type.Array(Text, { minItems: 1, maxItems: 10_000 }),
    site: Code,
    roaming: Type.Optional(Type.Boolean()),
  },
  strict,
);
const OfSite = Type.Object({ site: Code }, strict);
const Address = Type.Object({ address: line(100, 1) }, strict);
const One = Type.Object({ boundary: Text }, strict);
const Removal = Type.Object({ site: Code, dryRun: Type.Optional(Type.Boolean()) }, strict);

/** The audit log holds so many of one change; the boundaries themselves are in the list. */
const NAMED = 1000;

/** boundaryJson is a boundary in the names of the API; `boundary` is what it is written as. */
function boundaryJson(boundary: Boundary): Record<string, unknown> {
  const { kind, value, site, roaming, createdAt, idle } = boundary;
  return { boundary: boundaryText(boundary), kind, value, site, roaming, createdAt, siteRemoved: idle };
}

/** boundaryRoutes: which addresses belong to which site. */
export function boundaryRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  const { boundary, discovery, audit, database } = parts;
  api.get<{ Querystring: Static<typeof OfSite> }>(
    '/boundaries',
    { schema: { summary: 'All boundaries, in the order in which they count', querystring: OfSite } },
    async ({ query }) => ({ items: (await boundary.list(query)).map(boundaryJson) }),
  );
  api.get<{ Querystring: Static<typeof Address> }>(
    '/boundaries/which',
    { schema: { summary: 'To which site an address belongs, and why', querystring: Address } },
    async ({ query }) => boundary.which(query.address),
  );
  api.get(
    '/boundaries/report',
    { schema: { summary: 'Boundaries that overlap, and networks of known machines that none holds' } },
    async () => boundary.report(),
  );
  api.post<{ Body: Static<typeof Body>; Querystring: DryRun }>(
    '/boundaries',
    {
      schema: {
        summary: 'Add boundaries of one site, all of them or none',
        description: 'Each is KIND:VALUE: subnet:10.1.0.0/16, range:10.1.0.10-10.1.0.99, ipv6:2001:db8:1::/48, adsite:Berlin.',
        body: Body,
        querystring: DryRun,
      },
    },
    async ({ body, query, who, ip }) =>
      change(database, query, async (tx) => {
        const { items, overlaps } = await boundary.add(body.boundaries, { ...body, by: who }, tx);
        // Machines that no boundary held so far may belong to a site now.
        await discovery.wantSweep(who, tx);
        const { site, roaming } = items[0]!;
        const named = items.slice(0, NAMED).map(boundaryText);
        const object = named.length === 1 ? named[0]! : `${items.length} boundaries`;
        await audit.write({ who, what: 'boundary.add', object, detail: { site, roaming, boundaries: named }, address: ip }, tx);
        return { items: items.map(boundaryJson), overlaps };
      }),
  );
  api.delete<{ Params: Static<typeof One>; Querystring: Static<typeof Removal> }>(
    '/boundaries/:boundary',
    {
      schema: {
        summary: 'Take a boundary away; the machines it assigned stay where they are',
        params: One,
        querystring: Removal,
      },
    },
    async ({ params, query, who, ip }) =>
      change(database, query, async (tx) => {
        const removed = await boundary.remove(params.boundary, query, tx);
        const { site, roaming } = removed;
        const object = boundaryText(removed);
        await audit.write({ who, what: 'boundary.remove', object, detail: { site, roaming }, address: ip }, tx);
        return { removed: object, site, roaming };
      }),
  );
}
