import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type, type Static } from 'typebox';
import type { CcrRequest, PushWish } from '#records/ccr';
import { auditNames } from '../audit.ts';
import { planPush, type Planned } from '../plan.ts';
import type { ConsoleParts } from '../server.ts';
import { Names, strict } from '../shapes.ts';

const Flag = Type.Optional(Type.Boolean());
const Push = Type.Object({ names: Names, force: Flag, reinstall: Flag, includeDcs: Flag, inspect: Flag, dryRun: Flag }, strict);

/** CCRs are asked for in batches, so that 10,000 names are neither one huge statement nor 10,000 small ones. */
const BATCH = 500;

/** pushRoutes: the wizard. What it decides here needs no connection; the machine itself has the last word. */
export function pushRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  api.post<{ Body: Static<typeof Push> }>(
    '/push',
    {
      config: { scope: 'push' },
      schema: { summary: 'Make CCRs for machines, or with dryRun say what would be done', body: Push },
    },
    async (request) => {
      const { names, force, reinstall, includeDcs, inspect, dryRun } = request.body;
      const wish: PushWish = {
        forced: force === true,
        reinstall: reinstall === true,
        includeDcs: includeDcs === true,
        inspectOnly: inspect === true,
      };
      const planned = await planPush(parts, [...new Set(names)], wish);
      if (!dryRun) await makeRequests(parts, planned, wish, request);
      return { items: planned.map(({ machine: _machine, ...item }) => item) };
    },
  );
}

function requestOf({ machine }: Planned, wish: PushWish, who: string): CcrRequest {
  const { name, domain, device } = machine!;
  return {
    name: device?.name ?? name,
    domain: device?.domain || domain,
    resourceId: device?.id,
    addresses: device?.addresses,
    smbPort: device?.smbPort,
    ...wish,
    source: 'push',
    requestedBy: who,
  };
}

async function makeRequests(parts: ConsoleParts, planned: Planned[], wish: PushWish, request: FastifyRequest): Promise<void> {
  const going = planned.filter((item) => item.decision === 'push');
  for (let from = 0; from < going.length; from += BATCH) {
    const batch = going.slice(from, from + BATCH);
    const requests = batch.map((item) => requestOf(item, wish, request.who));
    await parts.database.transaction(async (tx) => {
      await parts.ccr.requestMany(requests, tx);
      await auditNames(parts.audit, request, { what: 'push', names: batch.map((item) => item.name), detail: { ...wish } }, tx);
    });
  }
}
