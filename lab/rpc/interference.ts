import type { Clock } from '#base/clock';
import type { Handler } from './offer.ts';

/** Faulted ends a call with an RPC fault instead of an answer. */
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
  /** Breaks the pipe instead of the call, or when the work is done and the client only lacks the answer. */
  drop?: 'before' | 'after';
  /** The operation returns this Win32 error and does nothing. */
  win32?: number;
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

  /** around works a call as ordered: it delays, refuses or drops it, or lets it be. */
  async around(name: string, handler: Handler, work: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const order = this.#orders.find((o) => o.interface === name && o.opnum === handler.opnum);
    if (!order) return work();
    if (order.times !== undefined && --order.times <= 0) this.#orders = this.#orders.filter((o) => o !== order);
    if (order.delayMs) await this.#clock.sleep(order.delayMs);
    if (order.drop === 'before') throw new Dropped('the pipe was broken on order');
    if (order.fault !== undefined) throw new Faulted(order.fault);
    if (order.win32 !== undefined) return handler.refuse(order.win32);
    const answer = await work();
    if (order.drop === 'after') throw new Dropped('the pipe was broken on order');
    return answer;
  }
}
