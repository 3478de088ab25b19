import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#base/clock';

const START_MS = 20_000;
const RUN_MS = 60_000;
const LAST_WORDS_MS = 2000;

/** What makes it a machine of that kind: no OpenRC there, or one that was booted. */
const kinds = {
  sysv: (root: string) => `rm -f ${root}/usr/sbin/openrc-run ${root}/usr/sbin/rc-update`,
  openrc: (root: string) =>
    `for one in sysinit boot default; do mkdir -p ${root}/etc/runlevels/$one; done
for one in sysinit boot default; do chroot ${root} openrc $one >/dev/null 2>&1; done`,
};

/**
 * InitMachine is a Linux machine without systemd: this machine's own files, under a layer that is thrown away, with processes of its own. Its
 * init scripts are started by what Debian has for that (`service`) or by OpenRC, as if it had been booted into the default runlevel.
 */
export class InitMachine {
  readonly kind: 'sysv' | 'openrc';
  readonly #folder: string;
  #process: ChildProcess | undefined;

  private constructor(kind: 'sysv' | 'openrc') {
    this.kind = kind;
    this.#folder = mkdtempSync(join(tmpdir(), 'pushpoint-init-'));
  }

  static async start(kind: 'sysv' | 'openrc'): Promise<InitMachine> {
    const machine = new InitMachine(kind);
    try {
      await machine.#start();
      return machine;
    } catch (error) {
      await machine.stop();
      throw error;
    }
  }

  /** root is where its files are seen from here. */
  get root(): string {
    return join(this.#folder, 'root');
  }

  async #start(): Promise<void> {
    const { root } = this;
    const layers = `lowerdir=/,upperdir=${this.#folder}/upper,workdir=${this.#folder}/work`;
    // Its first process: mounts what a machine has, then waits. All of it ends with this process.
    const script = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs ${this.#folder}
mkdir ${this.#folder}/upper ${this.#folder}/work ${root}
mount -t overlay overlay -o ${layers} ${root}
for one in proc dev run tmp; do mkdir -p ${root}/$one; done
mount -t proc proc ${root}/proc
mount --rbind /dev ${root}/dev
mount -t tmpfs tmpfs ${root}/run
mount -t tmpfs tmpfs ${root}/tmp
hostname pp-${this.kind}
rm -rf ${root}/etc/init.d/* ${root}/etc/rc?.d/* ${root}/etc/runlevels
${kinds[this.kind](root)}
exec chroot ${root} sh -c 'echo ready; read -r _'`;
    const child = spawn('unshare', ['-m', '-p', '-u', '-i', '--fork', '--kill-child', 'sh', '-c', script], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    });
    this.#process = child;
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const end = systemClock.monotonic() + START_MS;
    while (!said.includes('ready')) {
      if (child.exitCode !== null || systemClock.monotonic() > end) throw new Error(`the machine did not start: ${said}`);
      await systemClock.sleep(50);
    }
  }

  /** leader is its first process as this machine counts. */
  get #leader(): number {
    return Number(readFileSync(`/proc/${this.#process!.pid}/task/${this.#process!.pid}/children`, 'utf8').trim().split(' ')[0]);
  }

  /** run runs a command inside. */
  async run(command: string, ...args: string[]): Promise<{ code: number; out: string }> {
    const leader = this.#leader;
    const inside = ['-t', String(leader), '-m', '-p', '-u', '-i', 'chroot', this.root, command, ...args];
    const child = spawn('nsenter', inside, {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: RUN_MS,
      env: { PATH: '/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
    });
    let out = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (out += chunk.toString()));
    const closed = new Promise<void>((resolve) => child.once('close', resolve));
    const code = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('exit', resolve));
    // What it said may come after its end; a service that was started holds what it was given open, if it was not told otherwise.
    await Promise.race([closed, systemClock.sleep(LAST_WORDS_MS)]);
    return { code: code ?? -1, out };
  }

  #path(path: string): string {
    return `/proc/${this.#leader}/root/${path}`;
  }

  write(path: string, what: string | Uint8Array, mode = 0o644): void {
    mkdirSync(join(this.#path(path), '..'), { recursive: true });
    writeFileSync(this.#path(path), what, { mode });
  }

  text(path: string): string {
    try {
      return readFileSync(this.#path(path), 'utf8');
    } catch {
      return '';
    }
  }

  /** own is each path that is on this machine and not on the one below it, but for what the init systems write by themselves. */
  own(): string[] {
    const upper = join(this.#folder, 'upper');
    const list = (...args: string[]) =>
      spawnSync('nsenter', ['-t', String(this.#leader), '-m', 'find', ...args], { encoding: 'utf8' }).stdout.split('\n');
    const all = [
      ...list(upper, '-mindepth', '1').map((path) => path.slice(upper.length)),
      ...list(join(this.root, 'run'), '-mindepth', '1').map((path) => path.slice(this.root.length)),
    ];
    return all
      .filter((path) => path !== '' && !existsSync(path) && !/^\/(?:run\/openrc|run\/lock$|etc\/init\.d\/\.depend)/.test(path))
      .toSorted();
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
