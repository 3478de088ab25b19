import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { PolicyRecord } from '#records/policy';
import type { Database } from '#store/database';
import type { Vault } from '#store/vault';

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
  #cancel: () => void = () => {};
  #unlisten: (() => Promise<void>)[] = [];
  #round: Promise<void> = Promise.resolve();
  #soon = Infinity;
  #running = false;
  #stopped = false;

  constructor(parts: SecretParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    const { database } = this.#parts;
    this.#unlisten.push(await database.listen('policy_secret', () => this.#lookSoon(GATHER_MS)));
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
        this.#parts.log.error('secrets could not be sealed for clients; it goes on at the next round', { error }),
      )
      .then(() => {
        this.#running = false;
        this.#after(Math.min(this.#soon, ROUND_MS));
      });
  }

  async #work(): Promise<void> {
    const { policy, vault, log } = this.#parts;
    let clients = 0;
    for (let some = 1; some > 0 && !this.#stopped; clients += some)
      some = await policy.sealSecrets((sealed, purpose) => vault.open(sealed, purpose));
    if (clients > 0) log.info('secrets sealed for clients', { clients });
  }
}
