import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { AuditRecord } from '#records/audit';
import type { PolicyRecord } from '#records/policy';
import type { Database } from '#store/database';
import { Rounds } from './rounds.ts';

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
  readonly #rounds: Rounds;

  constructor(parts: PolicyParts) {
    this.#parts = parts;
    const { database, clock, log } = parts;
    this.#rounds = new Rounds({
      database,
      clock,
      channels: { policy: GATHER_MS, client: CLIENTS_MS },
      firstMs: GATHER_MS,
      roundMs: ROUND_MS,
      work: () => this.#work(),
      failed: (error) => log.error('policies could not be brought forward; it goes on at the next round', { error }),
    });
  }

  start(): Promise<void> {
    return this.#rounds.start();
  }

  stop(): Promise<void> {
    return this.#rounds.stop();
  }

  async #work(): Promise<void> {
    const { policy, log, audit } = this.#parts;
    for (const { id, ended, ...done } of (await policy.advance()) ?? []) {
      if (done.offered + done.done + done.failed > 0) log.info('assignment goes on', { assignment: id, ...done });
      if (done.offered > 0) this.#rounds.soon(GATHER_MS);
      if (!ended) continue;
      log[ended.state === 'stopped' ? 'warn' : 'info'](`assignment ${ended.state}`, { assignment: id, why: ended.why });
      const detail = ended.why === undefined ? {} : { why: ended.why };
      await audit.write({ who: 'site', what: `policy.${ended.state}`, object: String(id), detail });
    }
  }
}
