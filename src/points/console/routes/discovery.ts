import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { raise } from '#base/errors';
import type { MethodShown, NetworkPatch, Run, Schedule } from '#records/method';
import { change, DryRun } from '../change.ts';
import type { ConsoleParts } from '../server.ts';
import { line, strict } from '../shapes.ts';

const Lines = Type.Array(line(100, 1), { maxItems: 10_000 });
/** What is not named stays as it is set; the record says what is wrong with a value. */
const Settings = {
  targets: Type.Optional(Lines),
  exclude: Type.Optional(Lines),
  ports: Type.Optional(Type.Array(Type.Union([Type.Literal(445), Type.Literal(22), Type.Literal(135)]))),
  smbPort: Type.Optional(Type.Integer()),
  perSecond: Type.Optional(Type.Integer()),
  atOnce: Type.Optional(Type.Integer()),
  timeoutMs: Type.Optional(Type.Integer()),
  dns: Type.Optional(Type.Boolean()),
  trusted: Type.Optional(Type.Boolean()),
};
const Minutes = Type.Optional(Type.Integer({ minimum: 0, maximum: 525_600 }));
const SetBody = Type.Object({ ...Settings, fullMinutes: Minutes, deltaMinutes: Minutes }, strict);
const Kind = Type.Optional(Type.Union([Type.Literal('full'), Type.Literal('delta')]));
const RunBody = Type.Object({ method: line(40, 1), kind: Kind, ...Settings }, strict);
const Method = Type.Object({ method: line(40, 1) }, strict);
const Id = Type.Object({ id: Type.String({ pattern: '^[1-9][0-9]{0,8}$' }) });
const Query = Type.Object(
  {
    method: Type.Optional(line(40, 1)),
    cursor: Type.Optional(line(20)),
    limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
  },
  strict,
);

/** An entry of the audit log names so many networks. */
const NAMED = 100;

/** runJson is a run in the names of the API; `took` is in milliseconds, up to now while it is under way. */
function runJson(run: Run, now: Date): Record<string, unknown> {
  const took = run.startedAt && (run.finishedAt ?? now).getTime() - run.startedAt.getTime();
  return { ...run, took };
}

function methodJson({ last, lastFull, lastDelta, ...method }: MethodShown, now: Date): Record<string, unknown> {
  const shown = (run: Run | undefined) => run && runJson(run, now);
  return { ...method, last: shown(last), lastFull: shown(lastFull), lastDelta: shown(lastDelta) };
}

function audited(patch: NetworkPatch & Partial<Schedule>): Record<string, unknown> {
  return { ...patch, targets: patch.targets?.slice(0, NAMED), exclude: patch.exclude?.slice(0, NAMED) };
}

/** discoveryRoutes: discovery methods, their schedules and their runs. A run is a recorded wish; the role `discovery` takes it. */
export function discoveryRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  const { method: methods, database, audit, clock } = parts;
  api.get('/discovery/methods', { schema: { summary: 'Discovery methods that run, with their last runs' } }, async () => ({
    items: (await methods.methods()).map((method) => methodJson(method, clock.now())),
  }));
  api.get<{ Params: Static<typeof Method> }>(
    '/discovery/methods/:method',
    { schema: { summary: 'One discovery method', params: Method } },
    async ({ params }) => methodJson(await methods.method(params.method), clock.now()),
  );
  api.patch<{ Params: Static<typeof Method>; Body: Static<typeof SetBody>; Querystring: DryRun }>(
    '/discovery/methods/:method',
    {
      schema: {
        summary: 'Change what a method works with, and how often it runs by itself (0 = never)',
        params: Method,
        body: SetBody,
        querystring: DryRun,
      },
    },
    async ({ params, body, query, who, ip }) =>
      change(database, query, async (tx) => {
        const { fullMinutes, deltaMinutes, ...patch } = body;
        const schedule = {
          ...(fullMinutes !== undefined && { fullMinutes }),
          ...(deltaMinutes !== undefined && { deltaMinutes }),
        };
        const set = await methods.set(params.method, patch, schedule, who, tx);
        await audit.write({ who, what: 'discovery.set', object: set.method, detail: audited(body), address: ip }, tx);
        return methodJson(set, clock.now());
      }),
  );
  runRoutes(api, parts);
}

function runRoutes(api: FastifyInstance, { method: methods, database, audit, clock }: ConsoleParts): void {
  api.get<{ Querystring: Static<typeof Query> }>(
    '/discovery/runs',
    { schema: { summary: 'Runs of discovery methods, the newest first', querystring: Query } },
    async ({ query: { method, cursor, limit } }) => {
      if (cursor !== undefined && !/^\d{1,9}$/.test(cursor)) throw raise('PP_REQUEST_CURSOR');
      const before = cursor === undefined ? undefined : Number(cursor);
      const found = await methods.runs({ method, before, limit: limit + 1 });
      const items = found.slice(0, limit).map((run) => runJson(run, clock.now()));
      return found.length > limit ? { items, next: String(found[limit - 1]!.id) } : { items };
    },
  );
  api.post<{ Body: Static<typeof RunBody>; Querystring: DryRun }>(
    '/discovery/runs',
    {
      schema: {
        summary: 'Ask for a run, with the settings of the method or with others for this once',
        description: 'Two wishes for the same run, of which none has begun, are one.',
        body: RunBody,
        querystring: DryRun,
      },
    },
    async ({ body: { method, kind = 'full', ...patch }, query, who, ip }) =>
      change(database, query, async (tx) => {
        const own = Object.keys(patch).length > 0;
        const run = await methods.request({ method, kind, by: who, ...(own && { patch }) }, tx);
        const detail = { method: run.method, kind, addresses: run.total, trusted: run.settings.trusted, ...audited(patch) };
        await audit.write({ who, what: 'discovery.run', object: `run ${run.id}`, detail, address: ip }, tx);
        return runJson(run, clock.now());
      }),
  );
  api.get<{ Params: Static<typeof Id> }>(
    '/discovery/runs/:id',
    { schema: { summary: 'One run: its progress or its report', params: Id } },
    async ({ params: { id } }) => runJson(await methods.run(Number(id)), clock.now()),
  );
  api.post<{ Params: Static<typeof Id>; Querystring: DryRun }>(
    '/discovery/runs/:id/cancel',
    { schema: { summary: 'End a run; what it has found stays', params: Id, querystring: DryRun } },
    async ({ params: { id }, query, who, ip }) =>
      change(database, query, async (tx) => {
        const run = await methods.cancel(Number(id), who, tx);
        await audit.write({ who, what: 'discovery.cancel', object: `run ${id}`, address: ip }, tx);
        return runJson(run, clock.now());
      }),
  );
}
