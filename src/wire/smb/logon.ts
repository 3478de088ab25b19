import { raise } from '#base/errors';
import { Reader } from '#wire/bytes';
import type { Authenticator, Credential, PeerNames } from '#wire/auth';
import { STATUS } from '#wire/status';
import type { Connection } from './connection.ts';
import { Guard } from './guard.ts';
import { deriveKeys, PreauthHash } from './keys.ts';
import { COMMAND, decodeBody, SECURITY_MODE, SESSION_FLAG, SessionSetupRequest, SessionSetupResponse } from './messages/index.ts';
import type { Negotiated } from './negotiation.ts';
import type { Answer } from './outstanding.ts';
import { logonRefusal } from './refusal.ts';

/** More legs than any mechanism has. */
const MOST_LEGS = 8;

function malformed(answer: Answer, field: string, why: string): Error {
  const r = new Reader(answer.octets, 'SESSION_SETUP response');
  r.field = field;
  return r.fail(why);
}

export interface LogonOptions {
  credential: Credential;
  checkPeer: (peer: PeerNames) => void;
  timeoutMs: number;
}

/**
 * logOn runs SESSION_SETUP to its end and sets the connection's guard: from then on nothing leaves or enters unprotected. The final
 * response is verified with the new key, which proves that the server knows the session key and heard what we said in NEGOTIATE.
 */
export async function logOn(connection: Connection, negotiated: Negotiated, options: LogonOptions): Promise<PeerNames> {
  const { host } = connection;
  const { credential, checkPeer } = options;
  const authenticator = credential.authenticator({ target: `cifs/${host}`, checkPeer });
  const preauth = new PreauthHash(negotiated.preauth);
  let token = await authenticator.start();
  for (let leg = 0; leg < MOST_LEGS; leg++) {
    const answer = await setUp(connection, token, options.timeoutMs);
    preauth.add(answer.sent);
    const { status, sessionId } = answer.header;
    if (status === STATUS.SUCCESS) {
      const guard = await finish(connection, negotiated, { answer, authenticator, preauth, account: credential.label });
      connection.sessionId = sessionId;
      connection.guard = guard;
      return authenticator.peer ?? {};
    }
    if (status !== STATUS.MORE_PROCESSING_REQUIRED) throw logonRefusal(status, { host, account: credential.label });
    if (sessionId === 0n || (leg > 0 && sessionId !== connection.sessionId))
      throw malformed(answer, 'sessionId', 'another session');
    connection.sessionId = sessionId;
    preauth.add(answer.octets);
    const next = await authenticator.next(decodeBody(answer, SessionSetupResponse).token);
    if (!next) throw malformed(answer, 'token', 'the peer wants more, but there is nothing left to say');
    token = next;
  }
  throw raise('PP_WIRE_MALFORMED', {
    message: 'SESSION_SETUP response',
    field: 'status',
    offset: 8,
    why: 'the logon does not end',
  });
}

async function setUp(connection: Connection, token: Uint8Array<ArrayBuffer>, timeoutMs: number): Promise<Answer> {
  const value = {
    flags: 0,
    securityMode: SECURITY_MODE.SIGNING_ENABLED | SECURITY_MODE.SIGNING_REQUIRED,
    capabilities: 0,
    previousSessionId: 0n,
    token,
  };
  return connection.request({ command: COMMAND.SESSION_SETUP, body: SessionSetupRequest, value, doing: 'logging on', timeoutMs });
}

/** [MS-SMB2] 3.2.5.3.1 and 3.2.5.3.3: no guests, no anonymous sessions, then the keys, then the signature. */
async function finish(
  connection: Connection,
  negotiated: Negotiated,
  o: { answer: Answer; authenticator: Authenticator; preauth: PreauthHash; account: string },
): Promise<Guard> {
  const { host } = connection;
  const { sessionFlags, token } = decodeBody(o.answer, SessionSetupResponse);
  if (sessionFlags & (SESSION_FLAG.IS_GUEST | SESSION_FLAG.IS_NULL)) throw raise('PP_LOGON_GUEST', { host, account: o.account });
  await o.authenticator.next(token);
  const { dialect, signing, cipher } = negotiated;
  const keys = deriveKeys({ dialect, sessionKey: o.authenticator.sessionKey(), preauthHash: o.preauth.value, cipher });
  const { sessionId } = o.answer.header;
  // The final response itself is always signed, never encrypted.
  new Guard({ host, sessionId, signing, keys: { signing: keys.signing } }).admit(o.answer, false);
  if (sessionFlags & SESSION_FLAG.ENCRYPT_DATA && !cipher) throw raise('PP_SMB_NO_ENCRYPTION', { host });
  return new Guard({ host, sessionId, signing, cipher, keys });
}
