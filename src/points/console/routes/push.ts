import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { PushpointError } from '#base/errors';
import { previewPush, type CcrRequest, type Preview } from '#records/ccr';
import { validName, type Device } from '#records/resource';
import type { Site } from '#records/site';
import type { ConsoleParts } from '../server.ts';

const Flag = Type.Optional(Type.Boolean());
const Push = Type.Object(
  {
    names: Type.Array(Type.String({ minLength: 1, maxLength: 300 }), { minItems: 1, maxItems: 10_000 }),
    force: Flag,
    reinstall: Flag,
    includeDcs: Flag,
    inspect: Flag,
    dryRun: Flag,
  },
  { additionalProperties: false },
);
type PushBody = Static<typeof Push>;

/** A CCR is asked for in batches, so that 10,000 names are neither one huge statement nor 10,000 small ones. */
const BATCH = 500;

interface Surroundings {
  site: Site;
  managementPoints: string[];
  package: string | undefined;
}

interface Planned {
  name: string;
  decision: Preview['decision'];
  reason: string;
  site: string;
  managementPoint?: string;
  account?: string;
  device?: Device;
}

/** pushRoutes: the wizard. What it decides here needs no connection; the machine itself has the last word. */
export function pushRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  api.post<{ Body: PushBody }>(
    '/push',
    { schema: { summary: 'Make CCRs for machines, or with dryRun say what would be done', body: Push } },
    async (request) => {
      const { body } = request;
      const site = await parts.site.here();
      const points = (await parts.site.points(site.code)).filter((p) => p.kind === 'mp' && p.on);
      const wanted = site.settings.push.package;
      const chosen = wanted === undefined ? await parts.package.defaultFor('windows') : await parts.package.get(wanted);
      const surroundings: Surroundings = { site, managementPoints: points.map((p) => p.address), package: chosen?.name };
      const planned: Planned[] = [];
      for (const name of new Set(body.names)) planned.push(await plan(parts, name, body, surroundings));
      if (!body.dryRun) await makeRequests(parts, planned, body, request.who, request.ip);
      return { items: planned.map(({ device: _device, ...item }) => item) };
    },
  );
}

async function plan(parts: ConsoleParts, text: string, body: PushBody, around: Surroundings): Promise<Planned> {
  const refused = (reason: string): Planned => ({ name: text, decision: 'refuse', reason, site: around.site.code });
  let name: string;
  let domain: string;
  try {
    ({ name, domain } = validName(text));
  } catch (error) {
    if (error instanceof PushpointError) return refused(error.message);
    throw error;
  }
  const found = await parts.resource.find(name, domain || undefined);
  if (found.length > 1)
    return refused(`${found.length} machines have this name: ${found.map((d) => `${d.name}.${d.domain}`).join(', ')}`);
  const device = found[0];
  const [account] = await parts.account.chooseFor({
    name,
    domain: device?.domain ?? domain,
    addresses: device?.addresses,
    resourceId: device?.id,
  });
  const live = (await parts.ccr.find(name, device?.domain || domain || undefined)).find((c) => c.finishedAt === undefined);
  const preview = previewPush(
    {
      forced: body.force === true,
      reinstall: body.reinstall === true,
      includeDcs: body.includeDcs === true,
      inspectOnly: body.inspect === true,
    },
    {
      device,
      site: around.site.code,
      managementPoints: around.managementPoints,
      package: around.package,
      account: account?.name,
      live: live?.state,
      heartbeatMinutes: around.site.settings.client.heartbeatMinutes,
      now: parts.clock.now(),
    },
  );
  return {
    name: text,
    ...preview,
    site: around.site.code,
    managementPoint: around.managementPoints[0],
    account: account?.name,
    device,
  };
}

function wishOf(item: Planned, body: PushBody, who: string): CcrRequest {
  const { name, domain } = validName(item.name);
  const { device } = item;
  return {
    name: device?.name ?? name,
    domain: device?.domain || domain,
    resourceId: device?.id,
    addresses: device?.addresses,
    smbPort: device?.smbPort,
    forced: body.force === true,
    reinstall: body.reinstall === true,
    includeDcs: body.includeDcs === true,
    inspectOnly: body.inspect === true,
    source: 'push',
    requestedBy: who,
  };
}

async function makeRequests(
  parts: ConsoleParts,
  planned: Planned[],
  body: PushBody,
  who: string,
  address: string,
): Promise<void> {
  const going = planned.filter((item) => item.decision === 'push');
  for (let from = 0; from < going.length; from += BATCH) {
    const batch = going.slice(from, from + BATCH);
    await parts.database.transaction(async (tx) => {
      await parts.ccr.requestMany(
        batch.map((item) => wishOf(item, body, who)),
        tx,
      );
      const { force, reinstall, includeDcs, inspect } = body;
      await parts.audit.write(
        {
          who,
          what: 'push',
          object: batch
            .map((item) => item.name)
            .join(' ')
            .slice(0, 1000),
          detail: { count: batch.length, force, reinstall, includeDcs, inspect },
          address,
        },
        tx,
      );
    });
  }
}
