import type { Authenticator, Credential } from '#wire/auth';
import { concat, type Bytes, type Struct } from '#wire/bytes';
import * as smb from '#wire/smb';
import { STATUS } from '#wire/status';

const { COMMAND, FLAG } = smb;
const SESSION_ID = 0x5e55_0001n;
const TREE_ID = 7;
const SESSION_KEY = Uint8Array.from({ length: 16 }, (_, i) => 0x50 + i);

/** fixedCredential logs on in one leg with a key that TinySmb knows; what logons prove is tested elsewhere. */
export function fixedCredential(key: Uint8Array = SESSION_KEY): Credential {
  const authenticator: Authenticator = {
    mechanism: 'ntlm',
    peer: { netbiosComputer: 'TINY' },
    start: async () => Uint8Array.of(1),
    next: async () => undefined,
    sessionKey: () => new Uint8Array(key),
  };
  return { label: 'TINY\\push', authenticator: () => authenticator };
}

/** Request is what TinySmb got, with its body decoded as far as TinySmb needs it. */
export interface Request {
  readonly message: smb.Message;
  readonly wasSealed: boolean;
}

export interface TinyOptions {
  dialect?: number;
  signing?: smb.SigningName;
  cipher?: smb.CipherName;
  capabilities?: number;
  sessionFlags?: number;
  shareFlags?: number;
  /** grants is how many credits an answer gives. */
  grants?: (request: smb.Header) => number;
  /** handle may answer a request itself, and returns true then. */
  handle?: (request: Request, server: TinySmb) => boolean;
}

/**
 * TinySmb is the smallest server that a client can log on to: it does as it is told, and misbehaves where a test says so. It speaks
 * to the client through its transport, without a network.
 */
export class TinySmb implements smb.Transport {
  readonly address = '127.0.0.1';
  readonly port = 445;
  limit = 0;
  isClosed = false;
  /** heard is every request in order, CANCEL included. */
  readonly heard: smb.Header[] = [];
  readonly files = new Map<string, Bytes>();
  readonly #o: Required<Pick<TinyOptions, 'dialect' | 'signing'>> & TinyOptions;
  readonly #preauth = new smb.PreauthHash();
  #keys: smb.SessionKeys | undefined;
  #events: smb.TransportEvents | undefined;
  #opened = '';

  constructor(options: TinyOptions = {}) {
    this.#o = { dialect: 0x311, signing: 'AES-GMAC', ...options };
  }

  open(events: smb.TransportEvents): void {
    this.#events = events;
  }

  close(): void {
    this.isClosed = true;
  }

  /** hangUp ends the connection from the server's side. */
  hangUp(): void {
    const events = this.#events;
    this.#events = undefined;
    events?.closed();
  }

  send(parts: readonly Bytes[]): void {
    const frame = concat(...parts).subarray(smb.PREFIX);
    setImmediate(() => this.#frame(frame));
  }

  /** deliver hands a frame to the client as it is. */
  deliver(frame: Bytes): void {
    this.#events?.frame(frame);
  }

  #frame(frame: Bytes): void {
    if (this.isClosed) return;
    const isSealed = frame[0] === 0xfd;
    const plain = isSealed ? new smb.Opener(this.#cipher(), this.#keys!.clientToServer!, SESSION_ID).open(frame) : frame;
    if (!plain) throw new Error('the client sealed wrongly');
    for (const message of smb.splitCompound(plain)) this.#message(message, isSealed);
  }

  #message(message: smb.Message, isSealed: boolean): void {
    this.heard.push(message.header);
    if (this.#keys && !isSealed && !smb.verifyMessage(this.#o.signing, this.#keys.signing, message.octets)) {
      throw new Error('the client signed wrongly');
    }
    const request = { message, wasSealed: isSealed };
    if (message.header.command === COMMAND.CANCEL || this.#o.handle?.(request, this)) return;
    this.answer(request);
  }

  #cipher(): smb.CipherName {
    if (!this.#o.cipher) throw new Error('no cipher was agreed');
    return this.#o.cipher;
  }

  /** answer does what a well-behaved server would. */
  answer(request: Request): void {
    const { header } = request.message;
    if (header.command === COMMAND.NEGOTIATE) return this.#negotiate(request);
    if (header.command === COMMAND.SESSION_SETUP) return this.#setUp(request);
    this.deliver(this.protect(this.respond(request)));
  }

  /** reply makes an unprotected response to a request. */
  reply<T>(request: Request, body: Struct<T>, value: T, more: Partial<smb.Header> = {}): Bytes {
    const { header } = request.message;
    const head = smb.header({
      command: header.command,
      messageId: header.messageId,
      treeId: header.treeId,
      sessionId: header.sessionId,
      credits: this.#o.grants?.(header) ?? header.credits,
      ...more,
      flags: FLAG.SERVER_TO_REDIR | (more.flags ?? 0),
    });
    return smb.encodeMessage(head, body, value);
  }

  /** error makes an unprotected error response. */
  error(request: Request, status: number, more: Partial<smb.Header> = {}): Bytes {
    return this.reply(request, smb.ErrorResponse, { contextCount: 0, data: new Uint8Array(0) }, { status, ...more });
  }

  /** protect seals or signs a response as the session asks for; `isSealed` tells otherwise. */
  protect(octets: Bytes, isSealed = this.#o.cipher !== undefined): Bytes {
    if (isSealed) return new smb.Sealer(this.#cipher(), this.#keys!.serverToClient!, SESSION_ID).seal(octets);
    smb.signMessage(this.#o.signing, this.#keys!.signing, octets);
    return octets;
  }

  #negotiate(request: Request): void {
    this.#preauth.add(request.message.octets);
    const { dialect, signing, cipher } = this.#o;
    const is311 = dialect === smb.DIALECT.SMB311;
    const octets = this.reply(request, smb.NegotiateResponse, {
      securityMode: 3,
      dialect,
      serverGuid: new Uint8Array(16).fill(9),
      capabilities: this.#o.capabilities ?? smb.CAPABILITY.LARGE_MTU,
      maxTransactSize: 1 << 20,
      maxReadSize: 1 << 20,
      maxWriteSize: 1 << 20,
      systemTime: 0n,
      serverStartTime: 0n,
      token: new Uint8Array(0),
      contexts: is311
        ? smb.packContexts({
            preauth: { hashes: [1], salt: new Uint8Array(32) },
            ciphers: [cipher ? smb.cipherId(cipher) : 0],
            signings: [smb.signingId(signing)],
          })
        : [],
    });
    this.#preauth.add(octets);
    this.deliver(octets);
  }

  #setUp(request: Request): void {
    this.#preauth.add(request.message.octets);
    const { dialect, signing, cipher } = this.#o;
    const value = { sessionFlags: this.#o.sessionFlags ?? 0, token: Uint8Array.of(2) };
    const octets = this.reply(request, smb.SessionSetupResponse, value, { sessionId: SESSION_ID });
    this.#keys = smb.deriveKeys({ dialect, sessionKey: SESSION_KEY, preauthHash: this.#preauth.value, cipher });
    smb.signMessage(signing, this.#keys.signing, octets);
    this.deliver(octets);
  }

  /** respond makes the ordinary response to a request behind the logon, unprotected. */
  respond(request: Request): Bytes {
    const { message } = request;
    switch (message.header.command) {
      case COMMAND.TREE_CONNECT: {
        const value = { shareType: 1, shareFlags: this.#o.shareFlags ?? 0, capabilities: 0, maximalAccess: 0x1f01ff };
        return this.reply(request, smb.TreeConnectResponse, value, { treeId: TREE_ID });
      }
      case COMMAND.CREATE:
        return this.#create(request);
      case COMMAND.WRITE: {
        const { data, offset } = smb.decodeBody(message, smb.WriteRequest);
        const old = this.files.get(this.#opened) ?? new Uint8Array(0);
        const now = new Uint8Array(Math.max(old.length, Number(offset) + data.length));
        now.set(old);
        now.set(data, Number(offset));
        this.files.set(this.#opened, now);
        return this.reply(request, smb.WriteResponse, { count: data.length, remaining: 0 });
      }
      case COMMAND.READ: {
        const { length, offset } = smb.decodeBody(message, smb.ReadRequest);
        const data = this.files.get(this.#opened)?.slice(Number(offset), Number(offset) + length) ?? new Uint8Array(0);
        if (data.length === 0) return this.error(request, STATUS.END_OF_FILE);
        return this.reply(request, smb.ReadResponse, { dataRemaining: 0, flags: 0, data });
      }
      case COMMAND.CLOSE:
        return this.reply(request, smb.CloseResponse, {
          flags: 0,
          ...NO_TIMES,
          allocationSize: 0n,
          endOfFile: 0n,
          fileAttributes: 0,
        });
      case COMMAND.ECHO:
      case COMMAND.LOGOFF:
        return this.reply(request, smb.Echo, {});
      default:
        return this.error(request, STATUS.NOT_SUPPORTED);
    }
  }

  #create(request: Request): Bytes {
    this.#opened = smb.decodeBody(request.message, smb.CreateRequest).name;
    return this.reply(request, smb.CreateResponse, {
      oplockLevel: 0,
      flags: 0,
      createAction: 1,
      ...NO_TIMES,
      allocationSize: 0n,
      endOfFile: BigInt(this.files.get(this.#opened)?.length ?? 0),
      fileAttributes: 0x80,
      fileId: { persistent: 1n, volatile: 2n },
      contexts: [],
    });
  }
}

const NO_TIMES = { creationTime: 0n, lastAccessTime: 0n, lastWriteTime: 0n, changeTime: 0n };
