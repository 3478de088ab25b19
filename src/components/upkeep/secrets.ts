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
  #soon = false;
  #running = false;
  #stopped = false;

  constructor(parts: SecretParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    for (const channel of ['policy_secret', 'client'])
      this.#unlisten.push(await this.#parts.database.listen(channel, () => this.#lookSoon()));
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
        this.#parts.log.error('secrets could not be sealed for clients; it goes on at the next round', { error }),
      )
      .then(() => {
        this.#running = false;
        this.#after(this.#soon ? GATHER_MS : ROUND_MS);
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
