import type { Random } from '#base/random';
import { PushpointError, raise, type Code } from '#base/errors';
import { joinMac, LinkHello, LinkJoined, macHolds, readLink, type LinkTokenFile } from '#messages';
import type { HttpPeer, Reply } from '#wire/http';

/** Joined is what a site learns of its parent when it joins. */
export interface Joined {
  site: string;
  publicKey: string;
  sealKey: string;
  path: string[];
  version: string;
  pin: string | undefined;
}

const WITHIN_MS = 30_000;
const LARGEST = 256 * 1024;
/** The answer to a join can get lost; the parent knows the same question again. */
const TRIES = 3;

/** askToJoin proves the token to the parent and has the parent prove it too; the token itself does not travel. */
export async function askToJoin(o: {
  peer: HttpPeer;
  token: LinkTokenFile;
  tokenKey: Uint8Array;
  code: string;
  kind: 'primary' | 'secondary';
  publicKey: string;
  sealKey: string;
  branch: string[];
  version: string;
  random: Random;
}): Promise<Joined> {
  const { peer, token, code } = o;
  const hello = okay(LinkHello, await ask(peer, 'GET', '/hierarchy/v1/hello'));
  if (hello.site !== token.parent)
    throw raise('PP_LINK_PARENT', { code, parent: hello.site, why: `the token is one of ${token.parent}` });
  // The token file came over a way that people trust, so it tells the parent's key better than the network does.
  if (hello.publicKey !== token.publicKey) throw raise('PP_LINK_SIGNATURE', { from: hello.site });
  if (hello.path.includes(code)) throw raise('PP_LINK_LOOP', { code, parent: hello.site, why: `${code} is above ${hello.site}` });
  const join = {
    tokenId: token.token,
    code,
    kind: o.kind,
    publicKey: o.publicKey,
    sealKey: o.sealKey,
    branch: o.branch,
    version: o.version,
    pin: peer.shown,
    nonce: Buffer.from(o.random.bytes(24)).toString('base64url'),
  };
  const body = Buffer.from(JSON.stringify({ ...join, mac: joinMac(o.tokenKey, 'child', hello, join) }));
  const joined = okay(LinkJoined, await askAgain(peer, body));
  if (!macHolds(joinMac(o.tokenKey, 'parent', hello, join), joined.mac)) throw raise('PP_LINK_TOKEN');
  const { site, publicKey, sealKey, version } = hello;
  return { site, publicKey, sealKey, version, path: joined.path, pin: peer.shown || undefined };
}

function ask(peer: HttpPeer, method: 'GET' | 'POST', target: string, body?: Uint8Array): Promise<Reply> {
  const headers = body ? { 'content-type': 'application/json' } : undefined;
  return peer.call({ method, target, body, headers, withinMs: WITHIN_MS, largest: LARGEST });
}

async function askAgain(peer: HttpPeer, body: Uint8Array): Promise<Reply> {
  for (let tried = 1; ; tried++) {
    try {
      return await ask(peer, 'POST', '/hierarchy/v1/join', body);
    } catch (error) {
      if (tried >= TRIES || !(error instanceof PushpointError) || error.origin !== 'unreachable') throw error;
    }
  }
}

const TOLD: readonly Code[] = [
  'PP_LINK_TOKEN',
  'PP_LINK_TOKEN_USED',
  'PP_LINK_TOKEN_EXPIRED',
  'PP_LINK_CODE_USED',
  'PP_LINK_LOOP',
  'PP_LINK_PARENT',
  'PP_LINK_PIN',
  'PP_API_RATE',
];

/** Refusal carries the parent's own words, which name what this side does not know. */
function refusal(code: Code, detail: string): PushpointError {
  const error = raise(code);
  error.message = detail;
  return error;
}

function okay<S extends typeof LinkHello | typeof LinkJoined>(schema: S, reply: Reply) {
  if (reply.status === 200) return readLink(schema, reply.body);
  let said: { code?: unknown; detail?: unknown };
  try {
    said = JSON.parse(reply.body.toString('utf8')) as typeof said;
  } catch {
    said = {};
  }
  const code = TOLD.find((one) => one === said.code);
  // Control characters of a stranger's answer are not shown.
  const detail = (typeof said.detail === 'string' ? said.detail : '').replace(/\p{C}/gu, ' ').slice(0, 300);
  if (code) throw refusal(code, detail);
  throw raise('PP_LINK_MALFORMED', { why: detail || `the server there answered ${reply.status}, as no Pushpoint site does` });
}
