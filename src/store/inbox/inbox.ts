import { watch, type FSWatcher } from 'node:fs';
import type { Clock } from '#base/clock';
import { Malformed, PushpointError } from '#base/errors';
import type { Log } from '#base/log';
import { Folders, type Dropped } from './folders.ts';

/** InboxFile is one file that was dropped, complete; `path` is where it stands while it is worked. */
export interface InboxFile {
  name: string;
  path: string;
  bytes: Uint8Array;
}

export interface InboxOptions {
  dir: string;
  clock: Clock;
  log: Log;
  /** limit is the most octets that a file may have; 1 MiB where nothing is said. */
  limit?: number;
  /** bad is the folder for what cannot be taken in; `bad` where nothing is said. */
  bad?: string;
  /** quietMs is how long size and time of a file must stand still before it is taken for complete. */
  quietMs?: number;
  /** pollMs is how often the folder is looked at even if the system reports nothing (network file systems never do). */
  pollMs?: number;
}

type Work = (file: InboxFile) => Promise<void>;

/** So many files are worked at once. */
const HANDS = 8;
/** Reports of the system that come closer than this are looked after together. */
const BREATH_MS = 20;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
/** An error that the product did not raise is a defect; a file that meets it so often goes to `bad`. */
const DEFECTS = 5;

interface Later {
  at: number;
  tries: number;
}

/**
 * Inbox takes in the files that people and programs drop into a folder. Each is moved to `inproc` when it is complete, given to the work,
 * and removed when the work is done. What cannot be read or is malformed goes to `bad` with a `.reason` beside it; what failed for
 * another cause stays in `inproc` and is tried again. A process that is killed in between finds the file in `inproc` at its next start, so
 * the work may see a file twice and never loses one. Exactly one process may run an inbox.
 */
export class Inbox {
  readonly #folders: Folders;
  readonly #options: Required<InboxOptions>;
  readonly #seen = new Map<string, { size: number; mtimeMs: number; ino: number; since: number }>();
  readonly #working = new Map<string, Promise<void>>();
  readonly #later = new Map<string, Later>();
  #wake: (() => void) | undefined;
  #watcher: { fs: FSWatcher; ino: bigint } | undefined;
  #complaint: string | undefined;
  #odd: ReadonlySet<string> = new Set();
  readonly #queued = new Set<string>();
  /** Somebody dropped a file of the same name as one that is being worked. */
  #blocked = false;
  #again = false;
  #stopped = false;

  constructor(options: InboxOptions) {
    this.#options = { limit: 1024 * 1024, bad: 'bad', quietMs: 300, pollMs: 5_000, ...options };
    this.#folders = new Folders(options.dir, this.#options.limit, this.#options.bad);
  }

  /** take gives each file to `work`, until the returned function is called, which waits for what is being worked. */
  take(work: Work): () => Promise<void> {
    const running = this.#run(work);
    return async () => {
      this.#stopped = true;
      this.#wake?.();
      await running;
      await Promise.all(this.#working.values());
    };
  }

  async #run(work: Work): Promise<void> {
    while (!this.#stopped) {
      const wait = await this.#look(work).then(
        (ms) => {
          if (this.#complaint) this.#options.log.info('inbox can be used again', { folder: this.#folders.dir });
          this.#complaint = undefined;
          return ms;
        },
        (error: unknown) => this.#complain(error),
      );
      await this.#sleep(this.#again ? BREATH_MS : wait);
    }
    this.#watcher?.fs.close();
  }

  /** complain logs a state of the folder once, not at each look. */
  #complain(cause: unknown): number {
    const error = this.#folders.failure(cause);
    if (this.#complaint !== error.message) this.#options.log.error('inbox cannot be used', { error });
    this.#complaint = error.message;
    return this.#options.pollMs;
  }

  #sleep(ms: number): Promise<void> {
    this.#again = false;
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(ms, () => this.#wake?.());
      this.#wake = () => {
        this.#wake = undefined;
        cancel();
        resolve();
      };
    });
  }

  #watch(ino: bigint): void {
    if (this.#watcher?.ino === ino) return;
    this.#watcher?.fs.close();
    this.#watcher = undefined;
    try {
      const fs = watch(this.#folders.dir, () => this.#reported());
      fs.on('error', () => fs.close());
      this.#watcher = { fs, ino };
    } catch (error) {
      // No watches left, or a file system without: looking every pollMs does it too.
      this.#options.log.debug('inbox cannot be watched', { folder: this.#folders.dir, error });
    }
  }

  #reported(): void {
    if (this.#again) return;
    this.#again = true;
    if (this.#wake) this.#options.clock.after(BREATH_MS, () => this.#wake?.());
  }

  /** look goes through the folders once and tells after how many ms it has to again. */
  async #look(work: Work): Promise<number> {
    const { clock, pollMs, quietMs } = this.#options;
    this.#watch(await this.#folders.ready());
    const now = clock.monotonic();
    const inWork = new Set(await this.#folders.inWork());
    for (const name of inWork) if ((this.#later.get(name)?.at ?? now) <= now) this.#start(name, work);
    const dropped = await this.#folders.dropped();
    this.#wonder();
    let unsettled = false;
    this.#blocked = false;
    for (const file of dropped) {
      if (this.#stopped) break;
      if (!this.#settled(file, now)) unsettled = true;
      // A file of the same name is being worked: this one waits for its turn.
      else if (inWork.has(file.name)) this.#blocked = true;
      else if (await this.#folders.take(file)) {
        inWork.add(file.name);
        this.#seen.delete(file.key);
        this.#start(file.name, work);
      }
    }
    const keys = new Set(dropped.map(({ key }) => key));
    for (const key of this.#seen.keys()) if (!keys.has(key)) this.#seen.delete(key);
    const next = Math.min(pollMs, ...[...this.#later.values()].map(({ at }) => Math.max(BREATH_MS, at - now)));
    return unsettled ? Math.min(next, quietMs + BREATH_MS) : next;
  }

  /** Somebody who drops a link or a folder waits for it to be taken, so it is said once that it never will be. */
  #wonder(): void {
    const { odd } = this.#folders;
    for (const name of odd)
      if (!this.#odd.has(name))
        this.#options.log.warn('what is no plain file is left alone in the inbox; drop a copy of the file', { name });
    this.#odd = odd;
  }

  /** settled tells whether the file has looked the same for long enough. */
  #settled({ key, stats: { size, mtimeMs, ino } }: Dropped, now: number): boolean {
    const seen = this.#seen.get(key);
    if (seen && seen.size === size && seen.mtimeMs === mtimeMs && seen.ino === ino)
      return now - seen.since >= this.#options.quietMs;
    this.#seen.set(key, { size, mtimeMs, ino, since: now });
    return false;
  }

  /** start has a file in inproc worked as soon as a hand is free. */
  #start(name: string, work: Work): void {
    if (this.#working.has(name)) return;
    this.#queued.add(name);
    this.#hand(work);
  }

  #hand(work: Work): void {
    for (const name of this.#queued) {
      if (this.#stopped || this.#working.size >= HANDS) return;
      this.#queued.delete(name);
      const done = this.#workOn(name, work)
        .catch((error: unknown) => this.#postpone(name, error))
        .finally(() => {
          this.#working.delete(name);
          if (this.#blocked) this.#reported();
          this.#hand(work);
        });
      this.#working.set(name, done);
    }
  }

  async #workOn(name: string, work: Work): Promise<void> {
    const { clock, quietMs, log } = this.#options;
    try {
      const bytes = await this.#folders.read(name);
      if (bytes === 'changed') {
        this.#later.set(name, { at: clock.monotonic() + quietMs, tries: 0 });
        return this.#reported();
      }
      if (bytes) await work({ name, path: this.#folders.inWorkPath(name), bytes });
    } catch (error) {
      if (!this.#isHopeless(name, error)) throw error;
      const bad = await this.#folders.reject(name, this.#reason(error));
      log.warn('file in the inbox rejected', { folder: this.#folders.dir, name: bad, error });
      this.#later.delete(name);
      return;
    }
    await this.#folders.done(name);
    this.#later.delete(name);
  }

  #isHopeless(name: string, error: unknown): boolean {
    if (error instanceof PushpointError) return error instanceof Malformed || error.again === 'never';
    const { code } = error as NodeJS.ErrnoException;
    return code === undefined && (this.#later.get(name)?.tries ?? 0) + 1 >= DEFECTS;
  }

  #reason(error: unknown): string {
    const at = this.#options.clock.now().toISOString();
    if (!(error instanceof PushpointError)) return `${at}\nInternal error: ${(error as Error).message}\n`;
    const lines = [at, `${error.code}: ${error.message}`, error.detail, `Cause: ${error.reason}`, `Remedy: ${error.remedy}`];
    return `${lines.filter((line) => line !== undefined).join('\n')}\n`;
  }

  #postpone(name: string, error: unknown): void {
    const tries = (this.#later.get(name)?.tries ?? 0) + 1;
    const wait = Math.min(FIRST_RETRY_MS * 2 ** (tries - 1), LONGEST_RETRY_MS);
    this.#later.set(name, { at: this.#options.clock.monotonic() + wait, tries });
    this.#options.log.warn('file in the inbox is tried again', { folder: this.#folders.dir, name, tries, waitMs: wait, error });
    this.#reported();
  }
}
