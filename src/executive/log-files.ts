import { appendFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';

const LARGEST = 10 * 1024 * 1024;
const LOOK_EVERY = 256;

/**
 * LogFile appends lines to a file and keeps one older one beside it (`.lo_`, as the site server logs of 2003 did) once it grows past 10 MiB.
 * A log that cannot be written never stops the product: the first failure is told on standard error, later ones are dropped.
 */
export class LogFile {
  readonly #path: string;
  #lines = 0;
  #told = false;

  constructor(folder: string, name: string) {
    this.#path = join(folder, name);
  }

  /** write appends a line that carries its own line end. */
  write(line: string): void {
    try {
      if (this.#lines++ % LOOK_EVERY === 0) this.#turnOver();
      appendFileSync(this.#path, line, { mode: 0o600 });
    } catch (error) {
      if (this.#told) return;
      this.#told = true;
      process.stderr.write(
        `pushpoint: the log ${this.#path} cannot be written: ${error instanceof Error ? error.message : String(error)}\n`,
      );
    }
  }

  #turnOver(): void {
    const size = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
    if (size > LARGEST) renameSync(this.#path, this.#path.replace(/\.log$/, '.lo_'));
  }
}
