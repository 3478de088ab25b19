import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type, type Static } from 'typebox';
import { raise } from '#base/errors';
import type { CcrRequest, PushWish } from '#records/ccr';
import { LONGEST_FILTER } from '#records/resource';
import { validateCode } from '#records/site';
import { auditNames } from '../audit.ts';
import { planPush, type Planned } from '../plan.ts';
import type { ConsoleParts } from '../server.ts';
import { line, Names, strict } from '../shapes.ts';

const Flag = Type.Optional(Type.Boolean());
const whole = (maximum: number) => Type.Optional(Type.Integer({ minimum: 1, maximum }));
/**
 * The machines are those of `names`, and those of a collection that fit a filter, or of either. Of more than 10,000 the answer has a `next`: the
 * further part is asked for with `cursor`, and `wave`. wave: this is a further part of that push. stopAfter: the rest of the wave is paused when more
 * machines than that have failed.
 */
const Push = Type.Object(
  {
    names: Type.Optional(Names),
    collection: Type.Optional(line(100, 1)),
    subcollections: Flag,
    filter: Type.Optional(line(LONGEST_FILTER, 1)),
    cursor: Type.Optional(line(1000)),
    force: Flag,
    reinstall: Flag,
    includeDcs: Flag,
    includeUnassigned: Flag,
    fromSite: Type.Optional(line(20)),
    inspect: Flag,
    uninstall: Flag,
    dryRun: Flag,
    wave: whole(2_000_000_000),
    stopAfter: Type.Optional(Type.Object({ failures: whole(1_000_000), percent: whole(100) }, strict)),
  },
  strict,
);

/** CCRs are asked for in batches, so that 10,000 names are neither one huge statement nor 10,000 small ones. */
const BATCH = 500;
/** So many machines of a collection or a filter are one part. */
const AT_ONCE = 10_000;
const PAGE = 1000;

/** pushRoutes: the wizard. What it decides here needs no connection; the machine itself has the last word. */
export function pushRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  api.post<{ Body: Static<typeof Push> }>(
    '/push',
    {
      config: { scope: 'push' },
      schema: {
        summary: 'Make CCRs for machines, or with dryRun say what would be done',
        description:
          'Machines are named, or those of a collection and its subcollections (subcollections: false leaves these out) and of a filter; of both, what is in both. ' +
          'An answer with `next` has the first 10,000 of them: ask again with `cursor` set to it, and with `wave`.',
        body: Push,
      },
    },
    async (request) => {
      const { force, reinstall, includeDcs, includeUnassigned, fromSite, inspect, uninstall, dryRun } = request.body;
      if (uninstall && (reinstall || inspect))
        throw raise('PP_API_INVALID', { why: 'uninstall goes with neither reinstall nor inspect' });
      const wish: PushWish = {
        forced: force === true,
        reinstall: reinstall === true,
        includeDcs: includeDcs === true,
        inspectOnly: inspect === true,
        uninstall: uninstall === true,
        ...(includeUnassigned ? { includeUnassigned } : {}),
        ...(fromSite === undefined ? {} : { fromSite: validateCode(fromSite) }),
      };
      const { names, next } = await namesOf(parts, request.body);
      const { items: planned, held, paused, notes } = await planPush(parts, [...new Set(names)], wish);
      const wave = dryRun ? undefined : await makeRequests(parts, planned, wish, request);
      return { wave, items: planned.map(({ machine: _machine, ...item }) => item), held, paused, notes, next };
    },
  );
}

/** namesOf gives the machines that are meant: up to 10,000 beside those that are named, and where the others begin. */
async function namesOf(parts: ConsoleParts, body: Static<typeof Push>): Promise<{ names: string[]; next?: string | undefined }> {
  const { names = [], collection, subcollections, filter } = body;
  if (collection === undefined && filter === undefined) {
    if (names.length === 0) throw raise('PP_API_INVALID', { why: 'it wants names, collection or filter' });
    return { names };
  }
  if (filter?.trim() === '') throw raise('PP_API_INVALID', { why: 'an empty filter would mean every machine' });
  const first = body.cursor === undefined;
  if (first && collection !== undefined) await parts.collection.freshen();
  const ids = collection === undefined ? undefined : await parts.collection.subtree(collection, subcollections !== false);
  const found = first ? [...names] : [];
  let next = body.cursor;
  for (let n = 0; n < AT_ONCE; n += PAGE) {
    const page = await parts.resource.list({ collection: ids, filter, cursor: next, limit: PAGE });
    found.push(...page.items.map(({ name, domain }) => (domain ? `${name}.${domain}` : name)));
    next = page.next;
    if (next === undefined) break;
  }
  return { names: found, next };
}

function requestOf({ machine }: Planned, wish: PushWish, who: string, wave: number): CcrRequest {
  const { name, domain, device } = machine!;
  return {
    name: device?.name ?? name,
    domain: device?.domain || domain,
    resourceId: device?.id,
    addresses: device?.addresses,
    smbPort: device?.smbPort,
    ...wish,
    wave,
    source: 'push',
    requestedBy: who,
  };
}

/** makeRequests makes the CCRs of a push and gives the wave that they belong to; undefined where there is none to make. */
async function makeRequests(
  parts: ConsoleParts,
  planned: Planned[],
  wish: PushWish,
  request: FastifyRequest<{ Body: Static<typeof Push> }>,
): Promise<number | undefined> {
  const going = planned.filter((item) => item.decision === 'push');
  if (going.length === 0) return undefined;
  const { wave: join, stopAfter } = request.body;
  const wave = await parts.ccr.waves.make({ by: request.who, machines: going.length, stopAfter, join });
  if (!wave) throw raise('PP_API_NOT_FOUND', { kind: 'wave of yours', name: String(join) });
  for (let from = 0; from < going.length; from += BATCH) {
    const batch = going.slice(from, from + BATCH);
    const requests = batch.map((item) => requestOf(item, wish, request.who, wave.id));
    const known = batch.flatMap(({ machine }) => machine?.device?.id ?? []);
    await parts.database.transaction(async (tx) => {
      await parts.discovery.assignNew(known, tx);
      await parts.ccr.requestMany(requests, tx);
      const detail = { ...wish, wave: wave.id, ...(stopAfter && { stopAfter }) };
      await auditNames(parts.audit, request, { what: 'push', names: batch.map((item) => item.name), detail }, tx);
    });
  }
  return wave.id;
}
