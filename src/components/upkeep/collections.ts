import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { CollectionRecord } from '#records/collection';
import type { Database } from '#store/database';

/** CollectionParts is what the upkeep of collections needs. */
export interface CollectionParts {
  database: Database;
  collection: CollectionRecord;
  clock: Clock;
  log: Log;
}

/** Changes of one moment are judged together, so that a large import is not judged in a thousand small parts. */
const GATHER_MS = 1000;
/** What nobody announced is found after so long, and what is due by its schedule too. */
const ROUND_MS = 15_000;
/** Whoever changes machines, clients or collections tells so on these. */
const CHANNELS = ['resource', 'client', 'collection'] as const;

/** CollectionUpkeep keeps the members of collections right: machines that changed are judged again, and all of them by each collection's schedule. */
export class CollectionUpkeep {
  readonly #parts: CollectionParts;
  #cancel: () => void = () => {};
  #unlisten: (() => Promise<void>)[] = [];
  #round: Promise<void> = Promise.resolve();
  #soon = false;
  #running = false;
  #stopped = false;

  constructor(parts: CollectionParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    for (const channel of CHANNELS) this.#unlisten.push(await this.#parts.database.listen(channel, () => this.#lookSoon()));
    this.#lookSoon();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    for (const unlisten of this.#unlisten) await unlisten();
    await this.#round;
  }

  #lookSoon(): void {
    if (this.#soon || this.#stopped) return;
    this.#soon = true;
    if (!this.#running) this.#after(GATHER_MS);
  }

  #after(ms: number): void {
    this.#cancel();
    if (!this.#stopped) this.#cancel = this.#parts.clock.after(ms, () => this.#look());
  }

  #look(): void {
    this.#running = true;
    this.#soon = false;
    this.#round = this.#work()
      .catch((error: unknown) =>
        this.#parts.log.error('collections could not be brought up to date; it goes on at the next round', { error }),
      )
      .then(() => {
        this.#running = false;
        this.#after(this.#soon ? GATHER_MS : ROUND_MS);
      });
  }

  async #work(): Promise<void> {
    const { collection, log } = this.#parts;
    for (let more = true; more && !this.#stopped;) ({ more } = await collection.catchUp());
    if (this.#stopped) return;
    for (const { name, error, ...done } of await collection.evaluateDue()) {
      if (error === undefined) log.info('collection evaluated', { collection: name, ...done });
      else log.warn('collection cannot be evaluated', { collection: name, why: error });
    }
  }
}
