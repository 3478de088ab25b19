import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { catalogue, type Code } from '#base/errors';
import { CCR_STATES, type Ccr, type CcrRecord, type CcrShown } from '#records/ccr';
import { Named, Page, splitName, theOne } from '../shapes.ts';
import type { ConsoleParts } from '../server.ts';

const State = Type.Union(CCR_STATES.map((state) => Type.Literal(state)));
const ListQuery = Type.Interface([Page], {
  state: Type.Optional(State),
  site: Type.Optional(Type.String({ maxLength: 3 })),
  filter: Type.Optional(Type.String({ maxLength: 300 })),
});
const Action = Type.Object({
  action: Type.Union([Type.Literal('retry'), Type.Literal('cancel'), Type.Literal('pause'), Type.Literal('resume')]),
});
const Names = Type.Object({
  names: Type.Array(Type.String({ minLength: 1, maxLength: 300 }), { minItems: 1, maxItems: 10_000 }),
  dryRun: Type.Optional(Type.Boolean()),
});

/** ccrJson is a CCR in the fixed names of the API; `lastErrorCode` is the Win32 code, `lastError` the code of the catalogue. */
function ccrJson(ccr: Ccr): Record<string, unknown> {
  const entry = ccr.lastError !== undefined && ccr.lastError in catalogue ? catalogue[ccr.lastError as Code] : undefined;
  return {
    id: ccr.id,
    name: ccr.name,
    domain: ccr.domain || undefined,
    addresses: ccr.addresses,
    state: ccr.state,
    forced: ccr.forced,
    reinstall: ccr.reinstall,
    inspectOnly: ccr.inspectOnly,
    source: ccr.source,
    site: ccr.site,
    requestedBy: ccr.requestedBy,
    requestCount: ccr.requestCount,
    attempts: ccr.attempts,
    lastErrorCode: ccr.lastErrorCode,
    lastError: ccr.lastError,
    lastErrorText: ccr.lastErrorText,
    cause: entry?.cause,
    remedy: entry?.remedy,
    firstRequestedAt: ccr.firstRequestedAt,
    lastAttemptAt: ccr.lastAttemptAt,
    nextAttemptAt: ccr.nextAttemptAt,
    errorEventAt: ccr.errorEventAt,
    startedAt: ccr.startedAt,
    finishedAt: ccr.finishedAt,
    proof: ccr.proof,
    account: ccr.account,
  };
}

function shownJson(shown: CcrShown): Record<string, unknown> {
  return { ...ccrJson(shown), steps: shown.steps.map((step) => ({ ...step, attempt: shown.attempts })), history: shown.history };
}

/** ccrRoutes: the CCRs, and what people do with them. */
export function ccrRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  const { ccr } = parts;
  api.get<{ Querystring: Static<typeof ListQuery> }>(
    '/ccrs',
    { schema: { summary: 'CCRs, the newest first', querystring: ListQuery } },
    async (request) => {
      const { items, next } = await ccr.list(request.query);
      return { items: items.map((c) => ({ ...ccrJson(c), steps: [] })), next };
    },
  );
  api.get('/ccrs/counts', { schema: { summary: 'How many CCRs are in each state' } }, () => ccr.countByState());
  api.get<{ Params: Static<typeof Named> }>(
    '/ccrs/:name',
    { schema: { summary: 'The live CCR of a machine, else its newest, with every step', params: Named } },
    async (request) => {
      const one = await theCcr(ccr, request.params.name);
      return shownJson((await ccr.showId(one.id))!);
    },
  );
  api.post<{ Params: Static<typeof Action>; Body: Static<typeof Names> }>(
    '/ccrs/:action',
    { schema: { summary: 'Retry now, cancel, pause or resume the live CCRs of these machines', params: Action, body: Names } },
    async (request) => {
      const found = await Promise.all(request.body.names.map(async (name) => ({ name, ccr: await live(ccr, name) })));
      const ids = found.flatMap((f) => (f.ccr ? [f.ccr.id] : []));
      const touched = request.body.dryRun ? new Set(ids) : await act(parts, request.params.action, ids, request.who);
      return {
        items: found.map((f) => ({
          name: f.name,
          done: f.ccr !== undefined && touched.has(f.ccr.id),
          reason:
            f.ccr === undefined
              ? 'it has no live CCR'
              : touched.has(f.ccr.id)
                ? undefined
                : `a CCR that is ${f.ccr.state} cannot be given that`,
        })),
      };
    },
  );
}

async function theCcr(ccr: CcrRecord, text: string): Promise<Ccr> {
  const { name, domain } = splitName(text);
  const found = await ccr.find(name, domain);
  const open = found.filter((c) => c.finishedAt === undefined);
  if (open.length > 1) return theOne('CCR for', text, open);
  const [first] = found;
  return first ?? theOne<Ccr>('CCR for', text, []);
}

async function live(ccr: CcrRecord, text: string): Promise<Ccr | undefined> {
  const { name, domain } = splitName(text);
  const open = (await ccr.find(name, domain)).filter((c) => c.finishedAt === undefined);
  return open.length === 0 ? undefined : theOne('CCR for', text, open);
}

async function act(
  parts: ConsoleParts,
  action: Static<typeof Action>['action'],
  ids: number[],
  who: string,
): Promise<Set<number>> {
  const { ccr, audit, database } = parts;
  if (ids.length === 0) return new Set();
  const done = await database.transaction(async (tx) => {
    const list =
      action === 'cancel'
        ? await ccr.cancel(ids, who, tx)
        : action === 'pause'
          ? await ccr.pause(ids, tx)
          : action === 'resume'
            ? await ccr.resume(ids, tx)
            : await ccr.retryNow(ids, tx);
    await audit.write(
      {
        who,
        what: `ccr.${action}`,
        object: list
          .map((c) => c.name)
          .join(' ')
          .slice(0, 1000),
        detail: { count: list.length },
      },
      tx,
    );
    return list;
  });
  return new Set(done.map((c) => c.id));
}
