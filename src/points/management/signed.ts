import type { KeyObject } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { raise } from '#base/errors';
import { Nonces, readClaim, readPublicKey, verifyRequest, verifyRequestAside, type Claim, type VerificationKey } from '#messages';
import type { KnownClient, TokenKey } from '#records/client';
import type { ManagementParts } from './server.ts';

/** Signer is who signed a request: a registered client that is not blocked, or a bootstrap with a token that has not expired. */
export type Signer = { client: KnownClient; token?: undefined } | { token: TokenKey; client?: undefined };

/** So many keys are kept ready. */
const KEYS = 4096;

/** ReadKeys keeps the keys that were used last, read. It knows nothing of whose they are: who may use one is looked up each time. */
class ReadKeys {
  readonly #keys = new Map<string, KeyObject>();

  read(text: string): KeyObject {
    const key = this.#keys.get(text) ?? readPublicKey(text);
    this.#keys.delete(text);
    this.#keys.set(text, key);
    if (this.#keys.size > KEYS) this.#keys.delete(this.#keys.keys().next().value!);
    return key;
  }
}

/** SignedRequests verifies what clients send (messages/signing): form, signature, time, and that it comes once. */
export class SignedRequests {
  readonly #parts: ManagementParts;
  readonly #nonces: Nonces;
  readonly #keys = new ReadKeys();

  constructor(parts: ManagementParts) {
    this.#parts = parts;
    this.#nonces = new Nonces(parts.clock);
  }

  /** byOwnKey reads a body that brings the key it is signed with. */
  async byOwnKey<T extends { publicKey: string }>(request: FastifyRequest, read: (value: unknown) => T): Promise<T> {
    const claim = readClaim(request.headers);
    if (claim.client !== undefined || claim.token !== undefined) throw raise('PP_MSG_SIGNATURE');
    const body = read(bodyOf(request));
    await this.#verify(request, claim, { publicKey: body.publicKey });
    return body;
  }

  /** bySigner reads a body and finds out who signed it. What is known of the signer is told only to the one who proved to be it. */
  async bySigner<T>(request: FastifyRequest, read: (value: unknown) => T): Promise<{ signer: Signer; body: T }> {
    const claim = readClaim(request.headers);
    const body = read(bodyOf(request));
    return { signer: await this.#signer(request, claim), body };
  }

  /** byClient finds out which registered client signed a request without a body. */
  async byClient(request: FastifyRequest): Promise<KnownClient> {
    const claim = readClaim(request.headers);
    if (claim.client === undefined) throw raise('PP_MSG_SIGNATURE');
    const { client } = await this.#signer(request, claim);
    if (!client) throw raise('PP_MSG_SIGNATURE');
    return client;
  }

  async #signer(request: FastifyRequest, claim: Claim): Promise<Signer> {
    const signer = await this.#signerOf(claim);
    await this.#verify(request, claim, signer.client ? { publicKey: signer.client.publicKey } : { tokenKey: signer.token.key });
    const { client, token } = signer;
    if (client?.blocked) throw raise('PP_CLIENT_BLOCKED', { guid: client.guid, name: client.name });
    if (token && token.expiresAt <= this.#parts.clock.now())
      throw raise('PP_CLIENT_TOKEN_EXPIRED', { token: token.id, name: token.name });
    // The token of a blocked client's push is no way around the block.
    if (token?.blocked) throw raise('PP_CLIENT_BLOCKED', { guid: token.name, name: token.name });
    return signer;
  }

  async #signerOf(claim: Claim): Promise<Signer> {
    if (claim.client !== undefined) {
      const client = await this.#parts.client.known(claim.client);
      // A client must hear that the site forgot it, or it would never register again.
      if (!client) throw raise('PP_CLIENT_UNKNOWN', { guid: claim.client });
      return { client };
    }
    const token = claim.token === undefined ? undefined : await this.#parts.client.tokenKey(claim.token);
    if (!token) throw raise('PP_MSG_SIGNATURE');
    return { token };
  }

  async #verify(request: FastifyRequest, claim: Claim, key: VerificationKey): Promise<void> {
    const { method, url: path } = request;
    const signable = { method, path, body: octetsOf(request) };
    const now = this.#parts.clock.now();
    if ('tokenKey' in key) verifyRequest(signable, claim, key, now);
    else await verifyRequestAside(signable, claim, { publicKey: this.#keys.read(key.publicKey) }, now);
    this.#nonces.use(claim);
  }
}

function octetsOf(request: FastifyRequest): Uint8Array {
  return request.body instanceof Uint8Array ? request.body : new Uint8Array();
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function bodyOf(request: FastifyRequest): unknown {
  try {
    return JSON.parse(utf8.decode(octetsOf(request))) as unknown;
  } catch {
    // What the parser says quotes the body, which is no business of the log.
    throw raise('PP_MSG_MALFORMED', { message: 'body', why: 'is no JSON in UTF-8' });
  }
}
