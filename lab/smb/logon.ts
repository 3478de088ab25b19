import { decodeBody, SESSION_FLAG, SessionSetupRequest, SessionSetupResponse, type Message } from '#wire/smb';
import type { Bytes } from '#wire/bytes';
import { STATUS } from '#wire/status';
import { answer, errorAnswer, Refusal, type Answer } from './answer.ts';
import type { SmbBackend } from './backend.ts';
import type { Hello, Session } from './session.ts';

const BINDING = 1;

/** SetupOutcome is the answer to one SESSION_SETUP, and whether the session came to be or is to be forgotten. */
export interface SetupOutcome {
  answer: Answer;
  isFinal: boolean;
  failed: boolean;
  previousSessionId: bigint;
}

/** setUpSession is one step of SESSION_SETUP, [MS-SMB2] 3.3.5.5; nobody becomes a guest here. */
export async function setUpSession(
  message: Message,
  session: Session,
  hello: Hello,
  backend: SmbBackend,
  encryptAll: boolean,
): Promise<SetupOutcome> {
  const asked = decodeBody(message, SessionSetupRequest);
  if (asked.flags & BINDING) throw new Refusal(STATUS.REQUEST_NOT_ACCEPTED);
  const { agreed } = hello;
  if (encryptAll && agreed.cipher === undefined) throw new Refusal(STATUS.ACCESS_DENIED);
  session.acceptor ??= backend.logon();
  if (!session.valid) session.preauth!.add(message.octets);
  const step = await session.acceptor.accept(asked.token);
  const outcome = { isFinal: false, failed: false, previousSessionId: asked.previousSessionId };
  const token = (step.token ?? new Uint8Array(0)) as Bytes;
  if (step.status === STATUS.MORE_PROCESSING_REQUIRED)
    return { ...outcome, answer: answer(SessionSetupResponse, { sessionFlags: 0, token }, step.status) };
  if (step.status !== STATUS.SUCCESS || !step.identity || !step.sessionKey) {
    session.acceptor = undefined;
    return { ...outcome, failed: true, answer: errorAnswer(step.status || STATUS.LOGON_FAILURE) };
  }
  session.begin(agreed, step.identity, step.sessionKey, encryptAll);
  const sessionFlags = session.encryptData ? SESSION_FLAG.ENCRYPT_DATA : 0;
  return { ...outcome, isFinal: true, answer: answer(SessionSetupResponse, { sessionFlags, token }) };
}
