import type { FastifyInstance, FastifyReply } from 'fastify';
import { raise } from '#base/errors';
import { LINK_LARGEST, LinkJoin, readLink } from '#messages';
import { plainAddress, Rate } from '#wire/http';
import { contentRoute } from './content.ts';
import { Exchange } from './exchange.ts';
import { helloOf, joinSite } from './join.ts';
import type { HierarchyParts } from './parts.ts';
import { octetsOf, Signed } from './signed.ts';

export type { HierarchyParts } from './parts.ts';

/** Guessing a token is hopeless; trying to is made slow. */
const JOIN_BURST = 20;
const JOIN_PER_SECOND = 0.2;
const LARGEST_JOIN = 64 * 1024;

/** HierarchyPoint is what the points listener takes in for the children of this site. */
export interface HierarchyPoint {
  routes(app: FastifyInstance, o?: { pin?: string | undefined }): void;
  stop(): Promise<void>;
}

/** goneOf aborts when nobody waits for an answer any more. */
function goneOf(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}

/** hierarchyPoint answers `/hierarchy/v1/…`: hello, join, exchange, pin, content. */
export async function hierarchyPoint(parts: HierarchyParts): Promise<HierarchyPoint> {
  const exchange = new Exchange(parts);
  await exchange.start();
  const signed = new Signed(parts);
  const joins = new Rate(parts.clock, JOIN_BURST, JOIN_PER_SECOND);
  return {
    routes(app, { pin } = {}) {
      void app.register(
        async (api) => {
          api.setErrorHandler((error: Error, request, reply) => signed.refuse(error, request, reply));
          api.get('/hello', async () => helloOf(parts));
          api.post('/join', { bodyLimit: LARGEST_JOIN }, async (request) => {
            const address = plainAddress(request.ip);
            joins.take(address);
            return joinSite({ ...parts, pin }, readLink(LinkJoin, octetsOf(request)), address);
          });
          api.post('/exchange', { bodyLimit: LINK_LARGEST.packed }, async (request, reply) => {
            const { child } = await signed.verify(request);
            const body = await exchange.answer(child, octetsOf(request), goneOf(reply));
            return reply
              .type('application/octet-stream')
              .headers(await signed.headers(request, 200, body))
              .send(body);
          });
          api.get('/pin', async (request, reply) => {
            await signed.verify(request);
            const body = Buffer.from(JSON.stringify({ pin: pin ?? '' }));
            return reply
              .type('application/json')
              .headers(await signed.headers(request, 200, body))
              .send(body);
          });
          contentRoute(api, parts, signed);
          api.setNotFoundHandler(() => {
            throw raise('PP_MP_NOT_HERE');
          });
        },
        { prefix: '/hierarchy/v1' },
      );
    },
    stop: () => exchange.stop(),
  };
}
