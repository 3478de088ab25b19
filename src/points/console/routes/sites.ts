import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { validateCode } from '#records/site';
import { change, DryRun } from '../change.ts';
import type { ConsoleParts } from '../server.ts';
import { line, strict } from '../shapes.ts';
import { linkRoutes } from './links.ts';

const Kind = Type.Object({ kind: Type.Union([Type.Literal('mp'), Type.Literal('slp'), Type.Literal('fsp')]) });
/** pin: SHA-256 of the certificate that the point shows; empty takes it away. */
const PointBody = Type.Object(
  {
    address: Type.Optional(line(300, 1)),
    on: Type.Optional(Type.Boolean()),
    pin: Type.Optional(Type.String({ pattern: '^([0-9a-f]{64})?$' })),
  },
  strict,
);
const OfSite = Type.Object({ site: Type.Optional(line(20)) }, strict);
const Patch = Type.Record(Type.String({ maxLength: 40 }), Type.Record(Type.String({ maxLength: 40 }), Type.Unknown()));

/** siteRoutes: sites, settings, points. */
export function siteRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  linkRoutes(api, parts);
  api.get('/settings', { schema: { summary: 'The settings of this site' } }, async () => (await parts.site.here()).settings);
  api.patch<{ Body: Static<typeof Patch>; Querystring: DryRun }>(
    '/settings',
    { schema: { summary: 'Change settings; what is not named stays', body: Patch, querystring: DryRun } },
    async ({ body, query, who, ip }) =>
      change(parts.database, query, async (tx) => {
        const settings = await parts.site.updateSettings(body, who, tx);
        // Site-wide push takes machines that are known already, not only those that come; switched off, it takes its CCRs back.
        if (Object.hasOwn(body, 'push')) await parts.discovery.wantSweep(who, tx);
        const object = (await parts.site.here(tx)).code;
        await parts.audit.write({ who, what: 'site.settings', object, detail: body, address: ip }, tx);
        return settings;
      }),
  );
  api.get<{ Querystring: Static<typeof OfSite> }>(
    '/points',
    { schema: { summary: 'The points of this site, or of another one that this one knows', querystring: OfSite } },
    async ({ query }) => ({
      items: await parts.site.points(query.site === undefined ? (await parts.site.here()).code : validateCode(query.site)),
    }),
  );
  api.put<{ Params: Static<typeof Kind>; Body: Static<typeof PointBody>; Querystring: DryRun }>(
    '/points/:kind',
    {
      schema: {
        summary: 'Say where clients reach a point, or switch it off',
        params: Kind,
        body: PointBody,
        querystring: DryRun,
      },
    },
    async ({ params, body, query, who, ip }) =>
      change(parts.database, query, async (tx) => {
        const point = await parts.site.setPoint(params.kind, body, who, tx);
        const detail = { address: point.address, on: point.on, pin: point.pin };
        await parts.audit.write({ who, what: 'point.set', object: point.kind, detail, address: ip }, tx);
        return point;
      }),
  );
}
