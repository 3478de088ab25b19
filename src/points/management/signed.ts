import type { FastifyRequest } from 'fastify';
import { raise } from '#base/errors';
import { Nonces, readClaim, verifyRequest, type Claim, type VerificationKey } from '#messages';
import type { ManagementParts } from './server.ts';

/** Verified is a request whose signature holds: who signed it, and its body. */
export interface Verified<T> {
  claim: Claim;
  body: T;
}

/** SignedRequests verifies what clients send (messages/signing): form, signature, time, and that it comes once. */
export class SignedRequests {
  readonly #parts: ManagementParts;
  readonly #nonces: Nonces;

  constructor(parts: ManagementParts) {
    this.#parts = parts;
    this.#nonces = new Nonces(parts.clock);
  }

  /** verify reads the body by its schema and checks the signature with the key that `keyOf` finds for the claim. */
  async verify<T>(
    request: FastifyRequest,
    read: (value: unknown) => T,
    keyOf: (claim: Claim, body: T) => Promise<VerificationKey | undefined>,
  ): Promise<Verified<T>> {
    const raw = request.body instanceof Uint8Array ? request.body : new Uint8Array();
    const claim = readClaim(request.headers);
    const body = read(parse(raw));
    const key = await keyOf(claim, body);
    if (!key) throw raise('PP_MSG_SIGNATURE');
    verifyRequest({ method: request.method, path: request.url, body: raw }, claim, key, this.#parts.clock.now());
    this.#nonces.use(claim);
    return { claim, body };
  }
}

function parse(raw: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(raw)) as unknown;
  } catch (cause) {
    throw raise('PP_MSG_MALFORMED', { message: 'body', why: 'is no JSON in UTF-8' }, { cause });
  }
}
