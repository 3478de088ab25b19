/**
 * Slots are the places of attempts that work on machines. A machine that did not answer the last time takes one only when it has answered
 * its probe, so that those that are away keep nobody waiting.
 */
export class Slots {
  #used = 0;
  #limit = 1;
  readonly #waiting: (() => void)[] = [];

  /** busy is how many places are taken or wanted. */
  get busy(): number {
    return this.#used + this.#waiting.length;
  }

  /** used is how many places are taken. */
  get used(): number {
    return this.#used;
  }

  /** resize sets how many places there are; those taken above it stay until they are left. */
  resize(limit: number): void {
    this.#limit = limit;
    this.#serve();
  }

  /** open gives the way to one place: `take` waits for it, at most once, `leave` gives it back whether it was had or not. */
  open(): Slot {
    let state: 'none' | 'had' | 'left' = 'none';
    let give: (() => void) | undefined;
    return {
      take: async () => {
        if (state !== 'none' || give) return;
        if (this.#used < this.#limit) {
          this.#used++;
          state = 'had';
          return;
        }
        await new Promise<void>((resolve) => {
          give = () => {
            give = undefined;
            if (state === 'none') {
              this.#used++;
              state = 'had';
            }
            resolve();
          };
          this.#waiting.push(give);
        });
      },
      leave: () => {
        if (state === 'had') this.#used--;
        state = 'left';
        if (give) {
          this.#waiting.splice(this.#waiting.indexOf(give), 1);
          give();
        }
        this.#serve();
      },
    };
  }

  #serve(): void {
    while (this.#used < this.#limit && this.#waiting.length > 0) this.#waiting.shift()!();
  }
}

/** Slot is one place, or the wish for it. */
export interface Slot {
  take(): Promise<void>;
  leave(): void;
}
