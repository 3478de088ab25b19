import { appendFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';

const LARGEST = 10 * 1024 * 1024;
const LOOK_EVERY = 256;

/**
 * LogFile appends lines to a file and keeps one older one beside it (`.lo_`, as the site server logs of 2003 did) once it grows past 10 MiB.
 * A log that cannot be written, as on a full disk, never stops the product: what is lost is counted, and standard error is told when that
 * begins and when it is over, each time.
 */
export class LogFile {
  readonly #path: string;
  readonly #tell: (line: string) => void;
  #lines = 0;
  #lost = 0;

  constructor(folder: string, name: string, tell: (line: string) => void = (line) => void process.stderr.write(line)) {
    this.#path = join(folder, name);
    this.#tell = tell;
  }

  /** lost is how many lines could not be written since the file could last be written; 0 while all is well. */
  get lost(): number {
    return this.#lost;
  }

  /** write appends a line that carries its own line end. */
  write(line: string): void {
    try {
      if (this.#lines++ % LOOK_EVERY === 0) this.#turnOver();
      // The last line before a full disk may stand there in part: the next one begins on a line of its own.
      appendFileSync(this.#path, this.#lost > 0 ? `\n${line}` : line, { mode: 0o600 });
    } catch (error) {
      if (this.#lost++ > 0) return;
      const why = error instanceof Error ? error.message : String(error);
      this.#tell(`pushpoint: the log ${this.#path} cannot be written, lines are lost: ${why}\n`);
      return;
    }
    if (this.#lost === 0) return;
    this.#tell(`pushpoint: the log ${this.#path} can be written again; ${this.#lost} lines were lost\n`);
    this.#lost = 0;
  }

  #turnOver(): void {
    const size = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
    if (size > LARGEST) renameSync(this.#path, this.#path.replace(/\.log$/, '.lo_'));
  }
}
