import { ManualClock } from '#base/clock';
import { hostFetch } from '#client/fetch';
import type { FetchInit, ServiceState, ServiceWish, TargetHost } from '#client/host';
import { SeededRandom } from '#test/seeded';

/** Machine is a Windows machine in memory: what stays when a program on it ends or is killed. */
export class Machine {
  readonly files = new Map<string, { path: string; bytes: Uint8Array }>();
  readonly services = new Map<string, { wish: ServiceWish; state: ServiceState }>();
  /** Files whose sectors are bad: they can be replaced and not read. */
  readonly unreadable = new Set<string>();
  readonly mutexes = new Set<string>();
  readonly registry = new Map<string, Record<string, string>>();
  readonly printed: string[] = [];
  readonly clock: ManualClock;
  readonly random = new SeededRandom(() => `${this.name} ${this.hardwareId}`);
  name = 'PC042';
  hardwareId = '2:11AA22BB';
  addresses = ['10.1.2.3'];
  free = 1_000_000_000;
  /** The fingerprint of a certificate that this machine trusts, as one of a public authority. */
  trusts: string | undefined;
  restartPending = false;
  /** How the service manager takes a start: an error is thrown at the caller, 'dies' ends the service at once. */
  onStart: (machine: Machine, service: string) => 'runs' | 'dies' = () => 'runs';
  run: TargetHost['run'];
  srv: TargetHost['srv'];
  /** Requests on their way; time stands still while there are any. */
  inFlight = 0;

  constructor(clock = new ManualClock()) {
    this.clock = clock;
  }

  text(path: string): string | undefined {
    const bytes = this.files.get(path.toLowerCase())?.bytes;
    return bytes && Buffer.from(bytes).toString('utf8');
  }

  put(path: string, bytes: Uint8Array | string): void {
    this.files.set(path.toLowerCase(), { path, bytes: new Uint8Array(Buffer.from(bytes as string)) });
  }

  serviceState(name: string): ServiceState | undefined {
    return this.services.get(name.toLowerCase())?.state;
  }

  /** everything is all text on the disk, for looking for what must not be there. */
  everything(): string {
    return [...this.files.values()].map(({ path, bytes }) => `${path}\n${Buffer.from(bytes).toString('latin1')}`).join('\n');
  }

  /** program starts one run; `dieAfter` lets it do so many things to the machine, then every call fails, as when it was killed. */
  program(modulePath: string, options: { signal?: AbortSignal; dieAfter?: number; onDeath?: () => void } = {}): TargetHost {
    const { files, mutexes, printed, registry } = this;
    const held = new Set<string>();
    let left = options.dieAfter ?? Infinity;
    const alive = () => {
      if (left-- > 0) return;
      for (const name of held) mutexes.delete(name);
      options.onDeath?.();
      throw Object.assign(new Error('killed'), { killed: true });
    };
    const host: TargetHost = {
      name: this.name,
      domain: 'CORP',
      fqdn: `${this.name.toLowerCase()}.corp.example`,
      hardwareId: this.hardwareId,
      architecture: 'x64',
      modulePath,
      os: { name: 'Windows 10 Enterprise', version: '10.0.19045', type: 'workstation' },
      addresses: () => this.addresses,
      signal: options.signal ?? new AbortController().signal,
      clock: this.clock,
      random: this.random,
      print: (line) => void printed.push(line),
      readFile: async (path) => {
        alive();
        if (this.unreadable.has(path.toLowerCase())) throw Object.assign(new Error('input/output error'), { code: 'EIO' });
        return files.get(path.toLowerCase())?.bytes.slice();
      },
      writeFile: async (path, bytes) => {
        alive();
        this.#room(bytes.length - (files.get(path.toLowerCase())?.bytes.length ?? 0));
        files.set(path.toLowerCase(), { path, bytes: bytes.slice() });
      },
      appendFile: async (path, bytes) => {
        alive();
        this.#room(bytes.length);
        const before = files.get(path.toLowerCase())?.bytes ?? new Uint8Array();
        files.set(path.toLowerCase(), { path, bytes: new Uint8Array(Buffer.concat([before, bytes])) });
      },
      mkdir: async () => alive(),
      remove: async (path) => {
        alive();
        const below = [...files.keys()].filter((key) => key === path.toLowerCase() || key.startsWith(`${path.toLowerCase()}\\`));
        for (const key of below) files.delete(key);
        return below.length > 0;
      },
      list: async (path) => {
        alive();
        const under = `${path.toLowerCase()}\\`;
        return [...files.values()]
          .filter((f) => f.path.toLowerCase().startsWith(under))
          .map((f) => f.path.slice(under.length).split('\\')[0]!);
      },
      removeAfter: (path) => {
        for (const key of files.keys()) if (`${key}\\`.startsWith(`${path.toLowerCase()}\\`)) files.delete(key);
      },
      freeBytes: async () => this.free,
      mutex: (name) => {
        if (mutexes.has(name)) return undefined;
        mutexes.add(name);
        held.add(name);
        return () => mutexes.delete(name);
      },
      services: this.#manager(alive),
      registry: {
        set: async (key, values) => void registry.set(key, values),
        remove: async (key) => void registry.delete(key),
        has: async (key) => registry.has(key),
      },
      restartPending: async () => this.restartPending,
      fetch: async (url, init) => {
        alive();
        return this.#fetch(url, init);
      },
    };
    if (this.run) host.run = this.run;
    if (this.srv) host.srv = this.srv;
    return host;
  }

  #room(more: number): void {
    if (more > this.free) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    this.free -= Math.max(more, 0);
  }

  #manager(alive: () => void): TargetHost['services'] {
    const one = (name: string) => {
      alive();
      const service = this.services.get(name.toLowerCase());
      if (!service) throw Object.assign(new Error(`service ${name} does not exist`), { code: 1060 });
      return service;
    };
    return {
      create: async (wish) => {
        alive();
        if (this.services.has(wish.name.toLowerCase())) throw Object.assign(new Error('exists'), { code: 1073 });
        this.services.set(wish.name.toLowerCase(), { wish, state: 'stopped' });
      },
      start: async (name) => {
        const service = one(name);
        service.state = this.onStart(this, name) === 'runs' ? 'running' : 'stopped';
      },
      stop: async (name) => void (one(name).state = 'stopped'),
      remove: async (name) => {
        one(name);
        this.services.delete(name.toLowerCase());
      },
      status: async (name) => {
        alive();
        return this.serviceState(name);
      },
    };
  }

  async #fetch(url: string, init?: FetchInit): Promise<Response> {
    this.inFlight++;
    try {
      const { trusts } = this;
      const response = await hostFetch(url, trusts === undefined ? init : { pins: [trusts], ...init });
      return response.body ? this.#counted(response) : response;
    } finally {
      this.inFlight--;
    }
  }

  /** counted keeps the request in flight until its body is read or let go. */
  #counted(response: Response): Response {
    const reader = response.body!.getReader();
    let open = true;
    this.inFlight++;
    const close = () => {
      if (open) this.inFlight--;
      open = false;
    };
    const body = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        try {
          const { done, value } = await reader.read();
          if (!done) return controller.enqueue(value);
          close();
          controller.close();
        } catch (error) {
          close();
          controller.error(error);
        }
      },
      cancel: async (reason) => {
        close();
        await reader.cancel(reason);
      },
    });
    return new Response(body, { status: response.status, headers: response.headers });
  }
}

/**
 * live lets a program run to its end in no time: whenever nothing is under way on the network and the program waits for the clock, the
 * clock goes on to the next timer. `until` ends it earlier.
 */
export async function live<T>(machine: Machine, running: Promise<T>, until: () => boolean = () => false): Promise<T | undefined> {
  let settled = false;
  const done = () => {
    settled = true;
  };
  running.then(done, done);
  for (let idle = 0; !settled && !until();) {
    await new Promise(setImmediate);
    idle = machine.inFlight > 0 ? 0 : idle + 1;
    const next = machine.clock.nextAt();
    if (idle < 20 || !next) continue;
    idle = 0;
    await machine.clock.advance(Math.max(next.getTime() - machine.clock.now().getTime(), 0));
  }
  return settled ? running : undefined;
}
