import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { ClientRecord, Standing } from '#records/client';
import type { DiscoveryRecord, QueuedDdr } from '#records/discovery';
import type { RawDevice, RowOutcome } from '#records/resource';
import type { Database, Sql } from '#store/database';

/** DdmParts is what DDM works with. */
export interface DdmParts {
  database: Database;
  discovery: DiscoveryRecord;
  client: ClientRecord;
  clock: Clock;
  log: Log;
}

/** What was missed by NOTIFY is found after so long. */
const ROUND_MS = 30_000;
/** One transaction takes so many DDRs out of the queue. */
const LIMIT = 500;
const HEARTBEAT = 'heartbeat';

/**
 * Ddm is the role `ddm`: it takes in the DDRs that the points leave in its queue, which are the heartbeats of clients. How far a client is
 * believed is looked up when its DDR is taken in, not when it came. Several processes may have the role; each DDR is taken in by one.
 */
export class Ddm {
  readonly #parts: DdmParts;
  #cancel: () => void = () => {};
  #unlisten: () => Promise<void> = async () => {};
  #round: Promise<void> = Promise.resolve();
  #running = false;
  #again = false;
  #stopped = false;

  constructor(parts: DdmParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    this.#unlisten = await this.#parts.database.listen('ddr', () => this.#look());
    this.#look();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#unlisten();
    await this.#round;
  }

  /** look does a round now, or another one after that which is under way. */
  #look(): void {
    if (this.#stopped) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    this.#cancel();
    this.#round = this.#work()
      .catch((error: unknown) =>
        this.#parts.log.error('heartbeats could not be taken in; they wait for the next round', { error }),
      )
      .then(() => {
        this.#running = false;
        if (this.#stopped) return;
        this.#cancel = this.#parts.clock.after(ROUND_MS, () => this.#look());
        if (!this.#again) return;
        this.#again = false;
        this.#look();
      });
  }

  async #work(): Promise<void> {
    // One that cannot be taken in must not hold up the others: it is found by taking them one at a time, and left for the next round.
    const held: string[] = [];
    let limit = LIMIT;
    while (!this.#stopped) {
      let first: string | undefined;
      try {
        if ((await this.#take({ limit, but: held }, (key) => (first = key))) === 0) return;
        limit = LIMIT;
      } catch (error) {
        if (limit === 1 && first !== undefined) {
          held.push(first);
          this.#parts.log.error('a heartbeat could not be taken in; it waits for the next round', { guid: first, error });
        } else if (first === undefined || held.length >= LIMIT) throw error;
        limit = 1;
      }
    }
  }

  /** take takes some heartbeats out of the queue and in; it tells how many there were. */
  #take(o: { limit: number; but: readonly string[] }, tell: (key: string) => void): Promise<number> {
    const { database, discovery, client, log } = this.#parts;
    return database.transaction(async (tx) => {
      const queued = await discovery.claim(HEARTBEAT, o, tx);
      if (queued.length === 0) return 0;
      tell(queued[0]!.key);
      const standings = await client.standings(
        queued.map(({ key }) => key),
        tx,
      );
      const heard = queued.flatMap((one): Heard[] => {
        const standing = standings.get(one.key);
        return standing && !standing.out ? [{ ...one, standing }] : [];
      });
      for (const [site, some] of Map.groupBy(heard, (one) => one.site))
        for (const trusted of [true, false]) {
          const these = some.filter(({ standing }) => standing.approved === trusted);
          const outcomes = await this.#ingest(these, { site, trusted }, tx);
          outcomes.forEach((one, i) => {
            if (one.outcome === 'rejected') log.warn('heartbeat not taken in', { guid: these[i]!.key, reason: one.reason });
          });
        }
      return queued.length;
    });
  }

  async #ingest(heard: readonly Heard[], o: { site: string; trusted: boolean }, tx: Sql): Promise<RowOutcome[]> {
    if (heard.length === 0) return [];
    const rows = heard.map(({ ddr, standing }): RawDevice => {
      // Nobody but the site says which machine a client is; one that is not approved is no machine of ours.
      return o.trusted ? { ...ddr, resourceId: standing.resourceId } : ddr;
    });
    const { outcomes } = await this.#parts.discovery.take(rows, { source: HEARTBEAT, ...o }, tx);
    if (o.trusted) {
      const pairs = heard.flatMap(({ key, standing }, i) => {
        const one = outcomes[i]!;
        return standing.resourceId === undefined && one.outcome !== 'rejected' ? [{ guid: key, resourceId: one.id }] : [];
      });
      if (pairs.length > 0) await this.#parts.client.attach(pairs, tx);
    }
    return outcomes;
  }
}

type Heard = QueuedDdr & { standing: Standing };
