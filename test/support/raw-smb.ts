import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { ntlmCredential } from '#wire/auth';
import { concat, type Bytes, type Struct } from '#wire/bytes';
import {
  COMMAND,
  decodeBody,
  deriveKeys,
  DIALECT,
  encodeMessage,
  Framer,
  header,
  Logoff,
  NegotiateRequest,
  SessionSetupRequest,
  SessionSetupResponse,
  signMessage,
  splitCompound,
  TreeConnectRequest,
  type Header,
  type Message,
} from '#wire/smb';
import { STATUS } from '#wire/status';

/** RawSmb speaks SMB 2.1 so low that a test can put anything on the wire: octets before or after they are signed. */
export class RawSmb {
  readonly socket: Socket;
  closed = false;
  sessionId = 0n;
  treeId = 0;
  #key: Bytes | undefined;
  #messageId = 0n;
  readonly #frames: Bytes[] = [];
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    const framer = new Framer(9 * 2 ** 20, (frame) => {
      this.#frames.push(new Uint8Array(frame));
      this.#wake();
    });
    socket.on('data', (chunk: Uint8Array) => framer.feed(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
      this.#wake();
    });
  }

  static async connect(port: number): Promise<RawSmb> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new RawSmb(socket);
  }

  /** next gives the next frame, or undefined when the server hung up instead. */
  async next(): Promise<Bytes | undefined> {
    while (this.#frames.length === 0) {
      if (this.closed) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return this.#frames.shift();
  }

  /** write sends octets as one frame, whatever they are. */
  write(frame: Uint8Array): void {
    const prefix = new Uint8Array(4);
    new DataView(prefix.buffer).setUint32(0, frame.length);
    if (!this.closed) this.socket.write(concat(prefix, frame));
  }

  /** build makes one unsigned message with the next message id. */
  build<T>(command: number, body: Struct<T>, value: T, more: Partial<Header> = {}): Bytes {
    const charge = more.creditCharge ?? 1;
    const head = header({
      command,
      credits: 32,
      creditCharge: charge,
      messageId: this.#messageId,
      sessionId: this.sessionId,
      treeId: this.treeId,
      ...more,
    });
    this.#messageId += BigInt(charge);
    return encodeMessage(head, body, value);
  }

  sign(message: Bytes): Bytes {
    if (this.#key) signMessage('HMAC-SHA256', this.#key, message);
    return message;
  }

  /** ask sends one signed message and gives the final answer; undefined when the server hung up. */
  async ask(message: Bytes): Promise<Message | undefined> {
    this.write(this.sign(message));
    for (;;) {
      const frame = await this.next();
      if (!frame) return undefined;
      const [answer] = splitCompound(frame);
      if (answer!.header.status !== STATUS.PENDING) return answer;
    }
  }

  negotiate(): Bytes {
    return this.build(COMMAND.NEGOTIATE, NegotiateRequest, {
      securityMode: 1,
      capabilities: 0x44,
      clientGuid: new Uint8Array(16).fill(7),
      dialects: [DIALECT.SMB210],
      contexts: [],
    });
  }

  setUp(token: Uint8Array): Bytes {
    const value = { flags: 0, securityMode: 1, capabilities: 0, previousSessionId: 0n, token: new Uint8Array(token) };
    return this.build(COMMAND.SESSION_SETUP, SessionSetupRequest, value);
  }

  /** logOn does all of NEGOTIATE and SESSION_SETUP. */
  async logOn(username: string, password: string): Promise<void> {
    await this.ask(this.negotiate());
    const credential = ntlmCredential({ username, domain: 'LAB1', password, clock: systemClock, random: systemRandom });
    const authenticator = credential.authenticator({ target: 'cifs/LAB1' });
    let token: Uint8Array | undefined = await authenticator.start();
    while (token) {
      const answer: Message | undefined = await this.ask(this.setUp(token));
      if (!answer) throw new Error('the server hung up during the logon');
      this.sessionId = answer.header.sessionId;
      token = await authenticator.next(decodeBody(answer, SessionSetupResponse).token);
      if (answer.header.status === STATUS.SUCCESS) break;
    }
    this.#key = deriveKeys({ dialect: DIALECT.SMB210, sessionKey: authenticator.sessionKey() }).signing;
  }

  async tree(path: string): Promise<void> {
    this.treeId = 0;
    const answer = await this.ask(this.build(COMMAND.TREE_CONNECT, TreeConnectRequest, { flags: 0, path }));
    this.treeId = answer?.header.treeId ?? 0;
  }

  logoff(): Bytes {
    return this.build(COMMAND.LOGOFF, Logoff, {});
  }

  close(): void {
    this.closed = true;
    this.socket.destroy();
  }
}
