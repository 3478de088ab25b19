import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { AuditRecord } from '#records/audit';
import type { PolicyRecord } from '#records/policy';
import type { Database } from '#store/database';

/** PolicyParts is what the upkeep of policies needs. */
export interface PolicyParts {
  database: Database;
  policy: PolicyRecord;
  audit: AuditRecord;
  clock: Clock;
  log: Log;
}

/** Changes of one moment are judged together. */
const GATHER_MS = 500;
/** Clients say something all the time. */
const CLIENTS_MS = 5000;
/** What nobody announced is found after so long: who has failed by saying nothing, for one. */
const ROUND_MS = 30_000;

/** PolicyUpkeep brings assignments forward: wave after wave, until all have done it, or too many failed. */
export class PolicyUpkeep {
  readonly #parts: PolicyParts;
  #cancel: () => void = () => {};
  #unlisten: (() => Promise<void>)[] = [];
  #round: Promise<void> = Promise.resolve();
  #soon = Infinity;
  #running = false;
  #stopped = false;

  constructor(parts: PolicyParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    const { database } = this.#parts;
    this.#unlisten.push(await database.listen('policy', () => this.#lookSoon(GATHER_MS)));
    this.#unlisten.push(await database.listen('client', () => this.#lookSoon(CLIENTS_MS)));
    this.#lookSoon(GATHER_MS);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    for (const unlisten of this.#unlisten) await unlisten();
    await this.#round;
  }

  /** lookSoon does a round within so long; what is wanted sooner counts. */
  #lookSoon(ms: number): void {
    if (this.#stopped || ms >= this.#soon) return;
    this.#soon = ms;
    if (!this.#running) this.#after(ms);
  }

  #after(ms: number): void {
    this.#cancel();
    if (!this.#stopped) this.#cancel = this.#parts.clock.after(ms, () => this.#look());
  }

  #look(): void {
    this.#running = true;
    this.#soon = Infinity;
    this.#round = this.#work()
      .catch((error: unknown) =>
        this.#parts.log.error('policies could not be brought forward; it goes on at the next round', { error }),
      )
      .then(() => {
        this.#running = false;
        this.#after(Math.min(this.#soon, ROUND_MS));
      });
  }

  async #work(): Promise<void> {
    const { policy, log, audit } = this.#parts;
    for (const { id, ended, ...done } of (await policy.advance()) ?? []) {
      if (done.offered + done.done + done.failed > 0) log.info('assignment goes on', { assignment: id, ...done });
      if (done.offered > 0) this.#soon = GATHER_MS;
      if (!ended) continue;
      log[ended.state === 'stopped' ? 'warn' : 'info'](`assignment ${ended.state}`, { assignment: id, why: ended.why });
      const detail = ended.why === undefined ? {} : { why: ended.why };
      await audit.write({ who: 'site', what: `policy.${ended.state}`, object: String(id), detail });
    }
  }
}
