import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { raise } from '#base/errors';
import type { Report, ReportWish } from '#records/report';
import { validateCode } from '#records/site';
import type { ConsoleParts } from '../server.ts';
import { line, Named, Page, strict } from '../shapes.ts';

const Wish = {
  site: Type.Optional(line(20)),
  collection: Type.Optional(line(200, 1)),
  days: Type.Optional(Type.Integer({ minimum: 1, maximum: 3650 })),
};
const OnePage = Type.Interface([Page], Wish, strict);
const Whole = Type.Object(Wish, strict);

function reportJson({ name, title, family, says, parameters, days, columns }: Report): Record<string, unknown> {
  return { name, title, family, says, parameters, days, columns };
}

/** A site or a collection that nobody knows is a mistake, and not an empty report. */
async function wishOf(parts: ConsoleParts, { site, collection, days }: Static<typeof Whole>): Promise<ReportWish> {
  const code = site === undefined ? undefined : validateCode(site);
  if (code !== undefined && !(await parts.site.list()).some((one) => one.code === code)) throw raise('PP_SITE_UNKNOWN', { code });
  return { site: code, collection: collection === undefined ? undefined : (await parts.collection.get(collection)).id, days };
}

/** reportRoutes: questions about all that is known, by name. They read only, so a token for reading is enough. */
export function reportRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  api.get(
    '/reports',
    { schema: { summary: 'The reports there are, what they ask for and what their columns mean' } },
    async () => ({
      items: parts.report.list().map(reportJson),
    }),
  );
  api.get<{ Params: Static<typeof Named>; Querystring: Static<typeof OnePage> }>(
    '/reports/:name',
    {
      schema: {
        summary: 'One page of a report',
        description: 'site: a site code. collection: its name. days: how far back. Which of them a report takes, /reports tells.',
        params: Named,
        querystring: OnePage,
      },
    },
    async ({ params, query }) => {
      const { cursor, limit, ...wish } = query;
      const report = parts.report.get(params.name);
      const page = await parts.report.page(report.name, await wishOf(parts, wish), { cursor, limit });
      return { report: reportJson(report), ...page };
    },
  );
  api.get<{ Params: Static<typeof Named>; Querystring: Static<typeof Whole> }>(
    '/reports/:name/csv',
    {
      schema: {
        summary: 'A whole report as a file (text/csv, RFC 4180)',
        description: 'A cell that a spreadsheet would take for a formula begins with an apostrophe.',
        params: Named,
        querystring: Whole,
      },
    },
    async ({ params, query }, reply) => {
      const { name } = parts.report.get(params.name);
      const rows = parts.report.csv(name, await wishOf(parts, query));
      // What is wrong with the wish shows with the first line, while it can still be answered with a problem.
      const head = await rows.next();
      const whole = async function* () {
        yield head.value as string;
        yield* rows;
      };
      reply.type('text/csv; charset=utf-8; header=present').header('content-disposition', `attachment; filename="${name}.csv"`);
      return reply.send(Readable.from(whole()));
    },
  );
}
