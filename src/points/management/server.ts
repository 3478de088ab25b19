import { createServer as createHttp, type ServerOptions } from 'node:http';
import { createServer as createHttps } from 'node:https';
import fastify, { type FastifyInstance } from 'fastify';
import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { Meter } from '#base/meter';
import type { AuditRecord } from '#records/audit';
import type { CcrRecord } from '#records/ccr';
import type { ClientRecord } from '#records/client';
import type { DiscoveryRecord } from '#records/discovery';
import type { PackageRecord } from '#records/package';
import type { ResourceRecord } from '#records/resource';
import type { SiteRecord } from '#records/site';
import type { ContentStore } from '#store/content';
import type { Database } from '#store/database';
import { acceptPostVerbs, endUnread } from '#wire/http';
import { ccmSystem } from './ccm-system.ts';
import { clientFiles } from './client-files.ts';
import { machineCcr } from './machine-ccr.ts';
import { mpList } from './mp-list.ts';
import { answerProblem, problems } from './problems.ts';
import { plainAddress, Rate } from '#wire/http';

/** Patience is how long a peer may take, in milliseconds; one that trickles octets holds a connection no longer than that. */
export interface Patience {
  /** From the first octet of a request to the end of its head. */
  headMs: number;
  /** To the end of its body. */
  requestMs: number;
  /** Without an octet in either direction, as when somebody stops reading an answer. */
  idleMs: number;
}

/** ManagementParts is what the management point answers from. It cannot open a secret and never connects to anybody. */
export interface ManagementParts {
  database: Database;
  site: SiteRecord;
  client: ClientRecord;
  resource: ResourceRecord;
  package: PackageRecord;
  ccr: CcrRecord;
  discovery: DiscoveryRecord;
  audit: AuditRecord;
  content: ContentStore;
  clock: Clock;
  log: Log;
  /** Build number that MPLIST shows as the version of the site. */
  build: string;
  /** Certificate and key: then the point speaks HTTPS. */
  tls?: { cert: string | Buffer; key: string | Buffer };
  patience?: Partial<Patience>;
  /** What the points of this process count. */
  meter?: Meter;
  /** also adds routes of other points that share this listener. */
  also?: ((app: FastifyInstance) => void) | undefined;
}

const PATIENCE: Patience = { headMs: 20_000, requestMs: 60_000, idleMs: 120_000 };
const LARGEST_MESSAGE = 256 * 1024;
const CONNECTIONS = 10_000;
/** What one sender may ask in all; a building behind one address stays far below it. */
const BURST = 20_000;
const PER_SECOND = 2000;

type Handler = Parameters<typeof createHttp>[1];

function makeServer(parts: ManagementParts, handler: Handler) {
  const { headMs, requestMs, idleMs } = { ...PATIENCE, ...parts.patience };
  const options: ServerOptions = {
    headersTimeout: headMs,
    requestTimeout: requestMs,
    connectionsCheckingInterval: Math.min(5000, headMs),
    keepAliveTimeout: 65_000,
  };
  const server = parts.tls
    ? createHttps(
        { ...options, ...parts.tls, ALPNProtocols: ['http/1.1'], minVersion: 'TLSv1.2', handshakeTimeout: headMs },
        handler,
      )
    : createHttp(options, handler);
  server.timeout = idleMs;
  server.maxConnections = CONNECTIONS;
  return acceptPostVerbs(server, false);
}

/** closed ends the listener and its connections; the framework leaves that to whoever made the server himself. */
function closed({ server }: FastifyInstance): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** createManagementPoint makes the point that clients talk to; the caller binds its `server` to a listener. */
export async function createManagementPoint(parts: ManagementParts): Promise<FastifyInstance> {
  const app = fastify({
    logger: false,
    bodyLimit: LARGEST_MESSAGE,
    forceCloseConnections: true,
    // IIS did not care about the case of a path, so no client and no script does.
    routerOptions: { caseSensitive: false, maxParamLength: 200 },
    serverFactory: (handler) => makeServer(parts, handler),
    frameworkErrors: (error, request, reply) => void answerProblem(parts, error, request, reply),
  });
  // The signature is over the octets of the body, so they are kept as they came, whatever they say they are.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  problems(app, parts);
  app.addHook('preClose', () => closed(app));
  const rate = new Rate(parts.clock, BURST, PER_SECOND);
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-content-type-options', 'nosniff');
    rate.take(plainAddress(request.ip));
  });
  app.addHook('onResponse', async ({ method, routeOptions }, { statusCode }) => {
    parts.meter?.add('pushpoint_http_requests_total', {
      point: 'mp',
      method,
      route: routeOptions.url ?? 'none',
      status: String(statusCode),
    });
  });
  app.addHook('onResponse', async (request) => endUnread(request.raw, parts.clock));
  machineCcr(app, parts);
  mpList(app, parts);
  clientFiles(app, parts);
  ccmSystem(app, parts);
  parts.also?.(app);
  await app.ready();
  return app;
}
