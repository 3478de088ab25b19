import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#base/clock';
import { scratch } from '#test/scratch';

/** WINE is the loader; Debian's wrapper `wine` says that another one is missing. */
export const WINE = '/usr/lib/wine/wine64';
const SERVER = '/usr/lib/wine/wineserver';

const RUN_MS = 150_000;

/** Wine is one Windows machine: a prefix of its own with its services.exe, which runs as long as it is held. */
export class Wine {
  #folder = '';
  /** name is what the machine calls itself: Wine takes that of the system it runs on. */
  readonly name = hostname().split('.')[0]!.slice(0, 15).toUpperCase();
  #env: NodeJS.ProcessEnv = {};
  #holder: ChildProcess | undefined;
  #relay: ChildProcess | undefined;

  /** start makes the machine and switches it on: Windows 10, no network but loopback and that of this system. */
  async start(): Promise<this> {
    this.#folder = mkdtempSync(join(scratch, 'ppw-'));
    // A home of its own: Wine links folders of the home into the prefix.
    const { DISPLAY: _, ...env } = process.env;
    const quiet = { WINEDEBUG: '-all', WINEDLLOVERRIDES: 'mscoree=;mshtml=;winemenubuilder.exe=d' };
    this.#env = { ...env, HOME: this.#folder, WINEPREFIX: join(this.#folder, 'p'), WINEARCH: 'win64', ...quiet };
    this.#must('wineboot', '-i');
    // Until the first session has ended calls may meet another service manager than the one that stays.
    spawnSync(SERVER, ['-w'], { env: this.#env, timeout: 60_000 });
    this.#must('winecfg', '/v', 'win10');
    spawnSync(SERVER, ['-w'], { env: this.#env, timeout: 60_000 });
    this.hold();
    return this;
  }

  #must(...args: string[]): void {
    const { status } = spawnSync(WINE, args, { env: this.#env, timeout: 120_000 });
    if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}`);
  }

  /** hold keeps the session up: Wine ends the services when the last program of a user is gone. */
  hold(): void {
    this.#holder = spawn(WINE, ['cmd.exe'], { env: this.#env, stdio: ['pipe', 'ignore', 'ignore'] });
  }

  /** restart is a restart of the machine: services that start by themselves do so in the next session. */
  async restart(): Promise<void> {
    this.#letGo();
    spawnSync(SERVER, ['-k'], { env: this.#env, timeout: 60_000 });
    spawnSync(SERVER, ['-w'], { env: this.#env, timeout: 60_000 });
    this.hold();
  }

  #letGo(): void {
    this.#holder?.stdin?.end();
    this.#holder?.kill();
    this.#holder = undefined;
  }

  /** run runs a program to its end; the exit code is cut to eight bits by the system below. */
  run(program: string, ...args: string[]): Promise<{ code: number | null; out: string }> {
    return new Promise((resolve, reject) => {
      const child = spawn(WINE, [program, ...args], { env: this.#env, stdio: ['ignore', 'pipe', 'pipe'] });
      let out = '';
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', (octets: Buffer) => (out += octets.toString('latin1')));
      // A program that waits for something that never comes fails its test, and does not hold up the others.
      const patience = systemClock.after(RUN_MS, () => {
        child.kill('SIGKILL');
        reject(
          new Error(
            `${program} ${args.join(' ')} has not ended after ${RUN_MS} ms\n${this.text('windows/ccmsetup/logs/ccmsetup.log')}`,
          ),
        );
      });
      child.once('error', reject);
      child.once('exit', (code) => {
        patience();
        resolve({ code, out });
      });
    });
  }

  /** runNow runs a program while everything else waits. */
  runNow(program: string, args: readonly string[], input?: Uint8Array): { status: number; out: string } {
    const options = { env: this.#env, timeout: RUN_MS, ...(input && { input }) };
    const { status, stdout, stderr, error } = spawnSync(WINE, [program, ...args], options);
    if (error) throw error;
    return { status: status ?? -1, out: `${stdout.toString('utf8')}${stderr.toString('utf8')}` };
  }

  /** spawn starts a program that stays. */
  spawn(program: string, ...args: string[]): ChildProcess {
    return spawn(WINE, [program, ...args], { env: this.#env, stdio: ['pipe', 'pipe', 'ignore'] });
  }

  /** spawnNaming starts a program for which another file says where names are asked for; only root may. */
  spawnNaming(resolv: string, program: string, ...args: string[]): ChildProcess {
    const inner = 'mount --bind "$0" /etc/resolv.conf && exec "$@"';
    const stdio = ['pipe', 'pipe', 'ignore'] as const;
    return spawn('unshare', ['-m', 'sh', '-c', inner, resolv, WINE, program, ...args], { env: this.#env, stdio: [...stdio] });
  }

  /** path is where a file below C:\ lies for this system; forward slashes, as Wine spells the names (drive_c/windows/…). */
  path(...parts: string[]): string {
    return join(this.#folder, 'p', 'drive_c', ...parts);
  }

  put(path: string, content: string | Uint8Array): void {
    mkdirSync(join(this.path(path), '..'), { recursive: true });
    writeFileSync(this.path(path), content);
  }

  text(path: string): string {
    return existsSync(this.path(path)) ? readFileSync(this.path(path), 'utf8') : '';
  }

  has(path: string): boolean {
    return existsSync(this.path(path));
  }

  remove(path: string): void {
    rmSync(this.path(path), { recursive: true, force: true });
  }

  /** service gives the state of a service as a word, and its exit codes; undefined when there is none. */
  async service(name: string): Promise<{ state: string; win32: number; specific: number } | undefined> {
    const { out } = await this.run('sc.exe', 'query', name);
    const state = /STATE\s*:\s*\d+\s+(\w+)/.exec(out)?.[1]?.toLowerCase();
    if (state === undefined) return undefined;
    const number = (key: string) => Number(new RegExp(`${key}\\s*:\\s*(\\d+)`).exec(out)?.[1] ?? -1);
    return { state, win32: number('WIN32_EXIT_CODE'), specific: number('SERVICE_EXIT_CODE') };
  }

  /** eventually looks again and again until something is so. */
  async eventually(what: string, look: () => boolean | Promise<boolean>, ms = 90_000): Promise<void> {
    const end = systemClock.monotonic() + ms;
    while (!(await look())) {
      if (systemClock.monotonic() > end)
        throw new Error(`waited ${ms} ms in vain for ${what}; ccmsetup.log:\n${this.text('windows/ccmsetup/logs/ccmsetup.log')}`);
      await systemClock.sleep(200);
    }
  }

  /** serviceManager starts the relay to the machine's own service manager and gives the port it listens on. */
  async serviceManager(): Promise<number> {
    const exe = this.path('relay.exe');
    const source = new URL('svcctl-relay.c', import.meta.url).pathname;
    const built = spawnSync('x86_64-w64-mingw32-gcc', ['-O1', '-s', '-o', exe, source, '-lws2_32'], { encoding: 'utf8' });
    if (built.status !== 0) throw new Error(built.stderr);
    this.remove('relay.port');
    this.#relay = this.spawn('C:\\relay.exe', 'C:\\relay.port');
    await this.eventually('the relay to listen', () => /^\d+\n/.test(this.text('relay.port')));
    return Number.parseInt(this.text('relay.port'), 10);
  }

  /** stop switches the machine off and throws it away. */
  async stop(): Promise<void> {
    if (this.#folder === '') return;
    this.#relay?.kill();
    this.#letGo();
    spawnSync(SERVER, ['-k'], { env: this.#env, timeout: 60_000 });
    spawnSync(SERVER, ['-w'], { env: this.#env, timeout: 60_000 });
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}
