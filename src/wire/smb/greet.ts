import type { Socket } from 'node:net';
import type { Clock } from '#base/clock';
import { isCode } from '#base/errors';
import type { Random } from '#base/random';
import { nameAnswer, nameQuestion, type PeerNames } from '#wire/auth';
import { bytes, concat, constant, reserved, struct, toHex, u16, u32, u8 } from '#wire/bytes';
import { STATUS, statusName } from '#wire/status';
import { Connection } from './connection.ts';
import { COMMAND, decodeBody, SECURITY_MODE, SessionSetupRequest, SessionSetupResponse } from './messages/index.ts';
import { CIPHERS, DIALECTS, negotiate, SIGNINGS } from './negotiation.ts';
import { PREFIX, SocketTransport } from './transport.ts';

/** Greeted is what a machine tells whoever greets it; all of it is its own claim. */
export interface Greeted {
  dialect: number;
  /** Whether it takes nothing unsigned. */
  signingRequired: boolean;
  /** The ServerGuid of its NEGOTIATE response, which differs between two machines of one name. */
  serverGuid: string;
  /** Its names and the version of its system; undefined where it does not tell them. */
  peer: PeerNames | undefined;
  /** Why there are no names. */
  why: string | undefined;
}

export interface GreetOptions {
  /** A connection to the machine, which the greeting takes over and closes. */
  socket: Socket;
  address: string;
  port: number;
  clock: Clock;
  random: Random;
  /** How long each of its two answers may take. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

/** No greeting needs more. */
const MOST_FRAME = 65_536;

/**
 * greetSmb asks a machine for its names as every client does at the beginning of a logon, and hangs up then: NEGOTIATE, and the first of the
 * messages of NTLM in SESSION_SETUP ([MS-SMB2] 2.2.3, 2.2.5). There is no credential that it could send.
 */
export async function greetSmb(o: GreetOptions): Promise<Greeted> {
  const { address, port, clock, random, timeoutMs, signal } = o;
  const transport = new SocketTransport(o.socket, address, port, MOST_FRAME);
  const connection = new Connection({ host: address, transport, clock, operationMs: timeoutMs, signal });
  try {
    const offer = {
      dialects: DIALECTS,
      ciphers: CIPHERS,
      signings: SIGNINGS,
      encryption: 'offered' as const,
      random,
      timeoutMs,
    };
    const { dialect, heard } = await negotiate(connection, offer);
    const signingRequired = (heard.securityMode & SECURITY_MODE.SIGNING_REQUIRED) !== 0;
    return { dialect, signingRequired, serverGuid: toHex(heard.guid), ...(await names(connection, timeoutMs)) };
  } finally {
    connection.close();
  }
}

async function names(connection: Connection, timeoutMs: number): Promise<Pick<Greeted, 'peer' | 'why'>> {
  const value = {
    flags: 0,
    securityMode: SECURITY_MODE.SIGNING_ENABLED | SECURITY_MODE.SIGNING_REQUIRED,
    capabilities: 0,
    previousSessionId: 0n,
    token: nameQuestion(),
  };
  const call = { command: COMMAND.SESSION_SETUP, body: SessionSetupRequest, value, doing: 'asking for its names', timeoutMs };
  const answer = await connection.request(call);
  const { status } = answer.header;
  // What refuses NTLM at once (Kerberos alone is allowed, or NTLM is blocked) tells no names, and is no failure of the greeting.
  if (status !== STATUS.MORE_PROCESSING_REQUIRED)
    return { peer: undefined, why: `it does not begin NTLM (${statusName(status)})` };
  return { peer: nameAnswer(decodeBody(answer, SessionSetupResponse).token), why: undefined };
}

/** [MS-CIFS] 2.2.3.1 and 2.2.4.52: the NEGOTIATE request of SMB1, with one dialect. It is the only message of SMB1 that we ever send. */
const Smb1Negotiate = struct('SMB1 NEGOTIATE', {
  protocol: constant(u32, 0x424d53ff),
  command: constant(u8, 0x72),
  status: reserved(4),
  flags: u8,
  flags2: u16,
  rest: reserved(12),
  treeId: u16,
  processId: u16,
  userId: u16,
  multiplexId: u16,
  wordCount: constant(u8, 0),
  byteCount: u16,
  dialect: bytes(12),
});
const DIALECT_NT1 = new TextEncoder().encode('\u0002NT LM 0.12\0');
const SMB1_MARK = Uint8Array.of(0xff, 0x53, 0x4d, 0x42, 0x72);

/**
 * speaksSmb1 asks on a new connection whether a machine that hung up on SMB2 knows SMB1, so that a report can say why nothing can be
 * pushed to it. The answer is looked at for its mark alone; SMB1 is never spoken further.
 */
export async function speaksSmb1(o: Omit<GreetOptions, 'random'>): Promise<boolean> {
  const { socket, clock, timeoutMs, signal } = o;
  const body = Smb1Negotiate.encode({
    flags: 0x18,
    flags2: 0xc801,
    treeId: 0,
    processId: 0xfeff,
    userId: 0,
    multiplexId: 0,
    byteCount: DIALECT_NT1.length,
    dialect: DIALECT_NT1,
  });
  const heard: Uint8Array[] = [];
  return new Promise<boolean>((resolve) => {
    const settle = (is: boolean) => {
      cancel();
      signal?.removeEventListener('abort', onAbort);
      socket.destroy();
      resolve(is);
    };
    const onAbort = () => settle(false);
    // As in connectTcp: what has come in the meantime is heard before it is taken for silence.
    const cancel = clock.after(timeoutMs, () => setImmediate(settle, false));
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.on('error', () => settle(false)).on('close', () => settle(false));
    socket.on('data', (chunk: Buffer) => {
      heard.push(chunk);
      const begun = concat(...heard);
      if (begun.length >= PREFIX + SMB1_MARK.length) settle(SMB1_MARK.every((octet, i) => begun[PREFIX + i] === octet));
    });
    socket.resume();
    socket.write(concat(Uint8Array.of(0, 0, 0, body.length), body));
  });
}

/** mayBeSmb1 tells the errors of a greeting after which it is worth asking for SMB1. */
export function mayBeSmb1(error: unknown): boolean {
  return isCode(error, 'PP_SMB_NOT_SPOKEN') || isCode(error, 'PP_SMB_ONLY_SMB1');
}
