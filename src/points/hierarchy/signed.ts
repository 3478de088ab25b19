import type { FastifyReply, FastifyRequest } from 'fastify';
import { problemOf, PushpointError, raise } from '#base/errors';
import { linkHolds, Nonces, readLinkClaim, signLink, type LinkClaim } from '#messages';
import type { Link } from '#records/link';
import type { HierarchyParts } from './parts.ts';

/** A signed message counts so long before and after its time. */
const WINDOW_MS = 15 * 60_000;

/** octetsOf gives the body of a request as it came. */
export function octetsOf(request: FastifyRequest): Uint8Array {
  return request.body instanceof Uint8Array ? request.body : new Uint8Array();
}

/** Signed verifies what children send and signs what they get, refusals too: a child believes no refusal that its parent did not sign. */
export class Signed {
  readonly #parts: HierarchyParts;
  readonly #nonces: Nonces;

  constructor(parts: HierarchyParts) {
    this.#parts = parts;
    this.#nonces = new Nonces(parts.clock);
  }

  /** verify gives the child that signed a request; what it is refused for is told in the order in which it can be trusted. */
  async verify(request: FastifyRequest): Promise<{ child: Link; claim: LinkClaim }> {
    const { link, site, clock } = this.#parts;
    const claim = readLinkClaim(request.headers);
    if (!claim) throw raise('PP_LINK_MALFORMED', { why: 'it has no signature of a site' });
    const own = await site.here();
    if (claim.to !== own.code) throw raise('PP_LINK_MALFORMED', { why: `it is for ${claim.to}, and this is ${own.code}` });
    const child = await link.get(claim.from);
    if (child?.role !== 'child') throw raise('PP_LINK_NOT_JOINED', { site: own.code, from: claim.from });
    const { method, url: target } = request;
    const envelope = { method, target, from: claim.from, to: claim.to, time: claim.time, nonce: claim.nonce };
    if (!linkHolds(child.publicKey, envelope, octetsOf(request), claim.signature))
      throw raise('PP_LINK_SIGNATURE', { from: claim.from });
    if (child.state === 'removed') throw raise('PP_LINK_REMOVED', { from: claim.from, site: own.code });
    const off = new Date(claim.time).getTime() - clock.now().getTime();
    if (!(Math.abs(off) <= WINDOW_MS)) throw raise('PP_LINK_SKEW', { seconds: Math.round(Math.abs(off) / 1000) });
    this.#useOnce(claim);
    return { child, claim };
  }

  #useOnce({ from, nonce, time, signature }: LinkClaim): void {
    try {
      this.#nonces.use({ client: from, nonce, time, signature });
    } catch (cause) {
      throw raise('PP_LINK_REPLAYED', {}, { cause });
    }
  }

  /** headers signs an answer to a request that names its sender in the right form. */
  async headers(request: FastifyRequest, status: number, body: Uint8Array): Promise<Record<string, string>> {
    const claim = readLinkClaim(request.headers);
    const own = claim && (await this.#parts.site.own());
    if (!own) return {};
    const { method, url: target } = request;
    const time = this.#parts.clock.now().toISOString();
    const envelope = { method, target, status, from: own.code, to: claim.from, time, nonce: claim.nonce };
    return signLink(this.#parts.key.privateKey, envelope, body);
  }

  /** refuse answers with a problem, signed, with the time here. */
  async refuse(error: Error, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { clock, log } = this.#parts;
    const status = (error as { statusCode?: number }).statusCode;
    const known =
      error instanceof PushpointError || status === undefined || status >= 500
        ? error
        : raise('PP_LINK_MALFORMED', { why: error.message });
    const problem = problemOf(known);
    const from = readLinkClaim(request.headers)?.from;
    if (problem.status >= 500) log.error('an exchange failed', { from, error });
    else log.warn('an exchange was refused', { from, code: problem.code, why: problem.detail });
    const body = Buffer.from(JSON.stringify({ ...problem, serverTime: clock.now().toISOString() }));
    await reply
      .code(problem.status)
      .type('application/problem+json')
      .headers(await this.headers(request, problem.status, body))
      .send(body);
  }
}
