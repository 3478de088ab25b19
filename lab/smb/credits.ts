/** MOST_CREDITS is how many requests one client may have under way, as Windows' default of 512 for clients' windows. */
const MOST_CREDITS = 512;

/** CreditWindow holds which message ids a client may still use, [MS-SMB2] 3.3.1.1 and 3.3.5.2.3. */
export class CreditWindow {
  #low = 0n;
  #high = 1n;
  readonly #used = new Set<bigint>();

  /** open is how many ids the client has in hand. */
  get open(): number {
    return Number(this.#high - this.#low) - this.#used.size;
  }

  /** use takes `charge` ids from `messageId` on; false means that the client used ids it was not given, or one of them twice. */
  use(messageId: bigint, charge: number): boolean {
    const end = messageId + BigInt(Math.max(1, charge));
    if (messageId < this.#low || end > this.#high) return false;
    for (let id = messageId; id < end; id++) if (this.#used.has(id)) return false;
    for (let id = messageId; id < end; id++) this.#used.add(id);
    while (this.#used.delete(this.#low)) this.#low++;
    return true;
  }

  /** grant gives as many of the asked credits as fit, and at least one to a client that has none left. */
  grant(asked: number): number {
    const room = Math.min(MOST_CREDITS - this.open, 4 * MOST_CREDITS - Number(this.#high - this.#low));
    const given = Math.max(Math.min(Math.max(asked, 1), room), this.open === 0 ? 1 : 0, 0);
    this.#high += BigInt(given);
    return given;
  }
}
