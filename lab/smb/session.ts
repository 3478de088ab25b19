import type { OpenFile } from '#lab/disk';
import type { Bytes } from '#wire/bytes';
import {
  COMMAND,
  deriveKeys,
  Opener,
  PreauthHash,
  Sealer,
  signMessage,
  verifyMessage,
  cipherName,
  signingName,
  type FileId,
  type Message,
  type SigningName,
} from '#wire/smb';
import { STATUS } from '#wire/status';
import { Refusal } from './answer.ts';
import type { Identity, LogonAcceptor, Share, SmbBackend } from './backend.ts';
import type { Agreed } from './negotiation.ts';
import type { PipeChannel } from './pipe-channel.ts';
import type { Scan } from './query-directory.ts';

const MOST_OPENS = 2048;
const MOST_TREES = 64;
const WHOLE_CHAIN = 0xffff_ffff_ffff_ffffn;

/** Tree is one connected share. */
export interface Tree {
  readonly id: number;
  readonly name: string;
  readonly share: Share;
  readonly shareType: number;
}

export interface FileOpen {
  readonly kind: 'file';
  readonly file: OpenFile;
  readonly share: Extract<Share, { kind: 'disk' }>;
  scan?: Scan;
}

interface PipeOpen {
  readonly kind: 'pipe';
  readonly channel: PipeChannel;
}

export type Open = FileOpen | PipeOpen;

/** Hello is what both sides said in NEGOTIATE. */
export interface Hello {
  agreed: Agreed;
  client: { capabilities: number; securityMode: number; guid: Bytes; dialects: number[] };
  serverGuid: Bytes;
  securityMode: number;
}

/** Request is one message being worked, with where it belongs. */
export interface Request {
  readonly message: Message;
  readonly backend: SmbBackend;
  readonly hello: Hello;
  readonly agreed: Agreed;
  readonly session: Session;
  tree: Tree | undefined;
  /** chain carries the file id from one message of a related compound to the next. */
  readonly chain: { fileId?: FileId };
  /** signal aborts when the client cancels or is gone. */
  readonly signal: AbortSignal;
}

/** Session is one logon on one connection, with the shares and files it has open, [MS-SMB2] 3.3.1.8. */
export class Session {
  readonly id: bigint;
  /** acceptor is there while a logon is under way. */
  acceptor: LogonAcceptor | undefined;
  preauth: PreauthHash | undefined;
  identity: Identity | undefined;
  encryptData = false;
  closed = false;
  #signing: SigningName = 'HMAC-SHA256';
  #signingKey: Bytes | undefined;
  #sealer: Sealer | undefined;
  #opener: Opener | undefined;
  #nextTree = 1;
  #nextFile = 1n;
  readonly #trees = new Map<number, Tree>();
  readonly #opens = new Map<bigint, { tree: Tree; open: Open }>();

  constructor(id: bigint) {
    this.id = id;
  }

  /** valid: somebody has logged on, and has not logged off. */
  get valid(): boolean {
    return this.#signingKey !== undefined && !this.closed;
  }

  get canEncrypt(): boolean {
    return this.#sealer !== undefined;
  }

  /** begin takes in that the logon succeeded; from now on everything is protected. */
  begin(agreed: Agreed, identity: Identity, sessionKey: Uint8Array, encryptAll: boolean): void {
    this.identity = identity;
    this.acceptor = undefined;
    if (this.#signingKey) return; // a logon renewed keeps its keys, [MS-SMB2] 3.3.5.5.3
    const cipher = agreed.cipher === undefined ? undefined : cipherName(agreed.cipher);
    const keys = deriveKeys({ dialect: agreed.dialect, sessionKey, preauthHash: this.preauth?.value, cipher });
    this.#signing = signingName(agreed.signing) ?? 'HMAC-SHA256';
    this.#signingKey = keys.signing;
    if (cipher && keys.clientToServer && keys.serverToClient) {
      this.#sealer = new Sealer(cipher, keys.serverToClient, this.id);
      this.#opener = new Opener(cipher, keys.clientToServer, this.id);
    }
    this.encryptData = encryptAll && this.canEncrypt;
  }

  sign(message: Uint8Array): void {
    if (this.#signingKey) signMessage(this.#signing, this.#signingKey, message);
  }

  verify(message: Uint8Array): boolean {
    return this.#signingKey !== undefined && verifyMessage(this.#signing, this.#signingKey, message);
  }

  seal(plain: Uint8Array, reserve: number): Bytes {
    return this.#sealer!.seal(plain, reserve);
  }

  /** unseal gives undefined for what was not encrypted for this session. */
  unseal(frame: Bytes): Bytes | undefined {
    return this.valid ? this.#opener?.open(frame) : undefined;
  }

  addTree(made: Omit<Tree, 'id'>): Tree {
    if (this.#trees.size >= MOST_TREES) throw new Refusal(STATUS.INSUFFICIENT_RESOURCES);
    const tree = { id: this.#nextTree++, ...made };
    this.#trees.set(tree.id, tree);
    return tree;
  }

  tree(id: number): Tree | undefined {
    return this.#trees.get(id);
  }

  async dropTree(tree: Tree): Promise<void> {
    this.#trees.delete(tree.id);
    for (const [id, entry] of this.#opens) {
      if (entry.tree !== tree) continue;
      this.#opens.delete(id);
      await this.closeOpen(entry.open);
    }
  }

  roomForOpen(): void {
    if (this.#opens.size >= MOST_OPENS) throw new Refusal(STATUS.TOO_MANY_OPENED_FILES);
  }

  /** addOpen keeps an open under a new id, which the next message of a compound may mean. */
  addOpen(request: Request, open: Open): FileId {
    const id = this.#nextFile++;
    this.#opens.set(id, { tree: request.tree!, open });
    request.chain.fileId = { persistent: id, volatile: id };
    return request.chain.fileId;
  }

  #entry(request: Request, asked: FileId): { id: bigint; open: Open } {
    const related = asked.volatile === WHOLE_CHAIN && asked.persistent === WHOLE_CHAIN;
    const fileId = related ? request.chain.fileId : asked;
    const entry = fileId && this.#opens.get(fileId.volatile);
    if (!fileId || !entry || fileId.persistent !== fileId.volatile || entry.tree !== request.tree)
      throw new Refusal(STATUS.FILE_CLOSED);
    request.chain.fileId = fileId;
    return { id: fileId.volatile, open: entry.open };
  }

  /** open is the open that a file id names; all ones name that of the message before in a compound. */
  open(request: Request, asked: FileId): Open {
    return this.#entry(request, asked).open;
  }

  takeOpen(request: Request, asked: FileId): Open {
    const { id, open } = this.#entry(request, asked);
    this.#opens.delete(id);
    return open;
  }

  async closeOpen(open: Open): Promise<void> {
    if (open.kind === 'file') await open.file.close();
    else open.channel.close();
  }

  /** end closes everything the session has; for LOGOFF and when the connection goes. */
  async end(): Promise<void> {
    this.closed = true;
    this.acceptor = undefined;
    const opens = [...this.#opens.values()];
    this.#opens.clear();
    this.#trees.clear();
    for (const { open } of opens) await this.closeOpen(open).catch(() => {});
  }
}

/** needsTree tells the commands that act on a connected share. */
export function needsTree(command: number): boolean {
  return (
    command === COMMAND.TREE_DISCONNECT || (command >= COMMAND.CREATE && command !== COMMAND.ECHO && command !== COMMAND.CANCEL)
  );
}
