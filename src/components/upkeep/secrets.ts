import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { PolicyRecord } from '#records/policy';
import type { Database } from '#store/database';
import type { Vault } from '#store/vault';
import { Rounds } from './rounds.ts';

/** SecretParts is what it takes to seal secrets for clients. */
export interface SecretParts {
  database: Database;
  policy: PolicyRecord;
  vault: Pick<Vault, 'open'>;
  clock: Clock;
  log: Log;
}

const GATHER_MS = 500;
/** Clients say something all the time. */
const CLIENTS_MS = 5000;
const ROUND_MS = 60_000;

/**
 * PolicySecrets seals the secrets of the policy for each approved client, as soon as it is approved and whenever they change. It runs where
 * the vault opens; the points only hand on what nobody but the client can read.
 */
export class PolicySecrets {
  readonly #parts: SecretParts;
  readonly #rounds: Rounds;

  constructor(parts: SecretParts) {
    this.#parts = parts;
    const { database, clock, log } = parts;
    this.#rounds = new Rounds({
      database,
      clock,
      channels: { policy_secret: GATHER_MS, client: CLIENTS_MS },
      firstMs: GATHER_MS,
      roundMs: ROUND_MS,
      work: () => this.#work(),
      failed: (error) => log.error('secrets could not be sealed for clients; it goes on at the next round', { error }),
    });
  }

  start(): Promise<void> {
    return this.#rounds.start();
  }

  stop(): Promise<void> {
    return this.#rounds.stop();
  }

  async #work(): Promise<void> {
    const { policy, vault, log } = this.#parts;
    let clients = 0;
    for (let some = 1; some > 0 && !this.#rounds.stopped; clients += some)
      some = await policy.sealSecrets((sealed, purpose) => vault.open(sealed, purpose));
    if (clients > 0) log.info('secrets sealed for clients', { clients });
  }
}
