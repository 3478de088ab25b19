import type { Clock } from '#base/clock';
import type { RpcServer } from '#lab/rpc';
import type { Identity, PipeEnd } from '#lab/smb';
import { STATUS } from '#wire/status';

/** How long a trigger takes to start the service behind a pipe. */
const TRIGGER_MS = 300;

export interface PipesOptions {
  clock: Clock;
  rpc: () => RpcServer;
  /** triggered tells whether a service stands ready to be started by the first look at its pipe. */
  isTriggered: (pipe: string) => boolean;
  /** trigger starts that service. */
  trigger: (pipe: string) => void;
}

/** Pipes are the named pipes of a machine: those of its RPC server, as far as the service behind each runs. */
export class Pipes {
  readonly #options: PipesOptions;
  readonly #starting = new Set<string>();

  constructor(options: PipesOptions) {
    this.#options = options;
  }

  exists(name: string): boolean {
    return this.#options.rpc().names().includes(name.toLowerCase());
  }

  /**
   * open gives the machine's end of a pipe, or an NTSTATUS. With trigger start the first open finds nobody there yet (PIPE_NOT_AVAILABLE)
   * and starts the service; a second one a moment later is served.
   */
  async open(name: string, identity: Identity): Promise<PipeEnd | number> {
    const pipe = name.toLowerCase();
    const end = this.#options.rpc().pipe(pipe, identity);
    if (end) return end;
    if (this.#starting.has(pipe)) return STATUS.PIPE_NOT_AVAILABLE;
    if (!this.#options.isTriggered(pipe)) return STATUS.OBJECT_NAME_NOT_FOUND;
    this.#starting.add(pipe);
    this.#options.clock.after(TRIGGER_MS, () => {
      this.#starting.delete(pipe);
      this.#options.trigger(pipe);
    });
    return STATUS.PIPE_NOT_AVAILABLE;
  }
}
