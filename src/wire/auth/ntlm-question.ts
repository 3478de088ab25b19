import { Reader, type Bytes } from '#wire/bytes';
import { namesOf } from './av-pairs.ts';
import type { PeerNames } from './credential.ts';
import { Challenge, Negotiate, NTLM_FLAG, REVISION } from './ntlm-messages.ts';
import { decodeToken, encodeInit, OID } from './spnego-tokens.ts';

/** What the clients of Windows ask for at the beginning of a logon: some servers tell nothing to whoever asks for less. */
const ASKED =
  NTLM_FLAG.unicode |
  NTLM_FLAG.requestTarget |
  NTLM_FLAG.sign |
  NTLM_FLAG.ntlm |
  NTLM_FLAG.alwaysSign |
  NTLM_FLAG.extendedSessionSecurity |
  NTLM_FLAG.targetInfo |
  NTLM_FLAG.version |
  NTLM_FLAG.key128 |
  NTLM_FLAG.keyExchange |
  NTLM_FLAG.key56;

/**
 * nameQuestion is the first message of NTLM in SPNEGO ([MS-NLMP] 2.2.1.1), which a server answers with its own names before it knows who
 * asks. It holds no user, no workstation and no domain, and nothing follows it: no credential is in play.
 */
export function nameQuestion(): Bytes {
  const empty = new Uint8Array(0);
  const version = { major: 10, minor: 0, build: 0, revision: REVISION };
  const message = Negotiate.encode({ flags: ASKED >>> 0, version, domain: empty, workstation: empty });
  return encodeInit([OID.ntlm], message);
}

/** nameAnswer reads what a server says of itself in its CHALLENGE_MESSAGE ([MS-NLMP] 2.2.1.2); what it says is its own claim. */
export function nameAnswer(token: Uint8Array): PeerNames {
  const said = decodeToken(token);
  if (said.kind !== 'response' || !said.token) throw new Reader(token, 'SPNEGO token').fail('no NTLM CHALLENGE in it');
  const { flags, version, targetInfo } = Challenge.decode(said.token);
  const peer = namesOf(targetInfo);
  if (flags & NTLM_FLAG.version) {
    const { major, minor, build } = version;
    peer.osVersion = { major, minor, build };
  }
  return peer;
}
