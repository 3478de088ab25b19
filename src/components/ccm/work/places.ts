import type { Clock } from '#base/clock';
import type { CcrRecord, Claimed } from '#records/ccr';

/** How soon somebody asks again for the place of an account that was full. */
const AGAIN_MS = 500;

interface Asking {
  claimed: Claimed;
  resolve: (given: boolean) => void;
  reject: (error: unknown) => void;
}

/**
 * Places holds attempts to the cap of the account that each is about to use, over all processes of the site. Those that ask in the same
 * moment go to the database together.
 */
export class Places {
  readonly #ccr: CcrRecord;
  readonly #clock: Clock;
  readonly #asking = new Map<string, Asking[]>();

  constructor(ccr: CcrRecord, clock: Clock) {
    this.#ccr = ccr;
    this.#clock = clock;
  }

  /** take waits until the attempt may use the account. */
  async take(claimed: Claimed, account: string, cap: number, signal: AbortSignal): Promise<void> {
    while (!(await this.#ask(claimed, account, cap))) await this.#clock.sleep(AGAIN_MS, signal);
  }

  #ask(claimed: Claimed, account: string, cap: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const asking = this.#asking.get(account);
      if (asking) return void asking.push({ claimed, resolve, reject });
      this.#asking.set(account, [{ claimed, resolve, reject }]);
      setImmediate(() => void this.#send(account, cap));
    });
  }

  async #send(account: string, cap: number): Promise<void> {
    const asking = this.#asking.get(account)!;
    this.#asking.delete(account);
    try {
      const given = await this.#ccr.claims.useAccount(
        asking.map((a) => a.claimed),
        account,
        cap,
      );
      for (const { claimed, resolve } of asking) resolve(given.has(claimed.ccr.id));
    } catch (error) {
      for (const { reject } of asking) reject(error);
    }
  }
}
