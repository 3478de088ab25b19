import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { CollectionRecord } from '#records/collection';
import type { Database } from '#store/database';
import { Rounds } from './rounds.ts';

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

/** CollectionUpkeep keeps the members of collections right: machines that changed are judged again, and all of them by each collection's schedule. */
export class CollectionUpkeep {
  readonly #parts: CollectionParts;
  readonly #rounds: Rounds;

  constructor(parts: CollectionParts) {
    this.#parts = parts;
    const { database, clock, log } = parts;
    this.#rounds = new Rounds({
      database,
      clock,
      // Whoever changes machines, clients or collections tells so on these.
      channels: { resource: GATHER_MS, client: GATHER_MS, collection: GATHER_MS },
      firstMs: GATHER_MS,
      roundMs: ROUND_MS,
      work: () => this.#work(),
      failed: (error) => log.error('collections could not be brought up to date; it goes on at the next round', { error }),
    });
  }

  start(): Promise<void> {
    return this.#rounds.start();
  }

  stop(): Promise<void> {
    return this.#rounds.stop();
  }

  async #work(): Promise<void> {
    const { collection, log } = this.#parts;
    for (let more = true; more && !this.#rounds.stopped;) ({ more } = await collection.catchUp());
    if (this.#rounds.stopped) return;
    for (const { name, error, ...done } of await collection.evaluateDue()) {
      if (error === undefined) log.info('collection evaluated', { collection: name, ...done });
      else log.warn('collection cannot be evaluated', { collection: name, why: error });
    }
  }
}
