import { PushpointError, type Code } from '#base/errors';
import type { Ccr } from '#records/ccr';
import type { CcmParts } from './parts.ts';
import type { Surroundings } from './surroundings.ts';

const ROUND_MS = 60_000;
/** Machines asked in one round, and at once: a bounded rate, whatever the number of those that wait. */
const PER_ROUND = 500;
const AT_ONCE = 32;

/** Errors that say that nobody answered; only then can a machine "show up". */
const ABSENT: ReadonlySet<string> = new Set<Code>(['PP_NET_REFUSED', 'PP_NET_SILENT', 'PP_NET_UNROUTABLE']);
/** A machine that comes and goes is not tried more often than this, or its week would be over in an hour. */
const REST_MS = 10 * 60_000;

/**
 * Presence asks machines that did not answer whether they are back: a bare TCP connection, no credential, no slot of the queue. One that
 * answers is due at once instead of at its hour.
 */
export class Presence {
  readonly #parts: CcmParts;
  readonly #surroundings: Surroundings;
  #cursor: string | undefined;
  #cancel: () => void = () => {};
  #round: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(parts: CcmParts, surroundings: Surroundings) {
    this.#parts = parts;
    this.#surroundings = surroundings;
  }

  start(): void {
    this.#cancel = this.#parts.clock.after(ROUND_MS, () => {
      this.#round = this.#sweep()
        .catch((error: unknown) => this.#parts.log.warn('the presence sweep failed', { error }))
        .finally(() => {
          if (!this.#stopped) this.start();
        });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#round;
  }

  /** One round goes on where the last one ended, through all CCRs in retry. */
  async #sweep(): Promise<void> {
    const { ccr, clock, log } = this.#parts;
    const page = await ccr.list({ state: 'retry', cursor: this.#cursor, limit: PER_ROUND });
    this.#cursor = page.next;
    const rested = clock.now().getTime() - REST_MS;
    const absent = page.items.filter(
      (c) => ABSENT.has(c.lastError ?? '') && c.addresses.length > 0 && (c.lastAttemptAt?.getTime() ?? 0) <= rested,
    );
    const back: number[] = [];
    for (let from = 0; from < absent.length && !this.#stopped; from += AT_ONCE) {
      const answers = await Promise.all(absent.slice(from, from + AT_ONCE).map((c) => this.#answers(c)));
      back.push(...answers.filter((id) => id !== undefined));
    }
    if (back.length === 0) return;
    log.info('machines showed up', { count: back.length });
    await ccr.wake({ ids: back });
  }

  async #answers(ccr: Ccr): Promise<number | undefined> {
    const { network, clock } = this.#parts;
    const { settings } = (await this.#surroundings.here()).site;
    try {
      await network.probe({ address: ccr.addresses[0]!, port: ccr.smbPort ?? 445, timeoutMs: settings.ccr.probeMs, clock });
      return ccr.id;
    } catch (error) {
      if (error instanceof PushpointError) return undefined;
      throw error;
    }
  }
}
