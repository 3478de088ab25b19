import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { Random } from '#base/random';
import type { Credential, PeerNames } from '#wire/auth';
import { connectTcp, type Line } from '#wire/tcp';
import { Connection } from './connection.ts';
import type { CipherName, SigningName } from './keys.ts';
import { logOn } from './logon.ts';
import { expectHost } from './names.ts';
import { CIPHERS, DIALECTS, negotiate, SIGNINGS, type Encryption } from './negotiation.ts';
import { SmbSession } from './session.ts';
import { SocketTransport, type Transport } from './transport.ts';

/** Timeouts bound each phase; an operation that the machine says is under way gets four times its own. */
export interface Timeouts {
  connectMs: number;
  negotiateMs: number;
  logonMs: number;
  operationMs: number;
}

const TIMEOUTS: Timeouts = { connectMs: 5_000, negotiateMs: 10_000, logonMs: 30_000, operationMs: 30_000 };
const SMB_PORT = 445;
/** The largest answer we ask for is a chunk of half a mebibyte; headers, padding and encryption come on top. */
const MOST_FRAME = 0x80000 + 0x10000;

export interface SmbOptions {
  /** host is the name we want, which goes into the UNC path and the service principal name. */
  host: string;
  address: string;
  port?: number;
  /** line is a connection to that address which a probe left open; a new one is made where it is gone. */
  line?: Line | undefined;
  credential: Credential;
  clock: Clock;
  random: Random;
  log: Log;
  /** signal cancels what is under way and hangs up. */
  signal?: AbortSignal | undefined;
  timeouts?: Partial<Timeouts>;
  dialects?: readonly number[];
  ciphers?: readonly CipherName[];
  signings?: readonly SigningName[];
  encryption?: Encryption;
  /** checkPeer sees the machine's own names before the credential is used; by default they must be those of `host`. */
  checkPeer?: (peer: PeerNames) => void;
}

/** connectSmb connects, negotiates and logs on. Signing is always required; encryption is used with every machine that can. */
export async function connectSmb(options: SmbOptions): Promise<SmbSession> {
  const { address, port = SMB_PORT, line, clock, signal } = options;
  const timeoutMs = options.timeouts?.connectMs ?? TIMEOUTS.connectMs;
  const open = signal?.aborted ? undefined : line?.take();
  const socket = open ?? (await connectTcp({ address, port, timeoutMs, clock, ...(signal ? { signal } : {}) }));
  return openSession(new SocketTransport(socket, address, port, MOST_FRAME), options);
}

/** openSession is connectSmb over a transport that is there already; tests hand in their own. */
export async function openSession(transport: Transport, options: SmbOptions): Promise<SmbSession> {
  const { host, clock, credential, log, signal } = options;
  const { negotiateMs, logonMs, operationMs } = { ...TIMEOUTS, ...options.timeouts };
  const connection = new Connection({ host, transport, clock, operationMs, signal });
  try {
    const negotiated = await negotiate(connection, {
      dialects: options.dialects ?? DIALECTS,
      ciphers: options.ciphers ?? CIPHERS,
      signings: options.signings ?? SIGNINGS,
      encryption: options.encryption ?? 'offered',
      random: options.random,
      timeoutMs: negotiateMs,
    });
    connection.multiCredit = negotiated.multiCredit;
    connection.acceptFrames(MOST_FRAME);
    const checkPeer = options.checkPeer ?? expectHost(host);
    const peer = await logOn(connection, negotiated, { credential, checkPeer, timeoutMs: logonMs });
    log.debug('smb logged on', { host, dialect: negotiated.dialect, signing: negotiated.signing, cipher: negotiated.cipher });
    return new SmbSession({ connection, negotiated, peer, account: credential.label, log });
  } catch (error) {
    connection.close();
    throw error;
  }
}
