import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import fastify, { type FastifyError, type FastifyInstance } from 'fastify';
import type { Clock } from '#base/clock';
import { problemOf, raise } from '#base/errors';
import type { Log } from '#base/log';
import type { AuditRecord } from '#records/audit';
import type { CcrRecord } from '#records/ccr';
import type { ClientRecord } from '#records/client';
import type { PackageRecord } from '#records/package';
import type { ResourceRecord } from '#records/resource';
import type { SiteRecord } from '#records/site';
import type { ContentStore } from '#store/content';
import type { Database } from '#store/database';
import { acceptPostVerbs } from '#wire/http';
import { ccmSystem } from './ccm-system.ts';
import { clientFiles } from './client-files.ts';
import { machineCcr } from './machine-ccr.ts';
import { mpList } from './mp-list.ts';

/** ManagementParts is what the management point answers from. It cannot open a secret and never connects to anybody. */
export interface ManagementParts {
  database: Database;
  site: SiteRecord;
  client: ClientRecord;
  resource: ResourceRecord;
  package: PackageRecord;
  ccr: CcrRecord;
  audit: AuditRecord;
  content: ContentStore;
  clock: Clock;
  log: Log;
  /** Build number that MPLIST shows as the version of the site. */
  build: string;
  /** Certificate and key: then the point speaks HTTPS. */
  tls?: { cert: Buffer; key: Buffer };
}

const LARGEST_MESSAGE = 256 * 1024;

/** createManagementPoint makes the point that clients talk to; the caller binds its `server` to a listener. */
export async function createManagementPoint(parts: ManagementParts): Promise<FastifyInstance> {
  const app = fastify({
    logger: false,
    bodyLimit: LARGEST_MESSAGE,
    forceCloseConnections: true,
    // IIS did not care about the case of a path, so no client and no script does.
    routerOptions: { caseSensitive: false, maxParamLength: 200 },
    requestTimeout: 60_000,
    serverFactory: (handler) =>
      parts.tls
        ? acceptPostVerbs(
            createHttps(
              {
                ...parts.tls,
                ALPNProtocols: ['http/1.1'],
                minVersion: 'TLSv1.2',
                keepAliveTimeout: 65_000,
                headersTimeout: 20_000,
              },
              handler,
            ),
            false,
          )
        : acceptPostVerbs(createHttp({ keepAliveTimeout: 65_000, headersTimeout: 20_000 }, handler), false),
  });
  // The signature is over the octets of the body, so they are kept as they came, whatever they say they are.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.setErrorHandler(async (error: FastifyError, request, reply) => {
    const known =
      error.statusCode && error.statusCode < 500 && !('origin' in error)
        ? raise('PP_API_INVALID', { why: error.message }, { cause: error })
        : error;
    const problem = problemOf(known);
    if (error.statusCode === 413) problem.status = 413;
    if (problem.status >= 500) parts.log.error('request failed', { route: request.routeOptions.url, error });
    if (problem.status === 429 || problem.status === 503) reply.header('retry-after', '30');
    await reply
      .code(problem.status)
      .type('application/problem+json')
      .send({ ...problem, serverTime: parts.clock.now().toISOString() });
  });
  app.setNotFoundHandler(() => {
    throw raise('PP_MP_NOT_HERE');
  });
  machineCcr(app, parts);
  mpList(app, parts);
  clientFiles(app, parts);
  ccmSystem(app, parts);
  await app.ready();
  return app;
}
