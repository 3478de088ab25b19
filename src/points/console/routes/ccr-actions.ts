import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type, type Static } from 'typebox';
import { raise } from '#base/errors';
import { isLive, type Ccr, type CcrRecord, type CcrState } from '#records/ccr';
import { whyNotName } from '#records/resource';
import type { Sql } from '#store/database';
import { auditNames } from '../audit.ts';
import type { ConsoleParts } from '../server.ts';
import { choicesOf, Names, splitName, strict } from '../shapes.ts';

const Action = Type.Object({
  action: Type.Union([Type.Literal('retry'), Type.Literal('cancel'), Type.Literal('pause'), Type.Literal('resume')]),
});
type Action = Static<typeof Action>['action'];
/** Machines by their names, or all of a wave. */
const Body = Type.Object(
  {
    names: Type.Optional(Names),
    wave: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_000_000_000 })),
    dryRun: Type.Optional(Type.Boolean()),
  },
  strict,
);

/** What became of one name. */
interface Item {
  name: string;
  done: boolean;
  reason?: string;
}

/** possible tells in which states of a CCR an action means something. */
const possible: Record<Action, (state: CcrState) => boolean> = {
  retry: isLive,
  cancel: isLive,
  pause: (state) => isLive(state) && state !== 'paused',
  resume: (state) => state === 'paused',
};

const acts: Record<Action, (ccr: CcrRecord, ids: number[], who: string, tx: Sql) => Promise<Ccr[]>> = {
  retry: (ccr, ids, _who, tx) => ccr.retryNow(ids, tx),
  cancel: (ccr, ids, who, tx) => ccr.cancel(ids, who, tx),
  pause: (ccr, ids, _who, tx) => ccr.pause(ids, tx),
  resume: (ccr, ids, _who, tx) => ccr.resume(ids, tx),
};

/** ccrActionRoutes: what people do with CCRs. Each name is judged by itself; the answer says of each whether it was done, or why not. */
export function ccrActionRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  api.post<{ Params: Static<typeof Action>; Body: Static<typeof Body> }>(
    '/ccrs/:action',
    {
      config: { scope: 'push' },
      schema: { summary: 'Retry now, cancel, pause or resume the live CCRs of these machines', params: Action, body: Body },
    },
    async (request) => {
      const { action } = request.params;
      const chosen = await chosenBy(parts.ccr, request.body);
      const ids = chosen.flatMap(({ ccr }) => (ccr && possible[action](ccr.state) ? [ccr.id] : []));
      const done = request.body.dryRun ? new Set(ids) : await act(parts, action, ids, request);
      return { items: chosen.map((one) => itemOf(one, action, done)) };
    },
  );
}

interface Chosen {
  name: string;
  ccr?: Ccr;
  reason?: string;
}

async function chosenBy(record: CcrRecord, { names, wave }: Static<typeof Body>): Promise<Chosen[]> {
  if ((names === undefined) === (wave === undefined)) throw raise('PP_API_INVALID', { why: 'body needs either names or wave' });
  if (wave === undefined) return choose(record, [...new Set(names)]);
  if (!(await record.waves.get(wave))) throw raise('PP_API_NOT_FOUND', { kind: 'wave', name: String(wave) });
  return (await record.waves.ccrs(wave)).map((ccr) => ({ name: ccr.name, ccr }));
}

async function choose(record: CcrRecord, names: readonly string[]): Promise<Chosen[]> {
  const wrong = names.map(whyNotName);
  const right = names.filter((_, i) => wrong[i] === undefined);
  const live = await record.findLive(right.map(splitName));
  const byName = new Map(right.map((name, i) => [name, live[i]!]));
  return names.map((name, i): Chosen => {
    if (wrong[i] !== undefined) return { name, reason: `it is not a name of a machine: ${wrong[i]}` };
    const [ccr, ...more] = byName.get(name)!;
    if (!ccr) return { name, reason: 'it has no live CCR' };
    if (more.length > 0) return { name, reason: `more than one machine is called that: ${choicesOf([ccr, ...more])}` };
    return { name, ccr };
  });
}

function itemOf({ name, ccr, reason }: Chosen, action: Action, done: ReadonlySet<number>): Item {
  if (ccr && done.has(ccr.id)) return { name, done: true };
  return { name, done: false, reason: reason ?? `${action} means nothing for a CCR that is ${ccr!.state}` };
}

async function act(
  parts: ConsoleParts,
  action: Action,
  ids: number[],
  request: FastifyRequest<{ Body: Static<typeof Body> }>,
): Promise<Set<number>> {
  const { wave } = request.body;
  if (ids.length === 0 && wave === undefined) return new Set();
  const { ccr, audit, database } = parts;
  const done = await database.transaction(async (tx) => {
    if (action === 'resume' && wave !== undefined) await ccr.waves.resume(wave, tx);
    const list = await acts[action](ccr, ids, request.who, tx);
    const detail = wave === undefined ? {} : { wave };
    await auditNames(audit, request, { what: `ccr.${action}`, names: list.map((c) => c.name), detail }, tx);
    return list;
  });
  return new Set(done.map((c) => c.id));
}
