import type { Clock } from '#base/clock';
import { isCode } from '#base/errors';
import type { SmbPipe, SmbSession, SmbTree } from '#wire/smb';
import {
  lsarpc,
  openRegistry,
  openRpc,
  openServiceManager,
  serverInfo,
  shareInfo,
  srvsvc,
  svcctl,
  winreg,
  type RemoteRegistry,
  type RpcInterface,
  type ServerInfo,
  type ServiceManager,
} from '#wire/rpc';

/** Listed is one entry of a folder. */
export type Listed = Awaited<ReturnType<SmbTree['list']>>[number];

/** ServerFacts is what the Server service tells. */
export interface ServerFacts extends ServerInfo {
  /** Where ADMIN$ is on the machine's own disk, if it told. */
  windowsPath: string | undefined;
}

/** Target is one reached machine: its session, its two administrative shares, and the pipes opened when first needed. */
export class Target {
  readonly session: SmbSession;
  readonly host: string;
  #admin: SmbTree | undefined;
  #ipc: SmbTree | undefined;
  #manager: Promise<ServiceManager> | undefined;
  #top: Promise<Listed[]> | undefined;
  readonly #clock: Clock;
  readonly #from: number;

  constructor(session: SmbSession, host: string, clock: Clock) {
    this.session = session;
    this.host = host;
    this.#clock = clock;
    this.#from = clock.monotonic();
  }

  /** now is the time on the machine's own clock, as far as it told. */
  get now(): Date {
    const { serverTime } = this.session;
    return serverTime ? new Date(serverTime.getTime() + this.#clock.monotonic() - this.#from) : this.#clock.now();
  }

  /** top is what stands in the machine's system folder; listed once. */
  top(): Promise<Listed[]> {
    this.#top ??= this.admin.list('');
    return this.#top;
  }

  get admin(): SmbTree {
    if (!this.#admin) throw new Error('ADMIN$ is not open');
    return this.#admin;
  }

  /** openShares connects ADMIN$ and IPC$ in one turn-around; only an administrator gets the first. */
  async openShares(): Promise<void> {
    [this.#admin, this.#ipc] = await Promise.all([this.session.tree('ADMIN$'), this.session.tree('IPC$')]);
  }

  /** openPipes connects IPC$ alone, for looks that need no file. */
  async openPipes(): Promise<void> {
    this.#ipc = await this.session.tree('IPC$');
  }

  /** services is the machine's service control manager; opened once. */
  services(): Promise<ServiceManager> {
    this.#manager ??= this.#rpc('svcctl', svcctl.SVCCTL).then((rpc) => openServiceManager(rpc));
    return this.#manager;
  }

  /** server asks the Server service for name, version and kind, and for the folder behind ADMIN$. */
  async server(): Promise<ServerFacts> {
    const rpc = await this.#rpc('srvsvc', srvsvc.SRVSVC);
    const info = await serverInfo(rpc, this.host);
    const share = await shareInfo(rpc, this.host, 'ADMIN$').catch(() => undefined);
    return { ...info, windowsPath: share?.path };
  }

  /** rid is the last part of the SID that the machine has for one of its own accounts: 500 is the built-in Administrator. It needs IPC$ alone. */
  async rid(username: string): Promise<number | undefined> {
    const machine = this.session.peer.netbiosComputer ?? this.host.split('.', 1)[0]!;
    const sid = await lsarpc.accountSid(await this.#rpc('lsarpc', lsarpc.LSARPC), this.host, `${machine}\\${username}`);
    return sid === undefined ? undefined : Number(sid.slice(sid.lastIndexOf('-') + 1));
  }

  /** registry opens the remote registry if its service runs or can be woken; undefined when it is stopped, as it is on workstations. */
  async registry(): Promise<RemoteRegistry | undefined> {
    try {
      return openRegistry(await this.#rpc('winreg', winreg.WINREG));
    } catch (error) {
      if (isCode(error, 'PP_SMB_NO_PIPE', 'PP_SMB_PIPE_BUSY')) return undefined;
      throw error;
    }
  }

  async #rpc(name: string, wanted: RpcInterface) {
    return openRpc(await this.#pipe(name), wanted);
  }

  #pipe(name: string): Promise<SmbPipe> {
    if (!this.#ipc) throw new Error('IPC$ is not open');
    return this.#ipc.openPipe(name);
  }

  /** leave ends the session in good order; it never throws. */
  async leave(): Promise<void> {
    await this.session.logoff();
  }
}
