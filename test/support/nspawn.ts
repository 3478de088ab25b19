import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#base/clock';

const BOOT_MS = 60_000;

function must(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** hasNspawn tells whether this machine lets us lay one file system over another and make networks. */
export function hasNspawn(): boolean {
  if (process.getuid?.() !== 0 || spawnSync('systemd-nspawn', ['--version']).status !== 0) return false;
  const script =
    'd=$(mktemp -d) && mount -t tmpfs tmpfs $d && mkdir $d/u $d/w $d/m && mount -t overlay overlay -o lowerdir=/,upperdir=$d/u,workdir=$d/w $d/m';
  return spawnSync('unshare', ['-m', 'sh', '-c', script]).status === 0;
}

/**
 * Systemd is a Linux machine with a real systemd as its first process: this machine's own files, under a layer that is thrown away, in a
 * container with a network of its own. `near` is this machine's address in that network.
 */
export class Systemd {
  static #made = 0;
  readonly near: string;
  readonly name: string;
  readonly #net: string;
  readonly #link: string;
  readonly #folder: string;
  #process: ChildProcess | undefined;
  #leader = 0;

  private constructor() {
    const number = (process.pid % 200) + 20;
    const part = ++Systemd.#made;
    this.name = `pp-target-${part}`;
    this.near = `10.${number}.${part}.1`;
    this.#net = `pp-systemd-${process.pid}-${part}`;
    this.#link = `pps${process.pid % 100_000}v${part}`;
    this.#folder = mkdtempSync(join(tmpdir(), 'pushpoint-systemd-'));
  }

  static async boot(): Promise<Systemd> {
    const machine = new Systemd();
    try {
      await machine.#boot();
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

  async #boot(): Promise<void> {
    const far = `${this.near.replace(/1$/, '2')}/24`;
    must('ip', 'netns', 'add', this.#net);
    must('ip', 'link', 'add', this.#link, 'type', 'veth', 'peer', 'name', 'host0', 'netns', this.#net);
    must('ip', 'addr', 'add', `${this.near}/24`, 'dev', this.#link);
    must('ip', 'link', 'set', this.#link, 'up');
    must('ip', '-n', this.#net, 'addr', 'add', far, 'dev', 'host0');
    for (const link of ['host0', 'lo']) must('ip', '-n', this.#net, 'link', 'set', link, 'up');
    must('mount', '-t', 'tmpfs', 'tmpfs', this.#folder);
    for (const folder of ['upper', 'work', 'root']) mkdirSync(join(this.#folder, folder));
    const layers = `lowerdir=/,upperdir=${join(this.#folder, 'upper')},workdir=${join(this.#folder, 'work')}`;
    must('mount', '-t', 'overlay', 'overlay', '-o', layers, this.root);
    // What this machine serves, it does not serve there too.
    const wants = join(this.root, 'etc/systemd/system/multi-user.target.wants');
    for (const unit of statSync(wants, { throwIfNoEntry: false }) ? readdirSync(wants) : []) rmSync(join(wants, unit));
    writeFileSync(join(this.root, 'etc/hostname'), `${this.name}\n`);
    const args = [
      '-q',
      '-D',
      this.root,
      '--boot',
      '--register=no',
      '--keep-unit',
      '--console=read-only',
      `--hostname=${this.name}`,
    ];
    this.#process = spawn('systemd-nspawn', [...args, `--network-namespace-path=/run/netns/${this.#net}`], {
      stdio: 'ignore',
      detached: true,
    });
    const end = systemClock.monotonic() + BOOT_MS;
    for (;;) {
      this.#leader = Number(spawnSync('pgrep', ['-P', String(this.#process.pid)], { encoding: 'utf8' }).stdout.split('\n')[0]);
      const state = this.#leader > 0 ? this.run('systemctl', 'is-system-running').out.trim() : '';
      if (state === 'running' || state === 'degraded') return;
      if (systemClock.monotonic() > end) throw new Error(`systemd did not come up: ${state}`);
      await systemClock.sleep(200);
    }
  }

  /** run runs a command inside. */
  run(command: string, ...args: string[]): { code: number; out: string } {
    const inside = ['-t', String(this.#leader), '-m', '-u', '-i', '-n', '-p', command, ...args];
    const { status, stdout } = spawnSync('nsenter', inside, {
      encoding: 'utf8',
      maxBuffer: 64_000_000,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    });
    return { code: status ?? -1, out: stdout };
  }

  text(path: string): string {
    try {
      return readFileSync(join(this.root, path), 'utf8');
    } catch {
      return '';
    }
  }

  /** own is each path that is on this machine and not on the one below it, without what a running system writes by itself. */
  own(): string[] {
    const upper = join(this.#folder, 'upper');
    const all = readdirSync(upper, { recursive: true, withFileTypes: true }).map((one) =>
      join(one.parentPath, one.name).slice(upper.length),
    );
    const run = this.run('find', '/run', '-xdev').out.split('\n');
    const volatile =
      /^\/(?:run\/(?:agetty|host|systemd|udev|log|utmp|user|dbus|credentials)|var\/l(?:ib|og)\/(?:systemd|journal|dbus|private|wtmp|btmp|lastlog)|var\/tmp|tmp|etc\/(?:machine-id|\.updated))/;
    return [...all.filter((path) => !existsSync(path)), ...run].filter((path) => !volatile.test(path)).toSorted();
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child?.exitCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      if (this.#leader > 0) spawnSync('kill', ['-KILL', String(this.#leader)]);
      else child.kill('SIGKILL');
      await gone;
    }
    spawnSync('umount', ['-l', this.root]);
    spawnSync('umount', ['-l', this.#folder]);
    spawnSync('ip', ['netns', 'del', this.#net]);
    spawnSync('ip', ['link', 'del', this.#link]);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
