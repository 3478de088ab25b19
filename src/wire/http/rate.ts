import { isIP } from 'node:net';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';

/** How many networks are remembered; the longest-idle one is forgotten first, which can only make the limiter milder. */
const MOST = 50_000;

interface Bucket {
  left: number;
  at: number;
}

/** plainAddress is the address of a peer without the IPv6 form that a socket for both families gives IPv4 ones. */
export function plainAddress(ip: string | undefined): string {
  const address = ip ?? '';
  return /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(address) ? address.slice(7) : address;
}

/** networkOf is what counts as one sender: an IPv4 address, or the /64 of an IPv6 one, of which any machine has 2^64. */
export function networkOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = address.split('%', 1)[0]!.split('::', 2);
  const before = head === '' ? [] : head.split(':');
  const after = tail ? tail.split(':') : [];
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  const groups = [...before, ...Array<string>(Math.max(zeros, 0)).fill('0'), ...after];
  return `${groups.slice(0, 4).join(':')}::/64`;
}

/** Rate lets each sender do so much at once and so much per second. */
export class Rate {
  readonly #clock: Clock;
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock, burst: number, perSecond: number) {
    this.#clock = clock;
    this.#burst = burst;
    this.#perSecond = perSecond;
  }

  /** take takes one from the sender's bucket, or raises PP_API_RATE with the seconds until there is one again. */
  take(address: string): void {
    this.look(address);
    this.spend(address);
  }

  /** look raises what take would, and takes nothing. What is refused is not counted: who waits as long as he is told gets in. */
  look(address: string): void {
    const left = this.#left(networkOf(address));
    if (left < 1) throw raise('PP_API_RATE', { address, seconds: Math.max(1, Math.ceil((1 - left) / this.#perSecond)) });
  }

  /** spend takes one from the sender's bucket if there is one. */
  spend(address: string): void {
    const key = networkOf(address);
    const left = this.#left(key);
    this.#buckets.delete(key);
    this.#buckets.set(key, { left: left < 1 ? left : left - 1, at: this.#clock.monotonic() });
    if (this.#buckets.size > MOST) this.#buckets.delete(this.#buckets.keys().next().value!);
  }

  #left(key: string): number {
    const old = this.#buckets.get(key);
    if (!old) return this.#burst;
    return Math.min(this.#burst, old.left + ((this.#clock.monotonic() - old.at) / 1000) * this.#perSecond);
  }
}
