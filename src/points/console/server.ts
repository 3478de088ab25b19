import fastify, { type FastifyError, type FastifyInstance } from 'fastify';
import type { Clock } from '#base/clock';
import { problemOf, raise } from '#base/errors';
import type { Log } from '#base/log';
import type { AccountRecord } from '#records/account';
import type { AuditRecord } from '#records/audit';
import type { CcrRecord } from '#records/ccr';
import type { ClientRecord } from '#records/client';
import type { PackageRecord } from '#records/package';
import type { ResourceRecord } from '#records/resource';
import type { SiteRecord } from '#records/site';
import type { ContentStore } from '#store/content';
import type { Database } from '#store/database';
import type { Sealer } from '#store/vault';
import { guard } from './guard.ts';
import { describeRoutes } from './openapi.ts';
import { accountRoutes } from './routes/accounts.ts';
import { ccrRoutes } from './routes/ccrs.ts';
import { clientRoutes } from './routes/clients.ts';
import { deviceRoutes } from './routes/devices.ts';
import { healthRoutes } from './routes/health.ts';
import { packageRoutes } from './routes/packages.ts';
import { pushRoutes } from './routes/push.ts';
import { siteRoutes } from './routes/sites.ts';

/** ConsoleParts is what the console point answers from. It can seal secrets; it cannot open any. */
export interface ConsoleParts {
  database: Database;
  site: SiteRecord;
  account: AccountRecord;
  package: PackageRecord;
  resource: ResourceRecord;
  client: ClientRecord;
  ccr: CcrRecord;
  audit: AuditRecord;
  content: ContentStore;
  sealer: Sealer;
  clock: Clock;
  log: Log;
  version: string;
}

const LARGEST_BODY = 32 * 1024 * 1024;

/** createConsole makes the API; the caller binds its `server` to a listener. */
export async function createConsole(parts: ConsoleParts): Promise<FastifyInstance> {
  const app = fastify({
    logger: false,
    bodyLimit: LARGEST_BODY,
    routerOptions: { maxParamLength: 300 },
    forceCloseConnections: true,
  });
  app.setErrorHandler(async (error: FastifyError, request, reply) => {
    // What the framework itself refuses (schema, media type, size) is a wrong request, not a defect.
    const known =
      error.validation || (error.statusCode && error.statusCode < 500)
        ? raise('PP_API_INVALID', { why: error.message }, { cause: error })
        : error;
    const problem = problemOf(known);
    if (error.statusCode === 413 || error.statusCode === 415) problem.status = error.statusCode;
    if (problem.status >= 500)
      parts.log.error('request failed', { method: request.method, route: request.routeOptions.url, error });
    await reply.code(problem.status).type('application/problem+json').send(problem);
  });
  app.setNotFoundHandler(async (request, reply) => {
    const problem = problemOf(
      raise('PP_API_NOT_FOUND', { kind: 'call', name: `${request.method} ${request.url.split('?')[0]}` }),
    );
    await reply.code(404).type('application/problem+json').send(problem);
  });
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));
  app.addContentTypeParser(['text/csv', 'text/plain'], { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  const document = describeRoutes(app, parts.version);
  healthRoutes(app, parts);
  await app.register(
    async (api) => {
      guard(api, parts);
      api.get('/openapi.json', { schema: { summary: 'This document' } }, async () => document());
      siteRoutes(api, parts);
      deviceRoutes(api, parts);
      accountRoutes(api, parts);
      packageRoutes(api, parts);
      pushRoutes(api, parts);
      ccrRoutes(api, parts);
      clientRoutes(api, parts);
    },
    { prefix: '/api/v1' },
  );
  await app.ready();
  return app;
}
