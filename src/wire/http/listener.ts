import { createServer as createHttp, type ServerOptions } from 'node:http';
import { createServer as createHttps, Server as SecureServer } from 'node:https';
import fastify, { type FastifyInstance } from 'fastify';
import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { Meter } from '#base/meter';
import { acceptPostVerbs } from './accept.ts';
import { answerProblem, problems } from './problems.ts';
import { plainAddress, Rate } from './rate.ts';
import { pemBlocks } from './revocation.ts';
import { holdConnections, roomForConnections } from './room.ts';
import { answerUnreadable } from './unreadable.ts';
import { endUnread } from './unread.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The point that a route belongs to, in metrics; the management point where nothing is said. */
    point?: string;
  }
}

/** Patience is how long a peer may take, in milliseconds; one that trickles octets holds a connection no longer than that. */
export interface Patience {
  /** From the first octet of a request to the end of its head. */
  headMs: number;
  /** To the end of its body. */
  requestMs: number;
  /** Without an octet in either direction, as when somebody stops reading an answer. */
  idleMs: number;
}

/** ListenerParts are what a listener of points stands on. */
export interface ListenerParts {
  clock: Clock;
  log: Log;
  /** What the points of this process count. */
  meter?: Meter | undefined;
  /** Certificate and key: then it speaks HTTPS. With `clients` it asks for a certificate, and whether one is good is for the routes to judge. */
  tls?: ListenerTls | undefined;
  patience?: Partial<Patience> | undefined;
  /** How many connections it holds at once; otherwise what the limit of open files leaves. */
  connections?: number | undefined;
}

/** ListenerTls is what a listener shows, and which authorities it takes client certificates of. */
export interface ListenerTls {
  cert: string | Buffer;
  key: string | Buffer;
  /** Authorities of client certificates, with what they revoked; PEM. It may be replaced while the listener runs (`renew`). */
  clients?: { ca: string; crl: string } | undefined;
}

const PATIENCE: Patience = { headMs: 20_000, requestMs: 60_000, idleMs: 120_000 };
const LARGEST_MESSAGE = 256 * 1024;
/** What one sender may ask in all; a building behind one address stays far below it. */
const BURST = 20_000;
const PER_SECOND = 2000;

type Handler = Parameters<typeof createHttp>[1];

/** secureContext is what TLS is made of. */
function secureContext({ cert, key, clients }: ListenerTls) {
  const crl = pemBlocks(clients?.crl ?? '', 'X509 CRL').map(({ pem }) => pem);
  const asked = clients && { ca: clients.ca, ...(crl.length > 0 && { crl }) };
  return { cert, key, ...asked, minVersion: 'TLSv1.2' as const };
}

function makeServer(parts: ListenerParts, handler: Handler) {
  const { headMs, requestMs, idleMs } = { ...PATIENCE, ...parts.patience };
  const options: ServerOptions = {
    headersTimeout: headMs,
    requestTimeout: requestMs,
    connectionsCheckingInterval: Math.min(5000, headMs),
    keepAliveTimeout: 65_000,
  };
  const { tls } = parts;
  const server = tls
    ? createHttps(
        {
          ...options,
          ...secureContext(tls),
          ALPNProtocols: ['http/1.1'],
          handshakeTimeout: headMs,
          // Not refused in the handshake, where a client would learn only that the line was cut.
          ...(tls.clients && { requestCert: true, rejectUnauthorized: false }),
        },
        handler,
      )
    : createHttp(options, handler);
  server.timeout = idleMs;
  return holdConnections(acceptPostVerbs(server, false), parts.connections ?? roomForConnections(), parts);
}

/** closed ends the listener and its connections; the framework leaves that to whoever made the server himself. */
function closed({ server }: FastifyInstance): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/**
 * createListener makes what points answer on: the verbs of SMS, limits on what one sender may ask and how long it may take, refusals as
 * problems. `routes` adds what is answered; the caller binds its `server`.
 */
export async function createListener(parts: ListenerParts, routes: (app: FastifyInstance) => void): Promise<FastifyInstance> {
  const app = fastify({
    logger: false,
    bodyLimit: LARGEST_MESSAGE,
    forceCloseConnections: true,
    // IIS did not care about the case of a path, so no client and no script does.
    routerOptions: { caseSensitive: false, maxParamLength: 200 },
    serverFactory: (handler) => makeServer(parts, handler),
    clientErrorHandler: (error, socket) => answerUnreadable(error as { code?: string }, socket, parts.clock),
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
  app.addHook('onResponse', async ({ raw, method, routeOptions: { url, config } }, { statusCode }) => {
    const route = url ?? 'none';
    const labels = { point: config?.point ?? 'mp', method, route, status: String(statusCode) };
    parts.meter?.add('pushpoint_http_requests_total', labels);
    endUnread(raw, parts.clock);
  });
  routes(app);
  await app.ready();
  return app;
}

/** renew makes a listener show and trust what stands in its `tls` now; connections that are open stay, and each request on them is judged anew. */
export function renew({ server }: FastifyInstance, tls: ListenerTls): void {
  if (server instanceof SecureServer) server.setSecureContext(secureContext(tls));
}
