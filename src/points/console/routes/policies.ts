import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { raise } from '#base/errors';
import type { PolicyUpgrade } from '#messages';
import type { Package } from '#records/package';
import { secretPurpose, type Ask, type Assignment } from '#records/policy';
import { pointAddress, validateCode } from '#records/site';
import { change, DryRun } from '../change.ts';
import type { ConsoleParts } from '../server.ts';
import { line, strict } from '../shapes.ts';
import { theClient } from './clients.ts';
import { decidesHere } from './devices.ts';

const whole = (maximum: number) => Type.Optional(Type.Integer({ minimum: 1, maximum }));
const Body = Type.Object(
  {
    kind: Type.Union([Type.Literal('upgrade'), Type.Literal('migrate'), Type.Literal('uninstall')]),
    clients: Type.Optional(Type.Array(line(300, 1), { minItems: 1, maxItems: 10_000 })),
    collection: Type.Optional(line(300, 1)),
    site: Type.Optional(line(20)),
    /** Of an upgrade: without it the default package of Windows. */
    package: Type.Optional(line(64, 1)),
    notBefore: Type.Optional(Type.String({ format: 'date-time', maxLength: 40 })),
    /** Of a migration: where to. */
    to: Type.Optional(line(20)),
    managementPoints: Type.Optional(Type.Array(line(256, 1), { minItems: 1, maxItems: 32 })),
    follow: Type.Optional(Type.Boolean()),
    waveSize: whole(1_000_000),
    stopAfter: Type.Optional(Type.Object({ failures: whole(1_000_000), percent: whole(100) }, strict)),
    patienceHours: whole(8760),
  },
  strict,
);
type Body = Static<typeof Body>;
const SecretName = Type.Object({ name: Type.String({ pattern: '^[A-Za-z][A-Za-z0-9._-]{0,63}$' }) });
const SecretBody = Type.Object({ value: Type.String({ minLength: 1, maxLength: 4096 }) }, strict);
const Id = Type.Object({ id: Type.String({ pattern: '^[1-9][0-9]{0,8}$' }) });
const Act = Type.Interface([Id], { action: Type.Union([Type.Literal('pause'), Type.Literal('resume'), Type.Literal('cancel')]) });
const Query = Type.Object(
  { cursor: Type.Optional(line(20)), limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }) },
  strict,
);

/** policyRoutes: what is asked of clients by policy, and how far it is. */
export function policyRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  const { policy } = parts;
  secretRoutes(api, parts);
  api.get<{ Querystring: Static<typeof Query> }>(
    '/policies',
    { schema: { summary: 'Assignments: what is asked of clients by policy, the newest first', querystring: Query } },
    async ({ query: { cursor, limit } }) => {
      if (cursor !== undefined && !/^\d{1,9}$/.test(cursor)) throw raise('PP_REQUEST_CURSOR');
      const items = await policy.list({ before: cursor === undefined ? undefined : Number(cursor), limit: limit + 1 });
      const page = items.slice(0, limit);
      return items.length > limit ? { items: page, next: String(page.at(-1)!.id) } : { items: page };
    },
  );
  api.get<{ Params: Static<typeof Id> }>(
    '/policies/:id',
    { schema: { summary: 'One assignment with its clients', params: Id } },
    async ({ params: { id } }) => ({ ...(await theAssignment(parts, id)), targets: await policy.targets(Number(id)) }),
  );
  api.post<{ Body: Body; Querystring: DryRun }>(
    '/policies',
    { schema: { summary: 'Ask clients to upgrade, to move to another site, or to leave', body: Body, querystring: DryRun } },
    async ({ body, query, who, ip }) => {
      await decidesHere(parts, `pushpoint client ${body.kind}`);
      const ask = { ...(await askOf(parts, body)), by: who };
      return change(parts.database, query, async (tx) => {
        const made = await policy.ask(ask, tx);
        const detail = { assignment: made.id, ...body, clients: body.clients?.slice(0, 100), counts: made.counts };
        await parts.audit.write({ who, what: `policy.${body.kind}`, object: made.target, detail, address: ip }, tx);
        return made;
      });
    },
  );
  api.post<{ Params: Static<typeof Act>; Querystring: DryRun }>(
    '/policies/:id/:action',
    { schema: { summary: 'Pause, resume or cancel an assignment', params: Act, querystring: DryRun } },
    async ({ params: { id, action }, query, who, ip }) =>
      change(parts.database, query, async (tx) => {
        const done = await policy[action](Number(id), tx);
        if (done) await parts.audit.write({ who, what: `policy.${action}`, object: id, address: ip }, tx);
        return { id: Number(id), done, assignment: await policy.get(Number(id), tx) };
      }),
  );
}

/** secretRoutes: secrets that approved clients get with their policy. They can be set, and never be read here. */
function secretRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  const { policy, sealer } = parts;
  api.get('/policies/secrets', { schema: { summary: 'Secrets of the policy, by name' } }, async () => ({
    items: await policy.secrets(),
  }));
  api.put<{ Params: Static<typeof SecretName>; Body: Static<typeof SecretBody>; Querystring: DryRun }>(
    '/policies/secrets/:name',
    {
      schema: {
        summary: 'Give a secret to all approved clients; it is sealed at once and cannot be read here again',
        params: SecretName,
        body: SecretBody,
        querystring: DryRun,
      },
    },
    async ({ params: { name }, body, query, who, ip }) => {
      await decidesHere(parts, 'pushpoint policy secret');
      return change(parts.database, query, async (tx) => {
        await policy.putSecret({ name, sealed: sealer.seal(body.value, secretPurpose(name)), by: who }, tx);
        await parts.audit.write({ who, what: 'policy.secret.set', object: name, address: ip }, tx);
        return { name, done: true };
      });
    },
  );
  api.delete<{ Params: Static<typeof SecretName>; Querystring: DryRun }>(
    '/policies/secrets/:name',
    { schema: { summary: 'Take a secret out of the policy', params: SecretName, querystring: DryRun } },
    async ({ params: { name }, query, who, ip }) =>
      change(parts.database, query, async (tx) => {
        await policy.removeSecret(name, tx);
        await parts.audit.write({ who, what: 'policy.secret.remove', object: name, address: ip }, tx);
        return { name, done: true };
      }),
  );
}

async function theAssignment(parts: ConsoleParts, id: string): Promise<Assignment> {
  const found = await parts.policy.get(Number(id));
  if (!found) throw raise('PP_API_NOT_FOUND', { kind: 'assignment', name: id });
  return found;
}

async function askOf(parts: ConsoleParts, body: Body): Promise<Omit<Ask, 'by'>> {
  const { follow, waveSize, stopAfter, patienceHours } = body;
  const of = await targetOf(parts, body);
  return { wish: await wishOf(parts, body), of, follow, waveSize, stopAfter, patienceHours };
}

async function targetOf(parts: ConsoleParts, { clients, collection, site }: Body): Promise<Ask['of']> {
  if ([clients, collection, site].filter((one) => one !== undefined).length !== 1)
    throw raise('PP_API_INVALID', { why: 'body takes exactly one of clients, collection and site' });
  if (collection !== undefined) return { collection };
  if (site !== undefined) return { site: await siteOf(parts, site) };
  const ids: number[] = [];
  for (const name of clients!) ids.push((await theClient(parts, name)).id);
  return { clients: ids };
}

/** siteOf lets in the sites whose clients get their policy here: this one and its secondaries. */
async function siteOf(parts: ConsoleParts, given: string): Promise<string> {
  const code = validateCode(given);
  const { here, sites } = await parts.site.branch();
  const found = sites.find((one) => one.code === code);
  if (!found) throw raise('PP_API_NOT_FOUND', { kind: 'site', name: code });
  if (code === here.code || (found.kind === 'secondary' && found.parent === here.code)) return code;
  throw raise('PP_API_INVALID', { why: `body/site is ${code}, and the clients of ${code} get their policy there` });
}

async function wishOf(parts: ConsoleParts, body: Body): Promise<Ask['wish']> {
  if (body.kind === 'uninstall') return { kind: 'uninstall' };
  if (body.kind === 'migrate') {
    if (body.to === undefined) throw raise('PP_API_INVALID', { why: 'body/to is missing: the site to move to' });
    const site = validateCode(body.to);
    const given =
      body.managementPoints ?? (await parts.site.points(site)).filter((p) => p.kind === 'mp' && p.on).map((p) => p.address);
    if (given.length === 0)
      throw raise('PP_API_INVALID', {
        why: `body/managementPoints is missing, and this site knows no management point of ${site}; name it there, or by --mp URL`,
      });
    return { kind: 'migrate', migrate: { site, managementPoints: given.map(pointAddress) } };
  }
  const found = body.package === undefined ? await parts.package.defaultFor('windows') : await parts.package.get(body.package);
  if (!found) throw raise('PP_API_NOT_FOUND', { kind: 'package', name: body.package ?? 'the default one of Windows' });
  return { kind: 'upgrade', platform: found.platform, upgrade: upgradeOf(found, body.notBefore) };
}

function upgradeOf({ version, files, definition }: Package, notBefore: string | undefined): PolicyUpgrade {
  const { bootstrap, payload, requires, prerequisites } = definition;
  return {
    version,
    files: files.map(({ name, sha256, size }) => ({ name, sha256, size })),
    bootstrap: bootstrap.file,
    ...(bootstrap.arguments !== undefined && { arguments: bootstrap.arguments }),
    ...(payload && { payload: payload.file }),
    ...(payload?.command !== undefined && { command: payload.command }),
    ...(requires && {
      requires: { ...requires, architectures: requires.architectures?.length ? requires.architectures : undefined },
    }),
    ...(prerequisites && prerequisites.length > 0 && { prerequisites }),
    ...(notBefore !== undefined && { notBefore: new Date(notBefore).toISOString() }),
  };
}
