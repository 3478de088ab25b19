import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '#base/clock';
import { scratch } from '#test/scratch';

/** FS_IOC_SHUTDOWN with "no log flush" (uapi linux/ext4.h): from this instant on the file system writes nothing more to its disk. */
const SHUTDOWN =
  'open(F, "<", $ARGV[0]) or die "open: $!"; my $how = pack("L", 2); ioctl(F, 0x8004587D, $how) or die "shutdown: $!"';

function run(file: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** TestDisk is an ext4 file system in a file, mounted where a test wants it: it can lose its power, and it can be full. Root only. */
export class TestDisk {
  readonly #image: string;
  readonly #where: string;
  #mounted = false;

  constructor(where: string, octets: number) {
    this.#where = where;
    this.#image = join(mkdtempSync(join(scratch, 'pushpoint-disk-')), 'image');
    writeFileSync(this.#image, '', { mode: 0o600 });
    truncateSync(this.#image, octets);
    run('mkfs.ext4', '-q', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0', this.#image);
    this.mount();
    rmSync(join(where, 'lost+found'), { recursive: true, force: true });
  }

  mount(): void {
    run('mount', '-o', 'loop', this.#image, this.#where);
    this.#mounted = true;
    run('chmod', '711', this.#where);
  }

  /**
   * cut is the power cut: what the file system has not yet written stays unwritten, the journal too. What reached the disk before it counts as
   * kept, even if no flush followed: a disk that lies about its cache is not simulated.
   */
  cut(): void {
    run('perl', '-e', SHUTDOWN, this.#where);
  }

  /** users are the processes that work on this disk. */
  users(): number[] {
    const { dev } = statSync(this.#where);
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((name) => {
        try {
          if (readFileSync(`/proc/${name}/stat`, 'latin1').includes(') Z ')) return false;
          return statSync(`/proc/${name}/cwd`).dev === dev;
        } catch {
          return false;
        }
      })
      .map(Number);
  }

  /** unmount ends what still works there, and waits until it is gone. */
  async unmount(): Promise<void> {
    if (!this.#mounted) return;
    for (let tries = 0; ; tries++) {
      for (const pid of this.users()) if (pid !== process.pid) spawnSync('kill', ['-KILL', String(pid)]);
      if (spawnSync('umount', [this.#where]).status === 0) break;
      if (tries === 200) throw new Error(`${this.#where} cannot be unmounted; ${this.users().join(' ')} work there`);
      await systemClock.sleep(50);
    }
    this.#mounted = false;
  }

  /** again is the power coming back: mounted anew, with the journal played back. */
  async again(): Promise<void> {
    await this.unmount();
    this.mount();
  }

  async remove(): Promise<void> {
    await this.unmount();
    rmSync(join(this.#image, '..'), { recursive: true });
  }
}
