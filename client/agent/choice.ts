import type { Clock } from '#base/clock';
import type { Random } from '#base/random';
import type { ClientLog } from '#client/log';

/** How long one management point is asked first, and what takes that from it (facts E). */
const STICKY_MS = 25 * 3_600_000;
const FAILURES = 5;
const FAILURES_WITHIN_MS = 10 * 60_000;

/** PointClasses are the management points a client knows, by what they are to it. */
export interface PointClasses {
  /** At the secondary in whose boundaries the machine is, which belongs to the assigned site. */
  proxy: readonly string[];
  /** At another primary in whose boundaries the machine is: for content only, the client is unknown there. */
  local: readonly string[];
  /** Of the assigned site, the default one first. */
  assigned: readonly string[];
  /** Of mobileclient.tcf: never forgotten, asked last. */
  anchors: readonly string[];
}

/**
 * PointChoice says which management points are asked in which order: proxy before local before assigned, within a class https before http
 * and otherwise by chance, so that clients spread over equal points. The one that was chosen stays the first for 25 hours, or until it
 * failed five times within ten minutes. One request that fails there goes to the next at once.
 */
export class PointChoice {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: ClientLog;
  #classes: PointClasses = { proxy: [], local: [], assigned: [], anchors: [] };
  #order: string[] = [];
  #until = -Infinity;
  readonly #failures = new Map<string, number[]>();
  /** Points that lost their place, and until when they come last. */
  readonly #last = new Map<string, number>();

  constructor(clock: Clock, random: Random, log: ClientLog) {
    this.#clock = clock;
    this.#random = random;
    this.#log = log;
  }

  /** set tells which points there are; where nothing changed, the choice stays. */
  set(classes: PointClasses): void {
    if (JSON.stringify(classes) === JSON.stringify(this.#classes)) return;
    this.#classes = classes;
    this.#until = -Infinity;
    const { proxy, local, assigned } = classes;
    this.#log.info(`Management points: proxy ${list(proxy)}, local ${list(local)}, assigned ${list(assigned)}`);
  }

  /** forMessages is the order for what only the own site understands. */
  forMessages(): string[] {
    if (this.#clock.monotonic() >= this.#until) this.#choose();
    return [...this.#order];
  }

  /** forRegistration is the order for a registration, which the assigned site takes itself. */
  forRegistration(): string[] {
    const { assigned, anchors } = this.#classes;
    return [...new Set([...assigned, ...anchors])];
  }

  /** forContent is the order for files, which any site may give. */
  forContent(): string[] {
    const { proxy, local, assigned, anchors } = this.#classes;
    return [...new Set([...this.#mixed(proxy), ...this.#mixed(local), ...this.#mixed(assigned), ...anchors])];
  }

  /** heard takes note whether a point answered. */
  heard(point: string, answered: boolean): void {
    if (answered) return void this.#failures.delete(point);
    const now = this.#clock.monotonic();
    const recent = [...(this.#failures.get(point) ?? []), now].filter((at) => now - at <= FAILURES_WITHIN_MS);
    this.#failures.set(point, recent.slice(-FAILURES));
    if (recent.length < FAILURES || this.#order[0] !== point || this.#order.length === 1) return;
    this.#log.warn(`${point} failed ${FAILURES} times within ten minutes; another management point is taken`);
    this.#failures.delete(point);
    this.#last.set(point, now + STICKY_MS);
    this.#choose();
  }

  #choose(): void {
    const now = this.#clock.monotonic();
    const { proxy, assigned, anchors } = this.#classes;
    const all = [...new Set([...this.#mixed(proxy), ...this.#mixed(assigned), ...anchors])];
    const isLast = (point: string) => (this.#last.get(point) ?? -Infinity) > now;
    this.#order = [...all.filter((point) => !isLast(point)), ...all.filter(isLast)];
    this.#until = now + STICKY_MS;
    if (this.#order.length > 0) this.#log.info(`Management point of this client: ${this.#order[0]}`);
  }

  #mixed(points: readonly string[]): string[] {
    return points
      .map((point) => ({ point, at: this.#random.fraction() + (point.startsWith('https:') ? 0 : 1) }))
      .sort((a, b) => a.at - b.at)
      .map(({ point }) => point);
  }
}

const list = (points: readonly string[]) => points.join('; ') || 'none';
