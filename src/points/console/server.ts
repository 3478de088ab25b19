import fastify, { type FastifyInstance } from 'fastify';
import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { Meter } from '#base/meter';
import type { AccountRecord } from '#records/account';
import type { AuditRecord } from '#records/audit';
import type { BoundaryRecord } from '#records/boundary';
import type { BranchRecord } from '#records/branch';
import type { CcrRecord } from '#records/ccr';
import type { ClientRecord } from '#records/client';
import type { CollectionRecord } from '#records/collection';
import type { DiscoveryRecord } from '#records/discovery';
import type { DoctorRecord } from '#records/doctor';
import type { FallbackStatusRecord } from '#records/fallback-status';
import type { MethodRecord } from '#records/method';
import type { LinkRecord } from '#records/link';
import type { PackageRecord } from '#records/package';
import type { PolicyRecord } from '#records/policy';
import type { ReportRecord } from '#records/report';
import type { ResourceRecord } from '#records/resource';
import type { SiteRecord } from '#records/site';
import type { ContentStore } from '#store/content';
import type { Database } from '#store/database';
import type { Sealer } from '#store/vault';
import { answerUnreadable, endUnread } from '#wire/http';
import { guard } from './guard.ts';
import { describeRoutes } from './openapi.ts';
import { answerProblem, problems } from './problems.ts';
import { accountRoutes } from './routes/accounts.ts';
import { auditRoutes } from './routes/audit.ts';
import { boundaryRoutes } from './routes/boundaries.ts';
import { ccrActionRoutes } from './routes/ccr-actions.ts';
import { ccrRoutes } from './routes/ccrs.ts';
import { clientRoutes } from './routes/clients.ts';
import { collectionRoutes } from './routes/collections.ts';
import { deviceRoutes } from './routes/devices.ts';
import { discoveryRoutes } from './routes/discovery.ts';
import { doctorRoutes } from './routes/doctor.ts';
import { fallbackStatusRoutes } from './routes/fallback-status.ts';
import { healthRoutes } from './routes/health.ts';
import { metricsRoute, openTo } from './routes/metrics.ts';
import { packageRoutes } from './routes/packages.ts';
import { policyRoutes } from './routes/policies.ts';
import { pushRoutes } from './routes/push.ts';
import { reportRoutes } from './routes/reports.ts';
import { siteRoutes } from './routes/sites.ts';
import { waveRoutes } from './routes/waves.ts';
import { schemaCompiler } from './shapes.ts';

/** ConsoleParts is what the console point answers from. It can seal secrets; it cannot open any. */
export interface ConsoleParts {
  database: Database;
  site: SiteRecord;
  boundary: BoundaryRecord;
  account: AccountRecord;
  package: PackageRecord;
  resource: ResourceRecord;
  client: ClientRecord;
  policy: PolicyRecord;
  ccr: CcrRecord;
  collection: CollectionRecord;
  discovery: DiscoveryRecord;
  doctor: DoctorRecord;
  fallbackStatus: FallbackStatusRecord;
  report: ReportRecord;
  method: MethodRecord;
  audit: AuditRecord;
  link: LinkRecord;
  branch: BranchRecord;
  content: ContentStore;
  sealer: Sealer;
  clock: Clock;
  log: Log;
  version: string;
  /** What the points of this process count. */
  meter?: Meter;
}

const LARGEST_BODY = 32 * 1024 * 1024;
/** A package of 2 GB over a slow line takes its time; a head does not, and neither does silence. */
const REQUEST_MS = 60 * 60_000;
const HEAD_MS = 20_000;
const IDLE_MS = 120_000;

/** createConsole makes the API; the caller binds its `server` to a listener. */
export async function createConsole(parts: ConsoleParts): Promise<FastifyInstance> {
  const app = fastify({
    logger: false,
    bodyLimit: LARGEST_BODY,
    routerOptions: { maxParamLength: 300 },
    forceCloseConnections: true,
    requestTimeout: REQUEST_MS,
    connectionTimeout: IDLE_MS,
    http: { headersTimeout: HEAD_MS, connectionsCheckingInterval: 5000 },
    clientErrorHandler: (error, socket) => answerUnreadable(error as { code?: string }, socket, parts.clock),
    frameworkErrors: (error, request, reply) => void answerProblem(parts.log, error, request, reply),
  });
  app.setValidatorCompiler(schemaCompiler);
  problems(app, parts.log);
  app.addHook('onRequest', async (_request, reply) => {
    // A command of another version is told so, also where it asks for what this one does not have.
    reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'pushpoint-version': parts.version });
  });
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));
  app.addContentTypeParser(['text/csv', 'text/plain'], { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  const document = describeRoutes(app, parts.version);
  app.addHook('onResponse', async ({ method, routeOptions }, { statusCode }) => {
    parts.meter?.add('pushpoint_http_requests_total', {
      point: 'console',
      method,
      route: routeOptions.url ?? 'none',
      status: String(statusCode),
    });
  });
  app.addHook('onResponse', async (request) => endUnread(request.raw, parts.clock));
  healthRoutes(app, parts);
  await app.register(async (metrics) => {
    guard(metrics, parts, async (address) => openTo((await parts.site.here()).settings.metrics.open, address));
    metricsRoute(metrics, parts);
  });
  await app.register(
    async (api) => {
      guard(api, parts);
      api.get('/openapi.json', { schema: { summary: 'This document' } }, async () => document());
      siteRoutes(api, parts);
      boundaryRoutes(api, parts);
      deviceRoutes(api, parts);
      discoveryRoutes(api, parts);
      collectionRoutes(api, parts);
      accountRoutes(api, parts);
      packageRoutes(api, parts);
      pushRoutes(api, parts);
      ccrRoutes(api, parts);
      waveRoutes(api, parts);
      ccrActionRoutes(api, parts);
      clientRoutes(api, parts);
      policyRoutes(api, parts);
      fallbackStatusRoutes(api, parts);
      reportRoutes(api, parts);
      doctorRoutes(api, parts);
      auditRoutes(api, parts);
    },
    { prefix: '/api/v1' },
  );
  await app.ready();
  return app;
}
