import type { Log } from '#base/log';
import { raise } from '#base/errors';
import type { PeerNames } from '#wire/auth';
import { bytesEqual, toHex } from '#wire/bytes';
import { STATUS, statusName } from '#wire/status';
import type { Connection, Stats } from './connection.ts';
import type { CipherName, SigningName } from './keys.ts';
import {
  COMMAND,
  dateOfFileTime,
  decodeBody,
  DIALECT,
  Echo,
  FLAG,
  FSCTL,
  IOCTL_IS_FSCTL,
  IoctlRequest,
  IoctlResponse,
  Logoff,
  NO_FILE,
  SHARE_FLAG,
  TreeConnectRequest,
  TreeConnectResponse,
  ValidateNegotiateRequest,
  ValidateNegotiateResponse,
} from './messages/index.ts';
import { checkedName } from './names.ts';
import type { Negotiated } from './negotiation.ts';
import { operationRefusal, shareRefusal } from './refusal.ts';
import { SmbTree } from './tree.ts';

const LOGOFF_MS = 3_000;
/** Servers of 2.x that do not know VALIDATE_NEGOTIATE_INFO say so with one of these, signed, [MS-SMB2] 3.2.5.14.12. */
const NOT_KNOWN: readonly number[] = [STATUS.FILE_CLOSED, STATUS.INVALID_DEVICE_REQUEST, STATUS.NOT_SUPPORTED];

/** SmbSession is one logon on one connection. */
export class SmbSession {
  readonly dialect: number;
  readonly signing: SigningName;
  readonly cipher: CipherName | undefined;
  readonly encrypted: boolean;
  /** peer is what the machine says of itself. */
  readonly peer: PeerNames;
  readonly serverTime: Date | undefined;
  readonly serverGuid: string;
  readonly #connection: Connection;
  readonly #negotiated: Negotiated;
  readonly #account: string;
  readonly #log: Log;
  readonly #trees = new Map<string, Promise<SmbTree>>();
  #validated: Promise<void> | undefined;

  constructor(o: { connection: Connection; negotiated: Negotiated; peer: PeerNames; account: string; log: Log }) {
    const { negotiated } = o;
    this.#connection = o.connection;
    this.#negotiated = negotiated;
    this.#account = o.account;
    this.#log = o.log;
    this.peer = o.peer;
    this.dialect = negotiated.dialect;
    this.signing = negotiated.signing;
    this.cipher = negotiated.cipher;
    this.encrypted = o.connection.guard?.encrypts ?? false;
    this.serverTime = negotiated.serverTime === 0n ? undefined : dateOfFileTime(negotiated.serverTime);
    this.serverGuid = toHex(negotiated.heard.guid);
  }

  get stats(): Readonly<Stats> {
    return this.#connection.stats;
  }

  /** tree connects a share, or gives the one that is connected already. */
  tree(share: string): Promise<SmbTree> {
    const key = share.toUpperCase();
    const known = this.#trees.get(key);
    if (known) return known;
    const fresh = this.#connectTree(checkedName(share), key);
    this.#trees.set(key, fresh);
    fresh.catch(() => this.#trees.delete(key));
    return fresh;
  }

  async #connectTree(share: string, key: string): Promise<SmbTree> {
    const connection = this.#connection;
    const { host } = connection;
    const value = { flags: 0, path: `\\\\${host}\\${share}` };
    const call = { command: COMMAND.TREE_CONNECT, body: TreeConnectRequest, value, doing: `opening ${share}` };
    const answer = await connection.request(call);
    const { status, treeId, flags } = answer.header;
    if (status !== STATUS.SUCCESS) throw shareRefusal(status, { host, account: this.#account, share });
    // The asynchronous form of the header has no tree id ([MS-SMB2] 2.2.1.1): all that follows would go to a share that is not there.
    if (flags & FLAG.ASYNC_COMMAND) {
      connection.close();
      throw raise('PP_WIRE_MALFORMED', { message: 'TREE_CONNECT response', field: 'treeId', offset: 36, why: 'missing' });
    }
    const { shareFlags } = decodeBody(answer, TreeConnectResponse);
    if (shareFlags & SHARE_FLAG.ENCRYPT_DATA && !this.encrypted) throw raise('PP_SMB_NO_ENCRYPTION', { host });
    await (this.#validated ??= this.#validate(treeId).catch((error: unknown) => {
      connection.close(); // whatever kept the answer away, nothing more is said on this line
      throw error;
    }));
    const { maxTransact, maxRead, maxWrite } = this.#negotiated;
    const place = { connection, treeId, sizes: { maxTransact, maxRead, maxWrite }, shareName: share };
    return new SmbTree(place, connection.clock, () => this.#trees.delete(key));
  }

  /**
   * Below 3.1.1 nothing in NEGOTIATE is protected: ask again what was agreed, under the session's protection, if we had offered a
   * dialect that would have allowed more; [MS-SMB2] 3.2.5.5.
   */
  async #validate(treeId: number): Promise<void> {
    const { said, heard, dialect } = this.#negotiated;
    if (dialect >= DIALECT.SMB311 || said.dialects.every((one) => one < DIALECT.SMB300)) return;
    const { host } = this.#connection;
    const value = {
      ctlCode: FSCTL.VALIDATE_NEGOTIATE_INFO,
      fileId: NO_FILE,
      maxInputResponse: 0,
      maxOutputResponse: 24,
      flags: IOCTL_IS_FSCTL,
      input: ValidateNegotiateRequest.encode(said),
    };
    const doing = 'checking the negotiation';
    const answer = await this.#connection.request({ command: COMMAND.IOCTL, body: IoctlRequest, value, treeId, doing });
    const { status } = answer.header;
    if (dialect < DIALECT.SMB300 && NOT_KNOWN.includes(status)) return;
    if (status !== STATUS.SUCCESS)
      throw raise('PP_SMB_DOWNGRADED', { host, what: 'everything' }, { ntstatus: status, detail: statusName(status) });
    const again = ValidateNegotiateResponse.decode(decodeBody(answer, IoctlResponse).output);
    const differing = (['capabilities', 'securityMode', 'dialect'] as const).filter((field) => again[field] !== heard[field]);
    const what = bytesEqual(again.guid, heard.guid) ? differing.join(' and ') : 'the machine';
    if (what === '') return;
    throw raise('PP_SMB_DOWNGRADED', { host, what });
  }

  /** echo tells whether the machine still answers. */
  async echo(): Promise<void> {
    const doing = 'asking for a sign of life';
    const { header } = await this.#connection.request({ command: COMMAND.ECHO, body: Echo, value: {}, doing });
    if (header.status !== STATUS.SUCCESS) throw operationRefusal(header.status, { host: this.#connection.host, doing });
  }

  /** logoff ends the session, with which the machine closes its files, pipes and trees, and hangs up; it never throws. */
  async logoff(): Promise<void> {
    try {
      const call = { command: COMMAND.LOGOFF, body: Logoff, value: {}, doing: 'logging off', timeoutMs: LOGOFF_MS };
      await this.#connection.request(call);
    } catch (error) {
      this.#log.debug('smb logoff failed', { error });
    }
    this.#connection.close(true);
  }

  /** close hangs up at once. */
  close(): void {
    this.#connection.close();
  }
}
