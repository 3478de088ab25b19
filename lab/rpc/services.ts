import type { Clock } from '#base/clock';
import { svcctl } from '#wire/rpc';
import { WIN32 } from '#wire/status';
import { win32Of, Win32Refusal } from './refusal.ts';

/** ExitCodes are both codes as a program reports them; 1066 in the first says that the second counts. */
export interface ExitCodes {
  win32: number;
  specific: number;
}

/** RunningProgram is a program that runs: `stop` asks it to end, `exited` gives its exit code. */
export interface RunningProgram {
  stop(): void;
  readonly exited: Promise<number | ExitCodes>;
  /** connected is when it has called in at the service manager; at once where it is left out, 1053 where that takes too long. */
  readonly connected?: Promise<void>;
}

/** ServicesOptions say how programs are run. */
export interface ServicesOptions {
  clock: Clock;
  /** run starts the program of a service; it throws an error with `win32` when there is none or none that can run. */
  run: (service: LabService, args: string[]) => Promise<RunningProgram>;
  /** refuseStart gives a Win32 code with which every start fails now, as 1053; undefined lets it happen. */
  refuseStart?: () => number | undefined;
  /** timeoutMs is how long a program may take to call in; 30 s on a real machine. */
  timeoutMs?: number;
}

/** NewLabService is what a service is made with. */
export interface NewLabService {
  name: string;
  displayName: string;
  binaryPath: string;
  serviceType?: number;
  startType?: svcctl.StartType;
  errorControl?: number;
  account?: string;
  dependencies?: string[];
}

/** ServiceChange are the settings that can be changed later. */
export type ServiceChange = Partial<
  Pick<
    LabService,
    'displayName' | 'description' | 'binaryPath' | 'serviceType' | 'startType' | 'errorControl' | 'account' | 'dependencies'
  >
>;

/** How long a service stays START_PENDING, so that clients see that state as on a real machine. */
const PENDING_MS = 15;
/** How long the service manager waits for a program that does not answer, where nothing else is said. */
const TIMEOUT_MS = 200;
/** ERROR_SERVICE_NEVER_STARTED */
const NEVER_STARTED = 1077;

/** LabService is one entry of the service database. */
export class LabService {
  readonly name: string;
  displayName: string;
  description: string | undefined;
  binaryPath: string;
  serviceType: number;
  startType: svcctl.StartType;
  errorControl: number;
  account: string;
  dependencies: string[];
  state: svcctl.ServiceState = 'stopped';
  exitCode = NEVER_STARTED;
  specificCode = 0;
  checkPoint = 0;
  waitHintMs = 0;
  pid = 0;
  /** deleted, but still open somewhere or running. */
  marked = false;
  handles = 0;
  /** A service that takes no STOP, or takes it and goes on. */
  stoppable = true;
  program: RunningProgram | undefined;

  constructor(wish: NewLabService) {
    this.name = wish.name;
    this.displayName = wish.displayName;
    this.binaryPath = wish.binaryPath;
    this.serviceType = wish.serviceType ?? svcctl.ServiceType.OWN_PROCESS;
    this.startType = wish.startType ?? 'demand';
    this.errorControl = wish.errorControl ?? svcctl.ErrorControl.NORMAL;
    this.account = wish.account ?? 'LocalSystem';
    this.dependencies = wish.dependencies ?? [];
  }

  /** status is the SERVICE_STATUS of this moment. */
  status(): svcctl.ServiceStatus {
    return {
      serviceType: this.serviceType,
      currentState: svcctl.serviceStates.indexOf(this.state) + 1,
      controlsAccepted: this.state === 'running' && this.stoppable ? 1 : 0,
      win32ExitCode: this.exitCode,
      serviceSpecificExitCode: this.specificCode,
      checkPoint: this.checkPoint,
      waitHint: this.waitHintMs,
    };
  }
}

const key = (name: string) => name.toLowerCase();

/** Services is the service database of a machine, with what Windows answers to each wish ([MS-SCMR] 3.1.4). */
export class Services {
  readonly #options: ServicesOptions;
  readonly #all = new Map<string, LabService>();
  #nextPid = 1000;

  constructor(options: ServicesOptions) {
    this.#options = options;
  }

  /** list gives all services by name. */
  list(): LabService[] {
    return [...this.#all.values()].sort((a, b) => a.name.localeCompare(b.name));
  }

  /** get gives a service, or undefined. */
  get(name: string): LabService | undefined {
    return this.#all.get(key(name));
  }

  /** need gives a service, or refuses with 1060. */
  need(name: string): LabService {
    const found = this.get(name);
    if (!found) throw new Win32Refusal(WIN32.SERVICE_DOES_NOT_EXIST, `there is no service ${name}`);
    return found;
  }

  /** create adds a service; 1073 where it is there, 1072 where it is about to go, 1078 where another shows the same name. */
  create(wish: NewLabService): LabService {
    if (!/^[^/\\]{1,256}$/.test(wish.name)) throw new Win32Refusal(WIN32.INVALID_NAME);
    const old = this.get(wish.name);
    if (old?.marked) throw new Win32Refusal(WIN32.SERVICE_MARKED_FOR_DELETE);
    if (old) throw new Win32Refusal(WIN32.SERVICE_EXISTS);
    if (wish.binaryPath.trim() === '') throw new Win32Refusal(WIN32.INVALID_PARAMETER);
    this.#displayNameFree(wish.displayName);
    const service = new LabService(wish);
    this.#all.set(key(wish.name), service);
    return service;
  }

  #displayNameFree(displayName: string, owner?: LabService): void {
    const wanted = key(displayName);
    const taken = this.list().some((s) => s !== owner && (key(s.name) === wanted || key(s.displayName) === wanted));
    if (taken) throw new Win32Refusal(WIN32.DUPLICATE_SERVICE_NAME);
  }

  /** change alters settings; 1072 where the service is about to go, 1078 where another shows the same name. */
  change(service: LabService, wish: ServiceChange): void {
    if (service.marked) throw new Win32Refusal(WIN32.SERVICE_MARKED_FOR_DELETE);
    if (wish.displayName !== undefined) this.#displayNameFree(wish.displayName, service);
    Object.assign(service, wish);
  }

  /** adopt adds a service that runs from the start, as those of the system do. */
  adopt(wish: NewLabService, o: { stoppable: boolean; program?: RunningProgram } = { stoppable: true }): LabService {
    this.#all.delete(key(wish.name));
    const service = new LabService(wish);
    this.#all.set(key(wish.name), service);
    service.stoppable = o.stoppable;
    service.program = o.program;
    this.#running(service);
    return service;
  }

  /** forget takes a service away, whatever it does. */
  forget(name: string): void {
    this.#all.delete(key(name));
  }

  /** start starts a service: 1056, 1058, 1072, 1053, or what the program says. */
  async start(service: LabService, args: string[]): Promise<void> {
    if (service.marked) throw new Win32Refusal(WIN32.SERVICE_MARKED_FOR_DELETE);
    if (service.state !== 'stopped') throw new Win32Refusal(WIN32.SERVICE_ALREADY_RUNNING);
    if (service.startType === 'disabled') throw new Win32Refusal(WIN32.SERVICE_DISABLED);
    service.state = 'start-pending';
    service.waitHintMs = 2000;
    service.checkPoint = 1;
    let program: RunningProgram;
    try {
      program = await this.#launched(service, args);
    } catch (error) {
      this.#ended(service, win32Of(error) ?? WIN32.GEN_FAILURE);
      throw error;
    }
    service.program = program;
    service.pid = this.#nextPid++;
    this.#options.clock.after(PENDING_MS, () => {
      if (service.program === program && service.state === 'start-pending') this.#running(service);
    });
    const ended = (exit: number | ExitCodes) => {
      if (service.program === program) this.#ended(service, exit);
    };
    program.exited.then(ended, () => ended(WIN32.PROCESS_ABORTED));
  }

  /** launched runs the program and waits until it has called in; one that does not, or ends before it does, is 1053. */
  async #launched(service: LabService, args: string[]): Promise<RunningProgram> {
    const { clock, run, refuseStart, timeoutMs = TIMEOUT_MS } = this.#options;
    const refused = refuseStart?.();
    if (refused !== undefined) {
      await clock.sleep(timeoutMs);
      throw new Win32Refusal(refused);
    }
    const program = await run(service, args);
    if (!program.connected) return program;
    let cancel = () => {};
    const late = new Promise<false>((resolve) => {
      cancel = clock.after(timeoutMs, () => resolve(false));
    });
    const early = program.exited.then(
      () => false,
      () => false,
    );
    const isThere = await Promise.race([program.connected.then(() => true), early, late]);
    cancel();
    if (isThere) return program;
    program.stop();
    throw new Win32Refusal(WIN32.SERVICE_REQUEST_TIMEOUT);
  }

  #running(service: LabService): void {
    service.state = 'running';
    service.exitCode = 0;
    service.specificCode = 0;
    service.checkPoint = 0;
    service.waitHintMs = 0;
    if (service.pid === 0) service.pid = this.#nextPid++;
  }

  #ended(service: LabService, exit: number | ExitCodes): void {
    const { win32, specific } = typeof exit === 'number' ? { win32: exit, specific: 0 } : exit;
    service.state = 'stopped';
    service.exitCode = win32;
    service.specificCode = specific;
    service.checkPoint = 0;
    service.waitHintMs = 0;
    service.pid = 0;
    service.program = undefined;
    this.#sweep(service);
  }

  /** control sends STOP or INTERROGATE: 1062 where it does not run, 1061 where it is busy, 1052 where it does not take that. */
  control(service: LabService, control: number): void {
    if (service.state === 'stopped') throw new Win32Refusal(WIN32.SERVICE_NOT_ACTIVE);
    if (control === svcctl.ServiceControl.INTERROGATE) return;
    if (control !== svcctl.ServiceControl.STOP) throw new Win32Refusal(WIN32.INVALID_SERVICE_CONTROL);
    if (service.state !== 'running') throw new Win32Refusal(WIN32.SERVICE_CANNOT_ACCEPT_CTRL);
    service.state = 'stop-pending';
    service.checkPoint = 1;
    service.waitHintMs = 5000;
    if (!service.stoppable) return;
    if (service.program) service.program.stop();
    else this.#ended(service, 0);
  }

  /** remove marks a service for deletion; it goes when nobody has it open and it does not run. */
  remove(service: LabService): void {
    if (service.marked) throw new Win32Refusal(WIN32.SERVICE_MARKED_FOR_DELETE);
    service.marked = true;
    this.#sweep(service);
  }

  /** opened and closed count who has a service open. */
  opened(service: LabService): void {
    service.handles++;
  }

  closed(service: LabService): void {
    service.handles--;
    this.#sweep(service);
  }

  #sweep(service: LabService): void {
    if (service.marked && service.handles <= 0 && service.state === 'stopped' && this.get(service.name) === service)
      this.#all.delete(key(service.name));
  }
}
