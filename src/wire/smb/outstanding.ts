import type { Clock } from '#base/clock';
import type { Message } from './messages/index.ts';

/** PENDING_FACTOR is how many times its timeout a request gets in all once the server has said that the answer comes later. */
const PENDING_FACTOR = 4;

/** Answer is a response with the request it belongs to, as both were on the wire. */
export interface Answer extends Message {
  readonly sent: Uint8Array;
}

/** Outstanding is one request from the call to its final response; it is settled once. */
export class Outstanding {
  readonly command: number;
  readonly doing: string;
  messageId: bigint | undefined;
  /** charge is what it paid. */
  charge: number;
  sent: Uint8Array = new Uint8Array(0);
  /** depth is how many turn-arounds had to come before it, plus its own. */
  depth = 0;
  asyncId: bigint | undefined;
  isSettled = false;
  readonly #clock: Clock;
  readonly #end: number;
  readonly #resolve: (answer: Answer) => void;
  readonly #reject: (error: Error) => void;
  readonly #onTimeout: () => void;
  #cancelTimer: () => void = () => {};
  #turn = 0;

  constructor(o: {
    command: number;
    doing: string;
    charge: number;
    clock: Clock;
    timeoutMs: number;
    resolve: (answer: Answer) => void;
    reject: (error: Error) => void;
    onTimeout: () => void;
  }) {
    this.command = o.command;
    this.doing = o.doing;
    this.charge = o.charge;
    this.#clock = o.clock;
    this.#resolve = o.resolve;
    this.#reject = o.reject;
    this.#onTimeout = o.onTimeout;
    this.#end = o.clock.monotonic() + PENDING_FACTOR * o.timeoutMs;
    this.#arm(o.timeoutMs);
  }

  /** A process that was kept waiting finds its timers due first; what has come in the meantime is heard before it is taken for silence. */
  #arm(ms: number): void {
    const turn = ++this.#turn;
    const late = () => {
      if (!this.isSettled && turn === this.#turn) this.#onTimeout();
    };
    this.#cancelTimer = this.#clock.after(ms, () => setImmediate(late));
  }

  /** interim takes in that the server is at it: there is only one such word, so it gives all the time that there is. */
  interim(asyncId: bigint): void {
    this.asyncId = asyncId;
    if (this.isSettled) return;
    this.#cancelTimer();
    this.#arm(Math.max(0, this.#end - this.#clock.monotonic()));
  }

  answer(message: Message): void {
    if (this.#settle()) this.#resolve({ header: message.header, octets: message.octets, sent: this.sent });
  }

  fail(error: Error): void {
    if (this.#settle()) this.#reject(error);
  }

  #settle(): boolean {
    if (this.isSettled) return false;
    this.isSettled = true;
    this.#cancelTimer();
    return true;
  }
}
