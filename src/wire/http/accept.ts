import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Server as HttpsServer } from 'node:https';
import { verbOf } from './alias.ts';
import { VerbStream } from './verb-stream.ts';

/**
 * acceptPostVerbs makes a server of Node take SMS_POST, CCM_POST and BITS_POST. Call it before listen; the server stays what it was. With
 * `restore` its 'request' listeners see the real verb in `req.method`; without, the verb of ALIAS, which is what Fastify needs for its
 * routes: `serverFactory: (handler) => acceptPostVerbs(http.createServer(handler), false)`, then `addHttpMethod(ALIAS.SMS_POST, …)`.
 * HTTP/1.1 only: an https server must not offer h2.
 */
export function acceptPostVerbs<S extends HttpServer | HttpsServer>(server: S, restore = true): S {
  if ((server as { insecureHTTPParser?: boolean }).insecureHTTPParser) {
    throw new TypeError('acceptPostVerbs needs the strict parser: a lenient one frames requests differently');
  }
  const event = server instanceof HttpsServer ? 'secureConnection' : 'connection';
  const listeners = server.listeners(event) as ((this: unknown, socket: unknown) => void)[];
  server.removeAllListeners(event);
  server.on(event, (socket: Socket) => {
    const stream = new VerbStream(socket);
    for (const listener of listeners) listener.call(server, stream);
  });
  if (restore) {
    server.prependListener('request', (request: IncomingMessage) => {
      const verb = verbOf(request.method);
      if (verb !== undefined) request.method = verb;
    });
  }
  return server;
}
