import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { catalogue, type Code } from '#base/errors';
import { CCR_STATES, isLive, type Ccr, type CcrRecord, type CcrShown } from '#records/ccr';
import type { ConsoleParts } from '../server.ts';
import { line, Named, Page, splitName, strict, theOne } from '../shapes.ts';
import { whyHeld, type Held } from './held.ts';

const State = Type.Union(CCR_STATES.map((state) => Type.Literal(state)));
const ListQuery = Type.Interface(
  [Page],
  {
    state: Type.Optional(State),
    site: Type.Optional(line(3)),
    filter: Type.Optional(line(300)),
    wave: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_000_000_000 })),
  },
  strict,
);
const ShowQuery = Type.Object({ attempts: Type.Integer({ minimum: 1, maximum: 10_000, default: 20 }) }, strict);

/** ccrJson is a CCR in the fixed names of the API; `lastErrorCode` is the Win32 code, `lastError` the code of the catalogue. */
function ccrJson(ccr: Ccr, held: Held | undefined): Record<string, unknown> {
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
    uninstall: ccr.uninstall || undefined,
    source: ccr.source,
    site: ccr.site,
    wave: ccr.wave || undefined,
    requestedBy: ccr.requestedBy,
    requestCount: ccr.requestCount,
    attempts: ccr.attempts,
    held,
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

/** shownJson: `steps` are those of the last attempt, `attempt` the rest of it; `history` are the attempts before, newest first. */
function shownJson(shown: CcrShown, held: Held | undefined): Record<string, unknown> {
  const [last, ...history] = shown.history;
  const { steps = [], ...attempt } = last ?? {};
  return {
    ...ccrJson(shown, held),
    attempt: last && attempt,
    steps: steps.map((step) => ({ ...step, attempt: last?.number })),
    history,
  };
}

/** ccrRoutes: the CCRs. */
export function ccrRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  const { ccr } = parts;
  api.get<{ Querystring: Static<typeof ListQuery> }>(
    '/ccrs',
    { schema: { summary: 'CCRs, the newest first', querystring: ListQuery } },
    async (request) => {
      const { items, next } = await ccr.list(request.query);
      const held = await whyHeld(parts, items);
      return { items: items.map((c) => ({ ...ccrJson(c, held.get(c.id)), steps: [] })), next };
    },
  );
  api.get(
    '/ccrs/counts',
    {
      schema: {
        summary: 'How many CCRs are in each state',
        description:
          'Of more than 20,000 live ones the number of up to a minute ago; the header Pushpoint-Counted-At tells the moment.',
      },
    },
    async (_request, reply) => {
      const { counts, at } = await ccr.counted();
      reply.header('pushpoint-counted-at', at.toISOString());
      return counts;
    },
  );
  api.get<{ Params: Static<typeof Named>; Querystring: Static<typeof ShowQuery> }>(
    '/ccrs/:name',
    {
      schema: {
        summary: 'The live CCR of a machine, else its newest, with its attempts step by step',
        params: Named,
        querystring: ShowQuery,
      },
    },
    async (request) => {
      const one = await theCcr(ccr, request.params.name);
      const shown = (await ccr.showId(one.id, request.query.attempts))!;
      return shownJson(shown, (await whyHeld(parts, [shown])).get(shown.id));
    },
  );
}

async function theCcr(ccr: CcrRecord, text: string): Promise<Ccr> {
  const { name, domain } = splitName(text);
  const found = await ccr.find(name, domain);
  const open = found.filter((c) => isLive(c.state));
  // Two live ones are two machines; of finished ones the newest is meant.
  return theOne('CCR for', text, open.length > 0 ? open : found.slice(0, 1));
}
