import type { Clock } from '#base/clock';

/** Octets in a second of one kilobit in a second. */
const OCTETS = 125;
/** What is sent at once, at a limited rate, lasts no longer than this. */
const SLICE_SECONDS = 0.1;
const LEAST = 4096;

/** Pace lets through so many kilobits in a second and no more, whoever asks; 0 is without a limit. */
class Pace {
  #kilobits: number;
  /** When all that was let through so far has been sent at this rate. */
  #next = 0;

  constructor(kilobits: number) {
    this.#kilobits = kilobits;
  }

  set(kilobits: number): void {
    this.#kilobits = kilobits;
  }

  /** most is how much may be asked for at once, so that one who asks does not make the others wait long. */
  get most(): number {
    return this.#kilobits === 0 ? Infinity : Math.max(LEAST, Math.floor(this.#kilobits * OCTETS * SLICE_SECONDS));
  }

  /** wait is how many milliseconds to wait before so many octets are sent; they count as sent. */
  wait(octets: number, now: number): number {
    if (this.#kilobits === 0) return 0;
    const from = Math.max(this.#next, now);
    this.#next = from + (octets / (this.#kilobits * OCTETS)) * 1000;
    return from - now;
  }
}

/** Rates are the limits that hold now, in kilobits in a second. */
export interface Rates {
  bandwidth: number;
  clientBandwidth: number;
}

/** Paces keeps to the bandwidth of a point, and to that of each client, by its address. */
export class Paces {
  readonly #clock: Clock;
  readonly #all = new Pace(0);
  readonly #clients = new Map<string, { pace: Pace; users: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** enter gives the pace of one download; `leave` must be called at its end. */
  enter(client: string): { most(rates: Rates): number; wait(octets: number, signal: AbortSignal): Promise<void>; leave(): void } {
    const mine = this.#clients.get(client) ?? { pace: new Pace(0), users: 0 };
    mine.users++;
    this.#clients.set(client, mine);
    return {
      most: ({ bandwidth, clientBandwidth }) => {
        this.#all.set(bandwidth);
        mine.pace.set(clientBandwidth);
        return Math.min(this.#all.most, mine.pace.most);
      },
      wait: async (octets, signal) => {
        const now = this.#clock.monotonic();
        const ms = Math.max(this.#all.wait(octets, now), mine.pace.wait(octets, now));
        if (ms > 0) await this.#clock.sleep(ms, signal);
      },
      leave: () => {
        if (--mine.users === 0) this.#clients.delete(client);
      },
    };
  }
}
