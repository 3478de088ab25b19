import type { Socket } from 'node:net';
import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { Random } from '#base/random';
import type { Bytes } from '#wire/bytes';
import type { SmbBackend } from './backend.ts';
import { SmbConnection } from './connection.ts';
import { modernSpeech, type Speech } from './negotiation.ts';
import type { Session } from './session.ts';

/** Limits end what nobody uses. */
export interface Limits {
  /** logonMs is how long a connection may exist without a logon. */
  logonMs: number;
  /** idleMs is how long a session may be silent. */
  idleMs: number;
}

export interface SmbServerOptions {
  backend: SmbBackend;
  clock: Clock;
  random: Random;
  log: Log;
  speech?: Partial<Speech>;
  limits?: Partial<Limits>;
}

/** SmbServer answers SMB 2 and 3 on the sockets it is given; it listens to nothing itself. */
export class SmbServer {
  readonly backend: SmbBackend;
  readonly clock: Clock;
  readonly log: Log;
  readonly speech: Speech;
  readonly limits: Limits;
  readonly guid: Bytes;
  readonly #random: Random;
  readonly #connections = new Set<SmbConnection>();
  readonly #sessions = new Map<bigint, Session>();
  #sessionCount = 0;
  #asyncCount = 0n;

  constructor(options: SmbServerOptions) {
    this.backend = options.backend;
    this.clock = options.clock;
    this.log = options.log;
    this.#random = options.random;
    this.speech = { ...modernSpeech, ...options.speech };
    this.limits = { logonMs: 45_000, idleMs: 900_000, ...options.limits };
    this.guid = this.randomBytes(16);
  }

  /** serve takes over a socket that has just been accepted. */
  serve(socket: Socket): void {
    this.#connections.add(new SmbConnection(this, socket));
    this.backend.reached('connect');
  }

  randomBytes(length: number): Bytes {
    return new Uint8Array(this.#random.bytes(length));
  }

  /** nextSessionId is hard to guess and never comes twice. */
  nextSessionId(): bigint {
    const high = new DataView(this.randomBytes(4).buffer).getUint32(0);
    return (BigInt(high) << 24n) | BigInt(++this.#sessionCount & 0xff_ffff || 1);
  }

  nextAsyncId(): bigint {
    return ++this.#asyncCount;
  }

  /** began takes in a logon; an earlier session that it replaces ends, [MS-SMB2] 3.3.5.5.3 with PreviousSessionId. */
  began(session: Session, previous: bigint): void {
    const old = previous === session.id ? undefined : this.#sessions.get(previous);
    this.#sessions.set(session.id, session);
    const same = old?.identity?.username === session.identity?.username && old?.identity?.domain === session.identity?.domain;
    if (old && same) void this.forget(old);
  }

  async forget(session: Session): Promise<void> {
    this.#sessions.delete(session.id);
    await session.end();
  }

  gone(connection: SmbConnection): void {
    this.#connections.delete(connection);
  }

  /** connections is how many clients are connected. */
  get connections(): number {
    return this.#connections.size;
  }

  /** close hangs up on everybody. */
  close(): void {
    for (const connection of this.#connections) connection.close();
  }
}
