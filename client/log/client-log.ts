import type { TargetHost } from '#client/host';

const two = (n: number) => String(n).padStart(2, '0');
const TAIL_LINES = 60;

/** LogRules is what is written and how much is kept (CCMLOGLEVEL, CCMLOGMAXSIZE, CCMLOGMAXHISTORY; facts D3). */
export interface LogRules {
  /** 0 and 1 = everything, 2 = warnings and errors, 3 = errors only. */
  level: number;
  maxSize: number;
  /** How many full files are kept; the newest is `.lo_`, older ones are `.lo_1`, `.lo_2` … */
  maxHistory: number;
}

/** usualLog is what the original does where nothing is said. */
export const usualLog = (): LogRules => ({ level: 1, maxSize: 250_000, maxHistory: 1 });

/**
 * ClientLog writes a log of the client in the format that CMTrace-class viewers read (facts B3):
 * `<![LOG[text]LOG]!><time="HH:MM:SS.mmm+000" date="MM-DD-YYYY" component="…" context="" type="1" thread="" file="">`. Lines are written in
 * order and in the background; a log that cannot be written never stops the work it tells of. A full log becomes `.lo_`.
 */
export class ClientLog {
  readonly #host: TargetHost;
  readonly #path: string;
  readonly #component: string;
  readonly #rules: LogRules;
  readonly #tail: string[] = [];
  #size: number | undefined;
  #waiting = '';
  #writing: Promise<void> | undefined;

  constructor(host: TargetHost, path: string, component: string, rules: LogRules = usualLog()) {
    this.#host = host;
    this.#path = path;
    this.#component = component;
    this.#rules = rules;
  }

  info(text: string): void {
    this.#line(text, 1);
  }
  warn(text: string): void {
    this.#line(text, 2);
  }
  error(text: string): void {
    this.#line(text, 3);
  }

  /** tail is the last lines, text only, at most `max` characters. */
  tail(max: number): string {
    let text = '';
    for (let i = this.#tail.length - 1; i >= 0 && text.length + this.#tail[i]!.length < max; i--)
      text = `${this.#tail[i]}\n${text}`;
    return text;
  }

  /** flush resolves when all lines so far are written. */
  async flush(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  #line(text: string, type: 1 | 2 | 3): void {
    if (type < this.#rules.level) return;
    const t = this.#host.clock.now();
    const one = text
      .replace(/[\u0000-\u001f\u007f]+/g, ' ')
      .replaceAll(']LOG]!>', '] LOG]!>')
      .slice(0, 4000);
    const time = `${two(t.getUTCHours())}:${two(t.getUTCMinutes())}:${two(t.getUTCSeconds())}.${String(t.getUTCMilliseconds()).padStart(3, '0')}+000`;
    const date = `${two(t.getUTCMonth() + 1)}-${two(t.getUTCDate())}-${t.getUTCFullYear()}`;
    this.#tail.push(`${t.toISOString()} ${one}`);
    if (this.#tail.length > TAIL_LINES) this.#tail.shift();
    this.#waiting += `<![LOG[${one}]LOG]!><time="${time}" date="${date}" component="${this.#component}" context="" type="${type}" thread="1" file="">\r\n`;
    this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    // Who starts it has it noted before anything can end it.
    await Promise.resolve();
    try {
      this.#size ??= (await this.#host.readFile(this.#path))?.length ?? 0;
      while (this.#waiting !== '') {
        const bytes = new TextEncoder().encode(this.#waiting);
        this.#waiting = '';
        if (this.#size > 0 && this.#size + bytes.length > this.#rules.maxSize) await this.#turn();
        await this.#host.appendFile(this.#path, bytes);
        this.#size += bytes.length;
      }
    } catch {
      this.#waiting = '';
    }
    // In the same breath as the look that found nothing waiting: a line that comes a moment later starts another one.
    this.#writing = undefined;
  }

  async #turn(): Promise<void> {
    const old = (n: number) => this.#path.replace(/\.log$/i, n === 1 ? '.lo_' : `.lo_${n - 1}`);
    for (let n = this.#rules.maxHistory; n >= 1; n--) {
      const full = await this.#host.readFile(n === 1 ? this.#path : old(n - 1));
      if (full) await this.#host.writeFile(old(n), full);
    }
    await this.#host.remove(this.#path);
    this.#size = 0;
  }
}
