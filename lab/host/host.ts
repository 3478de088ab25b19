import type { Clock } from '#base/clock';
import { silentLog, type Log } from '#base/log';
import type { Random } from '#base/random';
import { Disk } from '#lab/disk';
import type { LabShare } from '#lab/rpc';
import { modernSpeech, SmbServer, type Identity, type LogonAcceptor, type PipeEnd, type Point, type Share } from '#lab/smb';
import type { PeerNames } from '#wire/auth';
import { STATUS } from '#wire/status';
import { AccountBook, type AccountSpec, type LabDomain } from './accounts.ts';
import { Faults } from './faults.ts';
import { furnish } from './furnish.ts';
import { Listener } from './listener.ts';
import { LogonDesk } from './logons.ts';
import { Machine } from './machine.ts';
import { profiles, typeOf, type Profile, type ProfileName, type RemoteRegistryState } from './profiles.ts';
import { healthy, type Switches } from './switches.ts';

/** LabHostOptions say what a machine is, and what is wrong with it from the start. */
export interface LabHostOptions {
  /** name is the NetBIOS name: 15 characters at most. */
  name: string;
  profile: ProfileName;
  /** folder becomes drive C:; it is made when something first looks at it. */
  folder: string;
  clock: Clock;
  random: Random;
  log?: Log;
  domain?: LabDomain;
  /** accounts are the local ones. */
  accounts?: AccountSpec[];
  /** lockAfter wrong passwords in a row lock a local account. */
  lockAfter?: number;
  /** address is one of 127.0.0.0/8; port 0 takes any. */
  address?: string;
  port?: number;
  switches?: Partial<Switches>;
}

const NETBIOS_NAME = /^[A-Za-z0-9-]{1,15}$/;
/** STYPE_SPECIAL with a disk and with IPC, [MS-SRVS] 2.2.2.4. */
const HIDDEN_DISK = 0x8000_0000;
const IPC_SHARE = 0x8000_0003;
const WORKGROUP = 'WORKGROUP';

/** LabHost is one machine to push to: what a Windows shows of itself over the network, with the things that go wrong in the field. */
export class LabHost {
  readonly name: string;
  readonly domain: LabDomain | undefined;
  readonly profileName: ProfileName;
  readonly profile: Profile;
  readonly accounts: AccountBook;
  readonly desk: LogonDesk;
  readonly machine: Machine;
  readonly #options: LabHostOptions;
  readonly #log: Log;
  readonly #listener: Listener;
  readonly #faults: Faults;
  #switches: Switches;
  #smb: SmbServer | undefined;

  constructor(options: LabHostOptions) {
    if (!NETBIOS_NAME.test(options.name)) throw new RangeError(`${options.name} is no NetBIOS name`);
    this.#options = options;
    this.name = options.name.toUpperCase();
    this.domain = options.domain;
    this.profileName = options.profile;
    this.profile = profiles[options.profile];
    this.#log = (options.log ?? silentLog).with({ labHost: this.name });
    this.#switches = { ...healthy, ...options.switches };
    this.accounts = new AccountBook({ accounts: options.accounts ?? [], lockAfter: options.lockAfter ?? 0 });
    this.#listener = new Listener(options.address ?? '127.0.0.1', options.port ?? 0, (socket) => this.#server().serve(socket));
    const { clock, random, folder } = options;
    this.machine = new Machine({
      host: this,
      disk: new Disk({
        folder,
        clock,
        furnish: (at) => this.#furnish(at),
        refuse: (name) => this.#refuses('file', name),
      }),
      clock,
      random,
      log: this.#log,
    });
    this.desk = new LogonDesk({
      hostName: this.name,
      local: this.accounts,
      domain: this.domain,
      names: () => this.names(),
      ordinaryRights: () => this.#switches.ordinaryRights,
      clock,
      random,
    });
    this.#faults = new Faults(this);
  }

  get address(): string {
    return this.#listener.address;
  }

  get port(): number {
    return this.#listener.port;
  }

  get switches(): Readonly<Switches> {
    return this.#switches;
  }

  get fqdn(): string {
    return this.domain ? `${this.name.toLowerCase()}.${this.domain.dns}` : this.name.toLowerCase();
  }

  get type(): 'workstation' | 'server' | 'dc' | 'unknown' {
    return typeOf(this.profile);
  }

  /** remoteRegistry is how that service stands, or stood before somebody changed it. */
  get remoteRegistry(): RemoteRegistryState {
    return this.#switches.remoteRegistry ?? this.profile.remoteRegistry;
  }

  /** shares are what the Server service lists. */
  shares(): LabShare[] {
    const share = (name: string, type: number, remark: string, path: string): LabShare => ({ name, type, remark, path });
    const ipc = share('IPC$', IPC_SHARE, 'Remote IPC', '');
    if (!this.profile.isWindows) return [share('public', 0, '', 'C:\\srv\\public'), ipc];
    if (!this.#switches.adminShare) return [ipc];
    const admin = share('ADMIN$', HIDDEN_DISK, 'Remote Admin', 'C:\\Windows');
    return [admin, share('C$', HIDDEN_DISK, 'Default share', 'C:\\'), ipc];
  }

  /** logons counts who tried to log on here. */
  get logons(): LogonDesk['log'] {
    return this.desk.log;
  }

  /** names are what NTLM tells of this machine before anybody has logged on. */
  names(): PeerNames {
    const { answersAs } = this.#switches;
    const name = answersAs ?? this.name;
    const { major, minor, build } = this.profile.version;
    const dns = this.domain ? `${name.toLowerCase()}.${this.domain.dns}` : name.toLowerCase();
    return {
      netbiosComputer: name,
      netbiosDomain: this.domain?.netbios ?? name,
      dnsComputer: dns,
      ...(this.domain && { dnsDomain: this.domain.dns, dnsForest: this.domain.dns }),
      timestamp: this.#ownClock.now(),
      osVersion: { major, minor, build },
    };
  }

  /** start begins to listen; from then on the machine can be pushed to. */
  async start(): Promise<void> {
    await this.#listener.to(this.#switches.offline === false ? 'online' : this.#switches.offline);
  }

  /** set throws switches while the machine runs. */
  async set(patch: Partial<Switches>): Promise<void> {
    const before = this.#switches;
    this.#switches = { ...before, ...patch };
    if (this.#speechChanged(before)) this.#dropServer();
    await this.#faults.follow();
    if (before.offline !== this.#switches.offline) await this.start();
  }

  /** repair takes back everything that is wrong with the machine, as an administrator who has found it would. */
  async repair(): Promise<void> {
    await this.set(healthy);
  }

  /** stop ends services and connections; the folder stays. */
  async stop(): Promise<void> {
    await this.machine.stop();
    this.#dropServer();
    await this.#listener.to('closed');
  }

  #furnish(folder: string): Promise<void> {
    return furnish(folder, this.profile);
  }

  #speechChanged(before: Switches): boolean {
    const now = this.#switches;
    return before.encryptAll !== now.encryptAll || before.smb1Only !== now.smb1Only;
  }

  #dropServer(): void {
    this.#smb?.close();
    this.#smb = undefined;
  }

  /** The clock as this machine has it, which may be wrong; what passes between two moments is right all the same. */
  get #ownClock(): Clock {
    const { clock } = this.#options;
    return {
      now: () => new Date(clock.now().getTime() + this.#switches.clockOffMinutes * 60_000),
      monotonic: () => clock.monotonic(),
      after: (ms, fn) => clock.after(ms, fn),
      sleep: (ms, signal) => clock.sleep(ms, signal),
    };
  }

  /** Most hosts of a large lab are never connected to, so the server is made with the first connection. */
  #server(): SmbServer {
    const { random } = this.#options;
    const { encryptAll, smb1Only } = this.#switches;
    this.#smb ??= new SmbServer({
      clock: this.#ownClock,
      random,
      log: this.#log,
      speech: { ...modernSpeech, ...this.profile.speech, encryptAll, ...(smb1Only && { dialects: [] }) },
      backend: {
        hint: () => this.desk.hint(),
        logon: () => this.#logon(),
        share: (name, identity) => this.#share(name, identity),
        pipe: (name, identity) => this.#pipe(name, identity),
        pipeExists: (name) => this.machine.pipes.exists(name),
        delay: (signal) => this.#delay(signal),
        reached: (point) => this.reached(point),
      },
    });
    return this.#smb;
  }

  async #delay(signal: AbortSignal): Promise<void> {
    if (this.#switches.slowMs > 0) await this.#options.clock.sleep(this.#switches.slowMs, signal);
  }

  /** refuses is the status that the switches answer with at a place, if they do. */
  #refuses(kind: string, name: string): number | undefined {
    return this.#switches.refuses[`${kind}:${name}`];
  }

  /** A logon that is refused on order is refused when the proof has come, and counts as one that failed. */
  #logon(): LogonAcceptor {
    // As a domain does that denies all NTLM: told at once, before any name is given.
    if (this.#switches.refusesNtlm) return { accept: async () => ({ status: STATUS.NTLM_BLOCKED }) };
    const acceptor = this.desk.begin();
    const status = this.#switches.refuses['logon'];
    if (status === undefined) return acceptor;
    return {
      accept: async (token) => {
        const step = await acceptor.accept(token);
        return step.status === STATUS.MORE_PROCESSING_REQUIRED ? step : { status };
      },
    };
  }

  async #share(name: string, identity: Identity): Promise<Share | number> {
    await this.#faults.follow();
    const wanted = name.toUpperCase();
    const refused = this.#refuses('share', wanted);
    if (refused !== undefined) return refused;
    const encrypt = this.#switches.encryptShares;
    if (wanted === 'IPC$') return { kind: 'pipe' };
    const { disk } = this.machine;
    if (!this.profile.isWindows) return wanted === 'PUBLIC' ? { kind: 'disk', disk, root: [] } : STATUS.BAD_NETWORK_NAME;
    if (!this.#switches.adminShare || (wanted !== 'ADMIN$' && wanted !== 'C$')) return STATUS.BAD_NETWORK_NAME;
    if (!identity.administrator) return STATUS.ACCESS_DENIED;
    return { kind: 'disk', disk, root: wanted === 'ADMIN$' ? ['Windows'] : [], encrypt };
  }

  async #pipe(name: string, identity: Identity): Promise<PipeEnd | number> {
    await this.#faults.follow();
    return this.#refuses('pipe', name.toLowerCase()) ?? this.machine.pipes.open(name, identity);
  }

  /** reached is told how far somebody has come; a machine that is to vanish there does. */
  reached(point: Point): void {
    if (this.#switches.vanishAt !== point) return;
    this.#log.info('lab host vanishes', { point });
    this.set({ offline: 'closed' }).catch((error: unknown) => this.#log.error('lab host cannot vanish', { error }));
  }

  /** workgroup or domain, as the machine itself says it. */
  get memberOf(): string {
    return this.domain?.netbios ?? WORKGROUP;
  }
}
