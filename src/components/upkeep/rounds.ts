import type { Clock } from '#base/clock';
import type { Database } from '#store/database';

/** RoundsWish is what is done in rounds, and when. */
export interface RoundsWish {
  database: Database;
  clock: Clock;
  /** What tells of changes, and within how many milliseconds the next round looks at them: changes of one moment are seen together. */
  channels: Readonly<Record<string, number>>;
  /** The first round comes after so long. */
  firstMs: number;
  /** What nobody announced is found after so long. */
  roundMs: number;
  work(): Promise<void>;
  failed(error: unknown): void;
}

/** Rounds does one round after the other, sooner when something was announced, and never two at a time. */
export class Rounds {
  readonly #wish: RoundsWish;
  #cancel: () => void = () => {};
  #unlisten: (() => Promise<void>)[] = [];
  #round: Promise<void> = Promise.resolve();
  #soon = Infinity;
  #running = false;
  #stopped = false;

  constructor(wish: RoundsWish) {
    this.#wish = wish;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  async start(): Promise<void> {
    const { database, channels, firstMs } = this.#wish;
    for (const [channel, ms] of Object.entries(channels))
      this.#unlisten.push(await database.listen(channel, () => this.soon(ms)));
    this.soon(firstMs);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    for (const unlisten of this.#unlisten) await unlisten();
    await this.#round;
  }

  /** soon wants a round within so long; what is wanted sooner counts. */
  soon(ms: number): void {
    if (this.#stopped || ms >= this.#soon) return;
    this.#soon = ms;
    if (!this.#running) this.#after(ms);
  }

  #after(ms: number): void {
    this.#cancel();
    if (!this.#stopped) this.#cancel = this.#wish.clock.after(ms, () => this.#look());
  }

  #look(): void {
    this.#running = true;
    this.#soon = Infinity;
    this.#round = this.#wish
      .work()
      .catch((error: unknown) => this.#wish.failed(error))
      .then(() => {
        this.#running = false;
        this.#after(Math.min(this.#soon, this.#wish.roundMs));
      });
  }
}
