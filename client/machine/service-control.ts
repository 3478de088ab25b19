import type { ServiceState, ServiceWish, TargetHost } from '#client/host';
import type { Run } from './windows-facts.ts';

const STATES: Record<string, ServiceState> = {
  STOPPED: 'stopped',
  START_PENDING: 'start-pending',
  STOP_PENDING: 'stop-pending',
  RUNNING: 'running',
};
const STARTS = { auto: 'auto', demand: 'demand', disabled: 'disabled' } as const;

/** ServiceControl is the service manager of Windows by sc.exe, whose words for states are the same in every language of Windows. */
export class ServiceControl implements Pick<TargetHost['services'], keyof TargetHost['services']> {
  readonly #run: Run;
  readonly #program: string;

  constructor(run: Run, program: string) {
    this.#run = run;
    this.#program = program;
  }

  #must(...args: string[]): void {
    const { status, out } = this.#run(this.#program, args);
    if (status === 0) return;
    const why = out.replace(/\s+/g, ' ').trim().slice(0, 200);
    throw Object.assign(new Error(`sc.exe ${args[0]} ended with ${status}: ${why}`), { code: status });
  }

  async create({ name, displayName, binaryPath, startType }: ServiceWish): Promise<void> {
    this.#must('create', name, 'binPath=', binaryPath, 'start=', STARTS[startType], 'DisplayName=', displayName);
  }

  async start(name: string): Promise<void> {
    this.#must('start', name);
  }

  async stop(name: string): Promise<void> {
    this.#must('stop', name);
  }

  async remove(name: string): Promise<void> {
    this.#must('delete', name);
  }

  async status(name: string): Promise<ServiceState | undefined> {
    // One that cannot be asked counts as absent: what is wrong with it shows when it is created.
    const { out } = this.#run(this.#program, ['query', name]);
    return STATES[/:\s*\d\s+([A-Z_]+)\s*$/m.exec(out)?.[1] ?? ''];
  }
}
