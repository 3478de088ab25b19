import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { raise } from '#base/errors';
import type { LinkTokenFile } from '#messages';
import type { LinkState } from '#records/link';
import { change, DryRun } from '../change.ts';
import type { ConsoleParts } from '../server.ts';
import { strict } from '../shapes.ts';

const TokenBody = Type.Object({ hours: Type.Optional(Type.Integer({ minimum: 1, maximum: 8760 })) }, strict);
const Code = Type.Object({ code: Type.String({ pattern: '^[A-Za-z0-9]{3}$' }) });
const Limit = Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })) }, strict);
const PinBody = Type.Object({ pin: Type.String({ pattern: '^[0-9a-f]{64}$' }) }, strict);
const DAY_HOURS = 24;

/** linkShape is a line to a neighbour as the API shows it. */
function linkShape(link: LinkState, now: Date) {
  const { role, state, url, pin, version, joinedAt, removedAt, exchangedAt, receivedAt } = link;
  const { backlog, oldestAt, rejected, sent, acked, received, skewMs, restarts, restartedWhy, error, copiesAt } = link;
  const times = { joinedAt, removedAt, exchangedAt, receivedAt };
  // By the clock here, which whoever asks need not share. A line that works is heard of every 20 seconds.
  const silentSeconds = exchangedAt && Math.max(0, Math.round((now.getTime() - exchangedAt.getTime()) / 1000));
  return {
    role,
    state,
    url,
    pin,
    version,
    ...times,
    silentSeconds,
    backlog,
    oldestAt,
    rejected,
    sent,
    acked,
    received,
    skewMs,
    restarts,
    restartedWhy,
    /** Told for a day. */
    copiesAt: copiesAt && now.getTime() - copiesAt.getTime() < DAY_HOURS * 3_600_000 ? copiesAt : undefined,
    error,
  };
}

/** linkRoutes: the sites with the lines to them, tokens for joining, removing a child. */
export function linkRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  api.get('/sites', { schema: { summary: 'The sites this one knows, with the lines to its neighbours' } }, async () => {
    const links = new Map((await parts.link.list()).map((link) => [link.site, linkShape(link, parts.clock.now())]));
    return {
      items: (await parts.site.list()).map(({ code, kind, parent, own, createdAt }) => ({
        code,
        kind,
        parent,
        own,
        createdAt,
        link: links.get(code),
      })),
    };
  });
  api.get<{ Params: Static<typeof Code> }>(
    '/sites/:code/rejected',
    { schema: { summary: 'What a neighbour sent and this site could not take, the newest first', params: Code } },
    async ({ params }) => ({ items: await parts.link.rejected(params.code.toUpperCase()) }),
  );
  api.get<{ Params: Static<typeof Code>; Querystring: Static<typeof Limit> }>(
    '/sites/:code/ccrs',
    { schema: { summary: 'How the CCRs of a site below stand, as it told; the newest first', params: Code, querystring: Limit } },
    async ({ params, query }) => ({ items: await parts.branch.ccrs({ site: params.code.toUpperCase(), limit: query.limit }) }),
  );
  api.post<{ Body: Static<typeof TokenBody>; Querystring: DryRun }>(
    '/sites/tokens',
    {
      schema: {
        summary: 'A one-time token with which one site can join below this one; it is shown once',
        body: TokenBody,
        querystring: DryRun,
      },
    },
    async ({ body, query, who, ip }): Promise<LinkTokenFile> => {
      const own = await parts.site.here();
      if (own.kind !== 'primary')
        throw raise('PP_LINK_PARENT', { code: 'a site', parent: own.code, why: `${own.code} is a secondary site` });
      return change(parts.database, query, async (tx) => {
        const { token, secret, expiresAt } = await parts.link.makeToken(tx, body.hours ?? DAY_HOURS);
        const publicKey = await parts.link.publicKey(parts.sealer, tx);
        const detail = { expiresAt: expiresAt.toISOString() };
        await parts.audit.write({ who, what: 'site.token', object: token, detail, address: ip }, tx);
        return {
          format: 'pushpoint site token 1',
          parent: own.code,
          publicKey,
          token,
          secret,
          expiresAt: expiresAt.toISOString(),
        };
      });
    },
  );
  api.put<{ Params: Static<typeof Code>; Body: Static<typeof PinBody>; Querystring: DryRun }>(
    '/sites/:code/pin',
    {
      schema: {
        summary: 'Say which TLS key the parent has now, where the line to it goes over HTTPS',
        params: Code,
        body: PinBody,
        querystring: DryRun,
      },
    },
    async ({ params, body: { pin }, query, who, ip }) =>
      change(parts.database, query, async (tx) => {
        const code = params.code.toUpperCase();
        if (!(await parts.link.repin(code, pin, tx))) throw raise('PP_LINK_NO_WAY', { site: code });
        await parts.audit.write({ who, what: 'site.pin', object: code, detail: { pin }, address: ip }, tx);
        return { code, pin };
      }),
  );
  api.delete<{ Params: Static<typeof Code>; Querystring: DryRun }>(
    '/sites/:code',
    { schema: { summary: 'Remove a child site: nothing that it sends is taken any more', params: Code, querystring: DryRun } },
    async ({ params, query, who, ip }) =>
      change(parts.database, query, async (tx) => {
        const code = params.code.toUpperCase();
        const link = await parts.link.get(code, tx);
        if (link?.role !== 'child') throw raise('PP_LINK_NO_WAY', { site: code });
        await parts.link.remove(tx, code);
        await parts.site.detach(code, tx);
        await parts.audit.write({ who, what: 'site.remove', object: code, address: ip }, tx);
        return { code, removed: true };
      }),
  );
}
