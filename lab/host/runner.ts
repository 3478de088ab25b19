import type { Log } from '#base/log';
import type { Disk, OpenFile } from '#lab/disk';
import { readWhole } from '#lab/disk';
import { ACCESS, DISPOSITION, SHARE_ACCESS } from '#wire/smb';
import { WIN32 } from '#wire/status';
import type { TargetHost } from '#client/host';
import { diskPath, loadProgram, splitCommandLine, Win32Error, type Main } from './programs.ts';
import type { Run } from './target.ts';

/** Running is a program that runs: `stop` asks it to end, `exited` gives its code when it has. */
export interface Running {
  stop(): void;
  readonly exited: Promise<number>;
}

export interface RunnerOptions {
  disk: Disk;
  log: Log;
  /** target is the machine as one run of a program sees it. */
  target: (run: Run) => TargetHost;
}

/** The code of a program that threw: what Windows shows for one that broke. */
const BROKE = 0x4000_0015;
const SHARE = SHARE_ACCESS.READ | SHARE_ACCESS.DELETE;

/** Runner runs the programs of services inside this process: bundles of the client, each with a machine of its own. */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #running = new Set<{ controller: AbortController; over: AbortController; exited: Promise<number> }>();

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** look finds the program of a command line; it throws a Win32Error when there is none (2), or none that the lab can run (193). */
  async look(binaryPath: string): Promise<{ names: string[]; main: Main; own: string[] }> {
    const [path, ...own] = splitCommandLine(binaryPath);
    const names = path === undefined ? undefined : diskPath(path);
    const octets = names && (await readWhole(this.#options.disk, names).catch(() => undefined));
    if (!names || !octets) throw new Win32Error(WIN32.FILE_NOT_FOUND, `there is no ${path}`);
    return { names, main: await loadProgram(octets), own };
  }

  /** run starts the program of a command line. */
  async run(binaryPath: string, args: string[]): Promise<Running> {
    const { names, main, own } = await this.look(binaryPath);
    const image = await this.#options.disk.open(names, {
      access: ACCESS.EXECUTE,
      share: SHARE,
      disposition: DISPOSITION.OPEN,
      image: true,
    });
    const controller = new AbortController();
    const over = new AbortController();
    const target = this.#options.target({ modulePath: `C:\\${names.join('\\')}`, signal: controller.signal, over: over.signal });
    const entry = { controller, over, exited: this.#exit(() => main(target, [...own, ...args]), image, over) };
    this.#running.add(entry);
    void entry.exited.then(() => this.#running.delete(entry));
    return { stop: () => controller.abort(new Error('the service was told to stop')), exited: entry.exited };
  }

  async #exit(main: () => Promise<number>, image: OpenFile, over: AbortController): Promise<number> {
    try {
      return (await main()) >>> 0;
    } catch (error) {
      this.#options.log.warn('lab program broke', { error });
      return BROKE;
    } finally {
      over.abort(new Error('the program has ended'));
      await image.close().catch(() => {});
    }
  }

  /** stop tells all programs to end, cuts what they wait for on the network, and waits for them. */
  async stop(patience: Promise<void>): Promise<void> {
    const all = [...this.#running];
    for (const { controller } of all) controller.abort(new Error('the machine shuts down'));
    await Promise.race([Promise.all(all.map(({ exited }) => exited)), patience]);
    for (const { over } of all) over.abort(new Error('the machine is off'));
  }
}
