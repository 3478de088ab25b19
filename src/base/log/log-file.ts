import { appendFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '#base/clock';

const LARGEST = 10 * 1024 * 1024;
const LOOK_EVERY = 256;
/** How long a line may wait for others, so that many at once cost one write. */
const GATHER_MS = 50;
/** So much is written without waiting any longer. */
const MANY = 65_536;

/** Files with lines that wait. However the process ends, short of being killed, they are written. */
const waiting = new Set<LogFile>();
process.on('exit', flushLogs);

/** flushLogs writes the lines that wait, as before the folder of a log is taken away. */
export function flushLogs(): void {
  for (const file of waiting) file.flush();
}

/**
 * LogFile appends lines to a file and keeps one older one beside it (`.lo_`, as the site server logs of 2003 did) once it grows past 10 MiB.
 * A log that cannot be written, as on a full disk, never stops the product: what is lost is counted, and standard error is told when that
 * begins and when it is over, each time. With a clock, lines are written together within 50 ms: a process that is killed may lose its last
 * ones, which the database never does.
 */
export class LogFile {
  readonly #path: string;
  readonly #tell: (line: string) => void;
  readonly #clock: Clock | undefined;
  #pending = '';
  #count = 0;
  #cancel: (() => void) | undefined;
  /** Lines since the size was looked at. */
  #lines = LOOK_EVERY;
  #lost = 0;

  constructor(
    folder: string,
    name: string,
    tell: (line: string) => void = (line) => void process.stderr.write(line),
    clock?: Clock,
  ) {
    this.#path = join(folder, name);
    this.#tell = tell;
    this.#clock = clock;
  }

  /** lost is how many lines could not be written since the file could last be written; 0 while all is well. */
  get lost(): number {
    return this.#lost;
  }

  /** write appends a line that carries its own line end. */
  write(line: string): void {
    this.#pending += line;
    this.#count++;
    if (!this.#clock || this.#pending.length >= MANY) return this.flush();
    if (this.#cancel) return;
    waiting.add(this);
    this.#cancel = this.#clock.after(GATHER_MS, () => this.flush());
  }

  /** flush writes what waits, now. */
  flush(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    waiting.delete(this);
    const [lines, count] = [this.#pending, this.#count];
    this.#pending = '';
    this.#count = 0;
    if (count > 0) this.#append(lines, count);
  }

  #append(lines: string, count: number): void {
    try {
      this.#lines += count;
      if (this.#lines >= LOOK_EVERY) this.#turnOver();
      // The last line before a full disk may stand there in part: the next one begins on a line of its own.
      appendFileSync(this.#path, this.#lost > 0 ? `\n${lines}` : lines, { mode: 0o600 });
    } catch (error) {
      const known = this.#lost > 0;
      this.#lost += count;
      if (known) return;
      const why = error instanceof Error ? error.message : String(error);
      this.#tell(`pushpoint: the log ${this.#path} cannot be written, lines are lost: ${why}\n`);
      return;
    }
    if (this.#lost === 0) return;
    this.#tell(`pushpoint: the log ${this.#path} can be written again; ${this.#lost} lines were lost\n`);
    this.#lost = 0;
  }

  #turnOver(): void {
    this.#lines = 0;
    const size = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
    if (size > LARGEST) renameSync(this.#path, this.#path.replace(/\.log$/, '.lo_'));
  }
}
