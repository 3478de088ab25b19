import type { Worker } from '#records/ccr';
import type { CcmParts } from './parts.ts';

/** LEASE_MS is how long this process is believed to live without a renewal. */
export const LEASE_MS = 60_000;
/** RENEW_MS is the time between two renewals. */
export const RENEW_MS = 15_000;
/** The end of a lease, in which it is asked for a last time. */
const LAST_MS = 5_000;

/** Held is who works under the lease. */
export interface Held {
  /** Ends all that is under way, because others may have it now, and tells how much that was. */
  cut(): number;
  /** The process is another worker now, and may claim again. */
  anew(): void;
}

/**
 * Lease is by what other processes know that this one lives. Without it nothing of it may go on, because they take over what it had.
 */
export class Lease {
  readonly #parts: CcmParts;
  readonly #held: Held;
  #worker: Worker | undefined;
  #ending = false;
  /** By the monotonic clock: until when nobody is taken for dead, after the time was set forward. */
  #trustUntil = -Infinity;
  #cancelRenewal: () => void = () => {};
  #cancelWatch: () => void = () => {};
  #renewing: Promise<void> = Promise.resolve();

  constructor(parts: CcmParts, held: Held) {
    this.#parts = parts;
    this.#held = held;
  }

  /** worker is this process in the eyes of the queue. */
  get worker(): Worker | undefined {
    return this.#worker;
  }

  /** take makes this process known, and takes over what dead ones had. */
  async take(): Promise<Worker> {
    const { ccr, log } = this.#parts;
    this.#worker = await ccr.claims.registerWorker('ccm', LEASE_MS);
    const freed = await ccr.claims.reclaimDead();
    if (freed > 0) log.info('took over CCRs of a process that ended', { count: freed });
    return this.#worker;
  }

  /** keep renews it from now on. */
  keep(): void {
    this.#watch();
    this.#renewal();
  }

  /** trust takes nobody for dead for a while: after a clock was set forward the leases of others look old until they have been renewed. */
  trust(): void {
    this.#trustUntil = this.#parts.clock.monotonic() + LEASE_MS;
  }

  /** endRenewals stops the timers; the lease goes on until leave. */
  endRenewals(): void {
    this.#ending = true;
    this.#cancelRenewal();
    this.#cancelWatch();
  }

  /** leave tells the last figures and gives the lease back. */
  async leave(): Promise<void> {
    await this.#renewing;
    await this.#parts.ccr.claims.flush().catch(() => {});
    if (this.#worker) await this.#parts.ccr.claims.tellMeter(this.#worker).catch(() => {});
    await this.#worker?.leave(this.#parts.clock.now());
  }

  #renewal(): void {
    this.#cancelRenewal = this.#parts.clock.after(RENEW_MS, () => {
      void this.#renewInTurn()
        .catch((error: unknown) => this.#parts.log.error('the lease cannot be renewed', { error }))
        .finally(() => {
          if (!this.#ending) this.#renewal();
        });
    });
  }

  /** One renewal at a time: of two on the way the older one could arrive last. */
  #renewInTurn(): Promise<void> {
    const turn = this.#renewing.then(() => this.#renew());
    this.#renewing = turn.catch(() => {});
    return turn;
  }

  /**
   * Without a renewal in time others believe this process dead: then nothing of it may go on. A machine that slept finds all its timers due
   * at once, so the lease is asked for a last time; only what is not granted within its last seconds is lost.
   */
  #watch(): void {
    this.#cancelWatch();
    this.#cancelWatch = this.#parts.clock.after(LEASE_MS - LAST_MS, () => {
      this.#cancelWatch = this.#parts.clock.after(LAST_MS, () => this.#lost());
      this.#renewInTurn().catch(() => this.#lost());
    });
  }

  #lost(): void {
    const running = this.#held.cut();
    this.#parts.log.error('the lease could not be renewed in time, attempts are ended', { running });
  }

  async #renew(): Promise<void> {
    const { ccr, clock, log } = this.#parts;
    const until = new Date(clock.now().getTime() + LEASE_MS);
    await ccr.claims.tellMeter(this.#worker!);
    const held = await ccr.claims.renew(this.#worker!, until);
    if (!held) {
      // Declared dead, as after a long hang: what was ours is somebody else's now.
      this.#held.cut();
      log.warn('this process was taken for dead and registers anew');
      const old = this.#worker;
      this.#worker = await ccr.claims.registerWorker('ccm', LEASE_MS);
      await old?.leave(clock.now());
      this.#held.anew();
    }
    if (!this.#ending) this.#watch();
    // A process that slept in between would find itself dead; the next renewal tells.
    const now = clock.now();
    if (now < until && clock.monotonic() > this.#trustUntil) await ccr.claims.reclaimDead(now);
  }
}
