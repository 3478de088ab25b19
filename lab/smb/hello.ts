import {
  fileTimeOfDate,
  DIALECT,
  decodeBody,
  header,
  NegotiateRequest,
  NegotiateResponse,
  packContexts,
  SECURITY_MODE,
  unpackContexts,
} from '#wire/smb';
import type { Header, Message } from '#wire/smb';
import type { Bytes } from '#wire/bytes';
import { answer, type Answer } from './answer.ts';
import { Hangup } from './hangup.ts';
import { agree, smb1Dialects } from './negotiation.ts';
import type { SmbServer } from './server.ts';
import type { Hello } from './session.ts';

const SALT_SIZE = 32;
const MULTI_PROTOCOL = 'SMB 2.???';
const SMB202_NAME = 'SMB 2.002';

const MODE = SECURITY_MODE.SIGNING_ENABLED | SECURITY_MODE.SIGNING_REQUIRED;

function response(server: SmbServer, said: Pick<NegotiateResponse, 'dialect' | 'capabilities' | 'contexts'>, io: number): Answer {
  return answer(NegotiateResponse, {
    ...said,
    securityMode: MODE,
    serverGuid: server.guid,
    maxTransactSize: io,
    maxReadSize: io,
    maxWriteSize: io,
    systemTime: fileTimeOfDate(server.clock.now()),
    serverStartTime: 0n,
    token: server.backend.hint() as Bytes,
  });
}

/** hello is NEGOTIATE, [MS-SMB2] 3.3.5.4. */
export function hello(message: Message, server: SmbServer): { hello: Hello; answer: Answer } {
  const asked = decodeBody(message, NegotiateRequest);
  const client = {
    capabilities: asked.capabilities,
    securityMode: asked.securityMode,
    guid: asked.clientGuid,
    dialects: asked.dialects,
  };
  const agreed = agree(server.speech, { ...client, contexts: unpackContexts(asked.contexts) }, server.randomBytes(SALT_SIZE));
  const said = { dialect: agreed.dialect, capabilities: agreed.capabilities, contexts: packContexts(agreed.contexts) };
  return {
    hello: { agreed, client, serverGuid: server.guid, securityMode: MODE },
    answer: response(server, said, agreed.maxIoBytes),
  };
}

/**
 * wildcardAnswer is what a Windows server says to an SMB1 negotiate that also offers SMB2, [MS-SMB2] 3.3.5.3.2: dialect 0x02FF, upon
 * which the client negotiates again in SMB2. A client of SMB1 alone finds nobody here.
 */
export function wildcardAnswer(frame: Bytes, server: SmbServer): { header: Header; answer: Answer } {
  const names = smb1Dialects(frame);
  if (!names?.includes(MULTI_PROTOCOL)) {
    const only202 = names?.includes(SMB202_NAME);
    throw new Hangup(only202 ? 'SMB 2.0.2 through SMB1 is not spoken here' : 'SMB1 is not spoken here');
  }
  const said = { dialect: DIALECT.WILDCARD, capabilities: 0, contexts: [] };
  return { header: header({ command: 0 }), answer: response(server, said, 65_536) };
}
