import { createHash } from 'node:crypto';
import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { Random } from '#base/random';
import type { ServiceState, ServiceWish, TargetHost } from '#client/host';
import type { Disk } from '#lab/disk';
import { Registry, RpcServer, Services, type ExitCodes, type LabRpcHost, type LabService, type RunningProgram } from '#lab/rpc';
import { WIN32 } from '#wire/status';
import type { LabHost } from './host.ts';
import { Pipes } from './pipes.ts';
import { registryValues } from './registry-values.ts';
import { Runner } from './runner.ts';
import { REMOTE_REGISTRY, systemServices } from './system-services.ts';
import { targetHost } from './target.ts';

/** StandIn is a service that runs without a program: one of the system, or what an earlier installation left. */
export interface StandIn {
  name: string;
  displayName: string;
  binaryPath: string;
  stoppable: boolean;
  /** stopped is called when somebody stops it. */
  stopped?: () => void;
}

/** reported is how a program of the client tells the service manager its return code: as the one in C does (native/ccmsetup/main.c). */
function reported(code: number): number | ExitCodes {
  if (code === 0 || code > 255) return code;
  return code === SETUP_RESTART ? WIN32.SUCCESS_REBOOT_REQUIRED : { win32: WIN32.SERVICE_SPECIFIC_ERROR, specific: code };
}

/** Return code 7 of ccmsetup: a restart is needed. */
const SETUP_RESTART = 7;
const SHUTDOWN_MS = 2000;
const PENDING = new Set<string>(['start-pending', 'stop-pending', 'running', 'stopped']);

/**
 * Machine is what runs on a lab host behind its network: services, programs, registry, pipes. All of it is made when somebody first
 * comes near it, so that a thousand hosts that nobody asks cost little.
 */
export class Machine {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly mutexes = new Map<string, AbortSignal>();
  readonly pipes: Pipes;
  readonly #host: LabHost;
  readonly #log: Log;
  readonly #runner: Runner;
  /** standIns are the services whose program is played, by name in lower case. */
  readonly #standIns = new Map<string, StandIn>();
  #services: Services | undefined;
  #registry: Registry | undefined;
  #rpc: RpcServer | undefined;

  constructor(options: { host: LabHost; disk: Disk; clock: Clock; random: Random; log: Log }) {
    this.#host = options.host;
    this.disk = options.disk;
    this.clock = options.clock;
    this.random = options.random;
    this.#log = options.log;
    this.#runner = new Runner({ disk: options.disk, log: options.log, target: (run) => targetHost(this, run) });
    this.pipes = new Pipes({
      clock: options.clock,
      rpc: () => this.rpc,
      isTriggered: (pipe) => pipe === 'winreg' && this.#host.remoteRegistry === 'trigger',
      trigger: () => this.#startRemoteRegistry(),
    });
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
    const { title, version } = this.#host.profile;
    return { name: title, version: `${version.major}.${version.minor}.${version.build}`, type: this.#host.type };
  }

  get architecture(): string {
    return this.#host.profile.architecture === 'AMD64' ? 'x64' : 'x86';
  }

  /** hardwareId is of the machine and not of its disk: the same after a reinstallation. */
  get hardwareId(): string {
    const digest = createHash('sha256').update(`lab hardware of ${this.fqdn}`).digest('hex');
    return `LAB-${digest.slice(0, 32).toUpperCase()}`;
  }

  get services(): Services {
    this.#services ??= this.#newServices();
    return this.#services;
  }

  get registry(): Registry {
    this.#registry ??= this.#newRegistry();
    return this.#registry;
  }

  get rpc(): RpcServer {
    this.#rpc ??= new RpcServer({ host: this.#rpcHost() });
    return this.#rpc;
  }

  #newServices(): Services {
    const services = new Services({
      clock: this.clock,
      run: (service, args) => this.#run(service, args),
      refuseStart: () => (this.#host.switches.startTimesOut ? WIN32.SERVICE_REQUEST_TIMEOUT : undefined),
    });
    for (const { isRunning, startType, ...wish } of systemServices(this.#host.profile, this.#host.remoteRegistry)) {
      this.#standIns.set(wish.name.toLowerCase(), { ...wish, stoppable: true });
      if (isRunning) services.adopt({ ...wish, startType });
      else services.create({ ...wish, startType });
    }
    return services;
  }

  #newRegistry(): Registry {
    const registry = new Registry();
    const names = { name: this.name, dnsDomain: this.#host.domain?.dns ?? '' };
    for (const { key, name, value } of registryValues(this.#host.profile, names)) registry.seed(key, name, value);
    return registry;
  }

  #rpcHost(): LabRpcHost {
    const { profile } = this.#host;
    return {
      clock: this.clock,
      random: this.random,
      services: this.services,
      registry: this.registry,
      server: () => ({
        name: this.name,
        comment: profile.isWindows ? '' : profile.title,
        major: profile.version.major,
        minor: profile.version.minor,
        type: profile.serverType,
        platformId: 500,
        shares: this.#host.shares(),
      }),
      domain: () => ({ name: this.name, domain: this.#host.memberOf, dnsDomain: this.#host.domain?.dns ?? '' }),
      missing: () => this.#missing(),
    };
  }

  /** The pipe of a service that does not run is not there. */
  #missing(): ReadonlySet<string> {
    if (!this.#host.profile.isWindows) return new Set(['svcctl', 'winreg']);
    const running = this.services.get(REMOTE_REGISTRY)?.state === 'running';
    return new Set(running ? [] : ['winreg']);
  }

  #startRemoteRegistry(): void {
    const service = this.services.get(REMOTE_REGISTRY);
    if (service?.state === 'stopped')
      this.services.start(service, []).catch((error: unknown) => this.#log.debug('lab trigger', { error }));
  }

  async #run(service: LabService, args: string[]): Promise<RunningProgram> {
    const standIn = await this.#standInFor(service);
    const program = standIn ? played(standIn) : await this.#program(service, args);
    this.#host.reached('start');
    return program;
  }

  /** A service is played only as long as nobody has put a program that runs into the place of its file. */
  async #standInFor({ name, binaryPath }: LabService): Promise<StandIn | undefined> {
    const standIn = this.#standIns.get(name.toLowerCase());
    if (standIn?.binaryPath !== binaryPath) return undefined;
    return this.#runner.look(binaryPath).then(
      () => undefined,
      () => standIn,
    );
  }

  async #program(service: LabService, args: string[]): Promise<RunningProgram> {
    const code = this.#host.switches.bootstrapFails;
    if (code === undefined) {
      const program = await this.#runner.run(service.binaryPath, args);
      return { stop: () => program.stop(), exited: program.exited.then(reported) };
    }
    await this.#runner.look(service.binaryPath);
    return { stop() {}, exited: this.clock.sleep(50).then(() => code) };
  }

  /** setRemoteRegistry follows the switch: what was started or stopped by hand meanwhile is overruled. */
  setRemoteRegistry(): void {
    if (!this.#services) return;
    const wanted = systemServices(this.#host.profile, this.#host.remoteRegistry).find(({ name }) => name === REMOTE_REGISTRY)!;
    const { isRunning, startType, ...wish } = wanted;
    this.#services.forget(REMOTE_REGISTRY);
    if (isRunning) this.#services.adopt({ ...wish, startType });
    else this.#services.create({ ...wish, startType });
  }

  /** standIn lets a service run that has no program. */
  standIn(one: StandIn): void {
    const { name, displayName, binaryPath, stoppable } = one;
    this.#standIns.set(name.toLowerCase(), one);
    const program = played(one);
    const service = this.services.adopt({ name, displayName, binaryPath, startType: 'auto' }, { stoppable, program });
    void program.exited.then(() => {
      if (service.program !== program) return;
      service.program = undefined;
      service.state = 'stopped';
      service.pid = 0;
    });
  }

  /** dropStandIn takes one away, unless the lab's client has replaced it by a program. */
  dropStandIn(name: string): void {
    const one = this.#standIns.get(name.toLowerCase());
    if (!one) return;
    this.#standIns.delete(name.toLowerCase());
    if (this.services.get(name)?.binaryPath === one.binaryPath) this.services.forget(name);
  }

  async createService(wish: ServiceWish): Promise<void> {
    this.services.create(wish);
  }

  startService(name: string): Promise<void> {
    return this.services.start(this.services.need(name), []);
  }

  async stopService(name: string): Promise<void> {
    this.services.control(this.services.need(name), STOP);
  }

  async removeService(name: string): Promise<void> {
    this.services.remove(this.services.need(name));
  }

  serviceState(name: string): ServiceState | undefined {
    const state = this.services.get(name)?.state;
    return state !== undefined && PENDING.has(state) ? (state as ServiceState) : undefined;
  }

  setRegistry(key: string, values: Record<string, string>): void {
    for (const [name, value] of Object.entries(values)) this.registry.seed(key, name, value);
  }

  removeRegistry(key: string): void {
    this.registry.removeTree('HKLM', key);
  }

  async runProgram(commandLine: string, signal: AbortSignal): Promise<number> {
    const running = await this.#runner.run(commandLine, []);
    signal.addEventListener('abort', () => running.stop(), { once: true });
    return running.exited;
  }

  printed(line: string): void {
    this.#log.debug('lab program says', { line });
  }

  /** stop ends all programs, as a machine that is switched off. */
  async stop(): Promise<void> {
    const waiting = new AbortController();
    const patience = this.clock.sleep(SHUTDOWN_MS, waiting.signal).catch(() => {});
    await this.#runner.stop(patience);
    waiting.abort(new Error('the machine is off'));
  }
}

/** SERVICE_CONTROL_STOP, [MS-SCMR] 3.1.4.2. */
const STOP = 1;

function played(one: StandIn): RunningProgram {
  let end: (code: number) => void = () => {};
  const exited = new Promise<number>((resolve) => (end = resolve));
  return {
    stop() {
      one.stopped?.();
      end(0);
    },
    exited,
  };
}
