import type { Clock } from '#base/clock';
import { PushpointError, raise } from '#base/errors';
import type { Random } from '#base/random';
import {
  LINK_LARGEST,
  LinkAnswer,
  LinkPin,
  readLink,
  linkHolds,
  packLink,
  readLinkClaim,
  signLink,
  unpackLink,
  type Envelope,
  type LinkRequest,
} from '#messages';
import type { Link, OutBatch, SiteKey } from '#records/link';
import type { HttpPeer, Reply } from '#wire/http';

/** How long a request may take beyond the time that the parent may hold it. */
const PATIENCE_MS = 60_000;
const EXCHANGE = '/hierarchy/v1/exchange';

/** ParentParts is what speaking with the parent needs. */
export interface ParentParts {
  peer: HttpPeer;
  own: string;
  parent: Pick<Link, 'site' | 'publicKey' | 'url'>;
  key: SiteKey;
  sealKey: string;
  version: string;
  clock: Clock;
  random: Random;
  /** Beyond the hold, in milliseconds; 60 s where nothing is said. */
  patienceMs?: number | undefined;
  /** Another one each time this server starts. */
  instance: string;
}

/** Wish is a request without what every request says. */
export type Wish = Pick<LinkRequest, 'what'> &
  Partial<Pick<LinkRequest, 'turn' | 'waitMs' | 'ack' | 'session'>> & { batch?: OutBatch | undefined };

/** Parent speaks with the parent of this site: signs what it sends, and believes nothing that the parent did not sign. */
export class Parent {
  readonly #parts: ParentParts;
  /** How far the parent's clock is before ours, where a refusal told it; requests are signed with it. */
  #offsetMs = 0;

  constructor(parts: ParentParts) {
    this.#parts = parts;
  }

  /** exchange sends one request; where the clocks are too far apart it is sent once more in the parent's time. */
  async exchange(wish: Wish, signal: AbortSignal): Promise<LinkAnswer> {
    const body = await packLink(this.#text(wish));
    const send = () => this.#signed({ method: 'POST', target: EXCHANGE, body, waitMs: wish.waitMs ?? 0, signal });
    let reply = await send();
    if (reply.refused?.code === 'PP_LINK_SKEW' && reply.serverTime) {
      this.#offsetMs = reply.serverTime.getTime() - this.#parts.clock.now().getTime();
      reply = await send();
    }
    if (reply.refused) throw reply.refused;
    return unpackLink(LinkAnswer, reply.body);
  }

  /** piece fetches a piece of a file of a package. */
  async piece(sha256: string, from: number, length: number, signal: AbortSignal): Promise<Buffer> {
    const target = `/hierarchy/v1/content/${sha256}?from=${from}&length=${length}`;
    const reply = await this.#signed({ method: 'GET', target, body: new Uint8Array(), waitMs: 0, signal });
    if (reply.refused) throw reply.refused;
    return reply.body;
  }

  /**
   * vouched asks for the key of the listener that the parent answers on, signed by the parent; empty where it does not know, because another
   * server does TLS for it. Whoever stands between the two can pass the question on, and gets the answer of another key than its own.
   */
  async vouched(signal: AbortSignal): Promise<string> {
    const reply = await this.#signed({ method: 'GET', target: '/hierarchy/v1/pin', body: new Uint8Array(), waitMs: 0, signal });
    if (reply.refused) throw reply.refused;
    return readLink(LinkPin, reply.body).pin;
  }

  #text({ what, turn = 0, waitMs = 0, ack, session = '', batch }: Wish): string {
    const { version, sealKey, clock, instance } = this.#parts;
    const time = clock.now().toISOString();
    const text = JSON.stringify({ version, sealKey, time, instance, session, what, turn, waitMs, ack });
    if (!batch) return text;
    return `${text.slice(0, -1)},"batch":{"stream":${batch.stream},"first":${batch.first},"items":${batch.items}}}`;
  }

  async #signed(o: {
    method: 'GET' | 'POST';
    target: string;
    body: Uint8Array;
    waitMs: number;
    signal: AbortSignal;
  }): Promise<{ body: Buffer; refused?: PushpointError; serverTime?: Date }> {
    const { peer, own, parent, key, clock, random, patienceMs = PATIENCE_MS } = this.#parts;
    const envelope: Envelope = {
      method: o.method,
      target: o.target,
      from: own,
      to: parent.site,
      time: new Date(clock.now().getTime() + this.#offsetMs).toISOString(),
      nonce: Buffer.from(random.bytes(24)).toString('base64url'),
    };
    const reply = await peer.call({
      method: o.method,
      target: o.target,
      headers: {
        ...signLink(key.privateKey, envelope, o.body),
        ...(o.method === 'POST' && { 'content-type': 'application/octet-stream' }),
      },
      body: o.method === 'POST' ? o.body : undefined,
      withinMs: o.waitMs + patienceMs,
      largest: LINK_LARGEST.packed,
      signal: o.signal,
    });
    if (!this.#isParents(reply, envelope)) throw this.#stranger(reply);
    if (reply.status === 200) return { body: reply.body };
    const { refused, serverTime } = refusalOf(reply, own, parent.site);
    return { body: reply.body, refused, ...(serverTime && { serverTime }) };
  }

  #isParents({ status, headers, body }: Reply, { method, target, from, to, nonce }: Envelope): boolean {
    const claim = readLinkClaim(headers);
    if (!claim || claim.from !== to || claim.to !== from || claim.nonce !== nonce) return false;
    const envelope = { method, target, status, from: to, to: from, time: claim.time, nonce };
    return linkHolds(this.#parts.parent.publicKey, envelope, body, claim.signature);
  }

  /** An answer that the parent did not sign is a proxy's word, or somebody else's: it changes nothing here but what is shown. */
  #stranger({ status, headers }: Reply): PushpointError {
    const { parent } = this.#parts;
    if (status === 200 || readLinkClaim(headers)) return raise('PP_LINK_SIGNATURE', { from: parent.site });
    return raise('PP_LINK_UNREACHABLE', {
      url: parent.url ?? '',
      why: `something answered ${status}, and it was not ${parent.site}`,
    });
  }
}

/** refusalOf makes the error again that the parent answered with. */
function refusalOf({ status, body }: Reply, own: string, parent: string): { refused: PushpointError; serverTime?: Date } {
  let said: { code?: unknown; detail?: unknown; serverTime?: unknown };
  try {
    said = JSON.parse(body.toString('utf8')) as typeof said;
  } catch {
    said = {};
  }
  const detail = typeof said.detail === 'string' ? said.detail.slice(0, 300) : `it answered ${status}`;
  const time = typeof said.serverTime === 'string' ? new Date(said.serverTime) : undefined;
  const refused = errorOf(said.code, { own, parent, detail });
  return { refused, ...(time && !Number.isNaN(time.getTime()) && { serverTime: time }) };
}

function errorOf(code: unknown, { own, parent, detail }: { own: string; parent: string; detail: string }): PushpointError {
  if (code === 'PP_LINK_REMOVED' || code === 'PP_LINK_NOT_JOINED') return raise(code, { from: own, site: parent });
  if (code === 'PP_LINK_SIGNATURE') return raise(code, { from: own });
  if (code === 'PP_LINK_SKEW') return raise(code, { seconds: /\d+/.exec(detail)?.[0] ?? '?' });
  if (code === 'PP_LINK_SESSION' || code === 'PP_LINK_REPLAYED') return raise(code);
  if (code === 'PP_LINK_MALFORMED') return raise(code, { why: detail });
  return raise('PP_LINK_UNREACHABLE', { url: parent, why: detail });
}
