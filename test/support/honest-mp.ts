import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import type { Clock } from '#base/clock';
import { PushpointError, raise } from '#base/errors';
import {
  Farewell,
  Heartbeat,
  Nonces,
  POLICY_PROOF,
  Registration,
  StateMessage,
  checked,
  policyKey,
  policyProof,
  readClaim,
  tokenKeyOf,
  tokenProofHolds,
  verifyRequest,
  type Claim,
  type Location,
  type Policy,
  type SiteInformation,
} from '#messages';
import { selfMade, type SelfMade } from '#test/certificate';

/** Asked is one request as the management point saw it. */
export interface Asked {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  at: Date;
  status: number;
}

/**
 * HonestMp plays a management point for the client: it verifies every signature, proof and shape with #messages, keeps what it heard, and
 * serves files with Range. Faults are injected by `before`, which answers a request itself when it returns true.
 */
export class HonestMp {
  readonly asked: Asked[] = [];
  readonly registrations: Registration[] = [];
  readonly heartbeats: Heartbeat[] = [];
  readonly states: (StateMessage & { signed: boolean })[] = [];
  /** guid -> public key */
  readonly clients = new Map<string, string>();
  readonly tokens = new Map<string, { secret: string; used: boolean }>();
  readonly files = new Map<string, Uint8Array>();
  readonly blocked = new Set<string>();
  readonly url: string;
  readonly certificate: SelfMade | undefined;
  /** Sites that it knows, beside its own P01. */
  readonly sites = new Map<string, Partial<SiteInformation> | 'unknown'>();
  /** Where a machine that asks is; undefined: at home in P01. */
  location: Partial<Location> | undefined;
  /** The policy it gives; undefined: the plain one. `prove` is the token whose holder can tell that it is genuine. */
  policy: Partial<Policy> = {};
  prove: { token: string; guid: string } | undefined;
  readonly farewells: Farewell[] = [];
  site = 'P01';
  version = '0.1.0';
  /** Tells a client whose heartbeat it has heard already where to go on. */
  knowsSequence = false;
  heartbeatMinutes = 60;
  managementPoints: string[] = [];
  before: (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean> = () => false;
  readonly #byRequest = new Map<string, string>();
  readonly #clock: Clock;
  readonly #nonces: Nonces;
  #made = 0;

  private constructor(clock: Clock, url: string, certificate: SelfMade | undefined) {
    this.#clock = clock;
    this.#nonces = new Nonces(clock);
    this.url = url;
    this.certificate = certificate;
  }

  static async start(t: TestContext, clock: Clock, kind: 'http' | 'https' = 'http', host = '127.0.0.1'): Promise<HonestMp> {
    const certificate = kind === 'https' ? selfMade() : undefined;
    let mp: HonestMp;
    const answer = (request: IncomingMessage, response: ServerResponse) => void mp.#answer(request, response);
    const server: Server = certificate ? createHttps(certificate, answer) : createHttp(answer);
    // Else it would hang up on the real clock, in the middle of a request where the process was kept waiting.
    server.keepAliveTimeout = 0;
    server.listen(0, host);
    await once(server, 'listening');
    t.after(() => {
      server.close();
      server.closeAllConnections();
    });
    mp = new HonestMp(clock, `${kind}://${host}:${(server.address() as AddressInfo).port}`, certificate);
    return mp;
  }

  /** asks gives the requests for a path; of downloads only those by hash, which come first. */
  asks(path: string): Asked[] {
    if (path === '/CCM_Client') return this.asked.filter((one) => /^\/CCM_Client\/[0-9a-f]{64}\//.test(one.path));
    return this.asked.filter((one) => one.path.startsWith(path));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const entry: Asked = {
      method: request.method!,
      path: request.url!,
      headers: request.headers,
      at: this.#clock.now(),
      status: 0,
    };
    this.asked.push(entry);
    response.on('close', () => (entry.status = response.statusCode));
    try {
      if (await this.before(request, response)) return;
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      const body = new Uint8Array(Buffer.concat(parts));
      if (request.method === 'GET' && request.url!.startsWith('/ccm_system/policy')) return this.#policy(request, response);
      if (request.method === 'GET' && /^\/(?:ccm_system|sms_slp)\//.test(request.url!)) {
        response.setHeader('content-type', 'application/json');
        return void response.end(JSON.stringify(this.#locate(request.url!)));
      }
      if (request.method === 'GET') return this.#file(request, response);
      const reply = this.#message(request, body);
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(reply));
    } catch (error) {
      if (!(error instanceof PushpointError)) return void response.destroy();
      const problem = { title: error.message, status: error.http, code: error.code, serverTime: this.#clock.now().toISOString() };
      response.statusCode = error.http;
      response.end(JSON.stringify(problem));
    }
  }

  #locate(url: string): unknown {
    const { site, version } = this;
    const code = /\/sites\/([A-Z0-9]+)$/.exec(url)?.[1];
    if (code === undefined) {
      const home = { site, version, managementPoints: [this.url], proxyManagementPoints: [] };
      return this.location === undefined ? home : { managementPoints: [], proxyManagementPoints: [], ...this.location };
    }
    const known = this.sites.get(code) ?? (code === site ? {} : 'unknown');
    if (known === 'unknown') throw raise('PP_SITE_UNKNOWN', { code });
    const managementPoints = this.managementPoints.length > 0 ? this.managementPoints : [this.url];
    const information = { site: code, type: 'primary', version, managementPoints, ...known };
    return Object.fromEntries(Object.entries(information).filter(([, value]) => value !== undefined));
  }

  #policy(request: IncomingMessage, response: ServerResponse): void {
    const claim = readClaim(request.headers);
    const publicKey = this.clients.get(claim.client ?? '');
    if (publicKey === undefined) throw raise('PP_CLIENT_UNKNOWN', { guid: claim.client ?? '' });
    verifyRequest({ method: 'GET', path: request.url!, body: new Uint8Array() }, claim, { publicKey }, this.#clock.now());
    this.#nonces.use(claim);
    if (this.blocked.has(claim.client!)) throw raise('PP_CLIENT_BLOCKED', { guid: claim.client! });
    const { site, heartbeatMinutes, managementPoints } = this;
    const plain = { revision: 'r1', site, approval: 'approved', heartbeatMinutes, policyMinutes: 1440, managementPoints };
    const body = JSON.stringify({ ...plain, ...this.policy });
    const etag = `"${this.policy.revision ?? plain.revision}"`;
    if (request.headers['if-none-match'] === etag) return void response.writeHead(304).end();
    if (this.prove) {
      const key = policyKey(tokenKeyOf(this.prove.token), this.prove.guid);
      response.setHeader(POLICY_PROOF, policyProof(key, claim.nonce, body));
    }
    response.setHeader('etag', etag).setHeader('content-type', 'application/json').end(body);
  }

  #file(request: IncomingMessage, response: ServerResponse): void {
    const [, sha256, name] = /^\/CCM_Client\/(?:([0-9a-f]{64})\/)?([^/]+)$/.exec(request.url!) ?? [];
    const bytes = this.files.get(name ?? '');
    const isWanted = bytes && (sha256 === undefined || sha256 === createHash('sha256').update(bytes).digest('hex'));
    if (!isWanted) {
      response.statusCode = 404;
      return void response.end();
    }
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? Number.NaN);
    response.setHeader('etag', `"${createHash('sha256').update(bytes).digest('hex')}"`);
    if (Number.isNaN(from)) return void response.setHeader('content-length', bytes.length).end(bytes);
    if (from >= bytes.length) {
      response.statusCode = 416;
      return void response.setHeader('content-range', `bytes */${bytes.length}`).end();
    }
    response.statusCode = 206;
    response.setHeader('content-range', `bytes ${from}-${bytes.length - 1}/${bytes.length}`);
    response.setHeader('content-length', bytes.length - from).end(bytes.subarray(from));
  }

  #message(request: IncomingMessage, body: Uint8Array): unknown {
    const value: unknown = JSON.parse(Buffer.from(body).toString('utf8'));
    const signable = { method: request.method!, path: request.url!, body };
    const verified = (key: (claim: Claim) => Parameters<typeof verifyRequest>[2]): Claim => {
      const claim = readClaim(request.headers);
      verifyRequest(signable, claim, key(claim), this.#clock.now());
      this.#nonces.use(claim);
      return claim;
    };
    const keyOf = (claim: Claim) => {
      if (claim.token !== undefined) return { tokenKey: this.#tokenKey(claim.token) };
      const publicKey = this.clients.get(claim.client ?? '');
      if (publicKey === undefined) throw raise('PP_CLIENT_UNKNOWN', { guid: claim.client ?? '' });
      return { publicKey };
    };
    switch (request.url) {
      case '/ccm_system/registration': {
        const message = checked(Registration, value, 'registration');
        verified(() => ({ publicKey: message.publicKey }));
        return this.#register(message);
      }
      case '/ccm_system/heartbeat': {
        const message = checked(Heartbeat, value, 'heartbeat');
        const claim = verified(keyOf);
        if (claim.client !== message.guid) throw raise('PP_MSG_SIGNATURE');
        if (this.blocked.has(message.guid)) throw raise('PP_CLIENT_BLOCKED', { guid: message.guid });
        const { sequence: last } = this.heartbeats.findLast(({ guid }) => guid === message.guid) ?? { sequence: 0 };
        if (this.knowsSequence && message.sequence <= last) return { ...this.#wishes(), lastSequence: last };
        this.heartbeats.push(message);
        return this.#wishes();
      }
      case '/ccm_system/farewell': {
        const message = checked(Farewell, value, 'farewell');
        if (verified(keyOf).client !== message.guid) throw raise('PP_MSG_SIGNATURE');
        this.farewells.push(message);
        return { accepted: true, serverTime: this.#clock.now().toISOString() };
      }
      case '/ccm_system/state':
        verified(keyOf);
        this.states.push({ ...checked(StateMessage, value, 'state message'), signed: true });
        return { accepted: true, serverTime: this.#clock.now().toISOString() };
      case '/sms_fsp/.sms_fsp':
        this.states.push({ ...checked(StateMessage, value, 'state message'), signed: false });
        return { accepted: true, serverTime: this.#clock.now().toISOString() };
      default:
        throw raise('PP_API_NOT_FOUND', { kind: 'path', name: request.url! });
    }
  }

  #tokenKey(id: string): Uint8Array {
    const token = this.tokens.get(id);
    if (!token) throw raise('PP_CLIENT_TOKEN_UNKNOWN', { token: id });
    return tokenKeyOf(token.secret);
  }

  #register(message: Registration): unknown {
    let approval = 'pending';
    const known = this.#byRequest.get(`${message.requestId} ${message.publicKey}`);
    if (message.tokenId !== undefined) {
      const proven = tokenProofHolds(this.#tokenKey(message.tokenId), message.publicKey, message.time, message.tokenProof ?? '');
      const token = this.tokens.get(message.tokenId)!;
      if (!proven) throw raise('PP_MSG_SIGNATURE');
      if (token.used && known === undefined) throw raise('PP_CLIENT_TOKEN_USED', { token: message.tokenId, name: message.name });
      token.used = true;
      approval = 'approved';
    }
    const guid = known ?? message.guid ?? `GUID:00000000-0000-0000-0000-${String(++this.#made).padStart(12, '0')}`;
    this.#byRequest.set(`${message.requestId} ${message.publicKey}`, guid);
    this.clients.set(guid, message.publicKey);
    this.registrations.push(message);
    return { guid, ...this.#wishes(), approval };
  }

  #wishes() {
    const { site, heartbeatMinutes, managementPoints } = this;
    const policyRevision = this.policy.revision ?? 'r1';
    return {
      site,
      approval: 'approved',
      heartbeatMinutes,
      managementPoints,
      policyRevision,
      serverTime: this.#clock.now().toISOString(),
    };
  }
}
