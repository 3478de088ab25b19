import type { Clock } from '#base/clock';

const two = (n: number) => String(n).padStart(2, '0');

/**
 * ServerLog formats lines as the site server logs of 2003 do (facts B3), so that CMTrace-class viewers read them:
 * `<text>~  $$<COMPONENT><MM-DD-YYYY HH:MM:SS.mmm+bias><thread=DEC (0xHEX)>`. Times are UTC, so the bias is +000.
 */
export class ServerLog {
  readonly #clock: Clock;
  readonly #component: string;
  readonly #write: (line: string) => void;

  constructor(clock: Clock, component: string, write: (line: string) => void) {
    this.#clock = clock;
    this.#component = component;
    this.#write = write;
  }

  /** line writes one entry; `thread` tells attempts apart (the slot that works the CCR). What would end the line or look like the end of an
   * entry, such as a name that a machine gives itself, is taken apart. */
  line(text: string, thread = 0): void {
    const t = this.#clock.now();
    const date = `${two(t.getUTCMonth() + 1)}-${two(t.getUTCDate())}-${t.getUTCFullYear()}`;
    const time = `${two(t.getUTCHours())}:${two(t.getUTCMinutes())}:${two(t.getUTCSeconds())}.${String(t.getUTCMilliseconds()).padStart(3, '0')}`;
    const one = text
      .replace(/[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu, ' ')
      .replaceAll('$$<', '$ $<');
    this.#write(
      `${one}~  $$<${this.#component}><${date} ${time}+000><thread=${thread} (0x${thread.toString(16).toUpperCase()})>\r\n`,
    );
  }
}
