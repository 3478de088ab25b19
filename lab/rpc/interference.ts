import type { Clock } from '#base/clock';
import type { Handler } from './offer.ts';

/** Fault ends a call with an RPC fault instead of an answer. */
export class Faulted extends Error {
  readonly status: number;
  constructor(status: number) {
    super(`RPC fault ${status.toString(16)}`);
    this.status = status;
  }
}

/** Dropped breaks the pipe under a call. */
export class Dropped extends Error {}

/** Injected is what is done to calls of one operation; the first that fits is used up after `times`. */
export interface Injected {
  /** Interface and opnum: `svcctl`, 19. */
  interface: string;
  opnum: number;
  times?: number;
  delayMs?: number;
  fault?: number;
  drop?: boolean;
  /** A whole answer, as when the operation returns a Win32 error. */
  answer?: Uint8Array;
}

/** Interference disturbs calls on order, so that a test can have each kind of failure at each operation. */
export class Interference {
  readonly #clock: Clock;
  #orders: Injected[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** inject adds a disturbance. */
  inject(order: Injected): void {
    this.#orders.push({ ...order });
  }

  /** clear takes all back. */
  clear(): void {
    this.#orders = [];
  }

  /** before is asked before each call; it gives an answer, throws, delays, or does nothing. */
  async before(name: string, handler: Handler): Promise<Uint8Array | undefined> {
    const order = this.#orders.find((o) => o.interface === name && o.opnum === handler.opnum);
    if (!order) return undefined;
    if (order.times !== undefined && --order.times <= 0) this.#orders = this.#orders.filter((o) => o !== order);
    if (order.delayMs) await this.#clock.sleep(order.delayMs);
    if (order.drop) throw new Dropped('the pipe was broken on order');
    if (order.fault !== undefined) throw new Faulted(order.fault);
    return order.answer;
  }
}
