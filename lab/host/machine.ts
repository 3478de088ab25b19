import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { Random } from '#base/random';
import type { ServiceState, ServiceWish, TargetHost } from '#client/host';
import type { Disk } from '#lab/disk';
import type { Identity, PipeEnd } from '#lab/smb';
import { STATUS } from '#wire/status';
import type { LabHost } from './host.ts';
import { Runner } from './runner.ts';
import { targetHost } from './target.ts';

export interface BuiltinService {
  name: string;
  displayName: string;
  binaryPath: string;
  stoppable: boolean;
  stopped: () => void;
}

export class Machine {
  readonly #host: LabHost;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly mutexes = new Map<string, AbortSignal>();
  readonly #runner: Runner;
  constructor(o: { host: LabHost; disk: Disk; clock: Clock; random: Random; log: Log }) {
    this.#host = o.host;
    this.disk = o.disk;
    this.clock = o.clock;
    this.random = o.random;
    this.log = o.log;
    this.#runner = new Runner({ disk: o.disk, log: o.log, target: (run) => targetHost(this, run) });
  }
  get name(): string {
    return this.#host.name;
  }
  get domain(): string {
    return this.#host.memberOf;
  }
  get fqdn(): string {
    return this.#host.fqdn;
  }
  get address(): string {
    return this.#host.address;
  }
  get os(): TargetHost['os'] {
    return { name: this.#host.profile.productName, version: '', type: this.#host.type };
  }
  get architecture(): string {
    return 'x64';
  }
  get hardwareId(): string {
    return `LAB-${this.name}`;
  }
  readonly pipes = {
    exists: (_name: string) => false,
    open: async (_name: string, _identity: Identity): Promise<PipeEnd | number> => STATUS.OBJECT_NAME_NOT_FOUND,
  };
  runBuiltin(_service: BuiltinService): void {}
  endBuiltin(_name: string): void {}
  async createService(_wish: ServiceWish): Promise<void> {}
  async startService(_name: string): Promise<void> {}
  async stopService(_name: string): Promise<void> {}
  async removeService(_name: string): Promise<void> {}
  serviceState(_name: string): ServiceState | undefined {
    return undefined;
  }
  setRegistry(_key: string, _values: Record<string, string>): void {}
  removeRegistry(_key: string): void {}
  printed(_line: string): void {}
  async stop(): Promise<void> {
    await this.#runner.stop(this.clock.sleep(2000));
  }
}
