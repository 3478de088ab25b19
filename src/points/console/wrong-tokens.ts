import { createHash } from 'node:crypto';
import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { AuditRecord } from '#records/audit';
import { networkOf, Rate } from '#wire/http';

/** So many calls without a valid token at once, and one more every two seconds: enough for a script with an old file, little for a guesser. */
const BURST = 100;
const PER_SECOND = 0.5;
const WINDOW_MS = 60_000;
/** Addresses that are told apart, and tokens that are remembered as good. */
const MOST = 10_000;
const MOST_GOOD = 1000;

/**
 * WrongTokens bounds what one address can try at the console, and brings it into the log and the audit log once a minute and address. A token
 * that was good lately is asked for at the database whatever its neighbours do, so that nobody behind the same address locks people out.
 */
export class WrongTokens {
  readonly #parts: { audit: AuditRecord; clock: Clock; log: Log };
  readonly #rate: Rate;
  readonly #told = new Map<string, { until: number; since: number }>();
  readonly #good = new Set<string>();

  constructor(parts: { audit: AuditRecord; clock: Clock; log: Log }) {
    this.#parts = parts;
    this.#rate = new Rate(parts.clock, BURST, PER_SECOND);
  }

  /** check raises PP_API_RATE where the address has tried too many wrong ones and this token was not good lately. */
  check(token: string | undefined, address: string): void {
    if (token === undefined || !this.#good.has(digest(token))) this.#rate.look(address);
  }

  /** good remembers a token that was valid, by its digest. */
  good(token: string): void {
    const key = digest(token);
    if (this.#good.has(key)) return;
    this.#good.add(key);
    if (this.#good.size > MOST_GOOD) this.#good.delete(this.#good.values().next().value!);
  }

  /** wrong counts a call without a valid token. It never raises: the answer to the call matters more. */
  async wrong(token: string | undefined, address: string): Promise<void> {
    if (token !== undefined) this.#good.delete(digest(token));
    this.#rate.spend(address);
    const network = networkOf(address);
    const now = this.#parts.clock.monotonic();
    const told = this.#told.get(network);
    if (told && now < told.until) {
      told.since++;
      return;
    }
    this.#told.delete(network);
    this.#told.set(network, { until: now + WINDOW_MS, since: 0 });
    if (this.#told.size > MOST) this.#told.delete(this.#told.keys().next().value!);
    const { audit, log } = this.#parts;
    const before = told?.since ?? 0;
    log.warn('calls of the console without a valid token', { address, before });
    try {
      await audit.write({ who: 'anonymous', what: 'console.refused', object: network, detail: { before }, address });
    } catch (error) {
      log.error('a refusal could not be written into the audit log', { address, error });
    }
  }
}

function digest(token: string): string {
  return createHash('sha256').update(token).digest('base64url');
}
