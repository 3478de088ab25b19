import type { Clock } from '#base/clock';
import type { Random } from '#base/random';
import type { ClientLog } from '#client/log';

/** How long one management point is asked first, and what takes that from it (facts E). */
const STICKY_MS = 25 * 3_600_000;
const FAILURES = 5;
const FAILURES_WITHIN_MS = 10 * 60_000;
/** How long points that nothing proves come before those that are known to be the site's, and how soon one is asked again that did not answer. */
const TRUSTED_MS = 24 * 3_600_000;
const TRUSTED_AGAIN_MS = 3_600_000;

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
  /** That a proven policy named. */
  proven: readonly string[];
}

/**
 * PointChoice says which management points are asked in which order: proxy before local before assigned, within a class https before http
 * and otherwise by chance, so that clients spread over equal points. The one that was chosen stays the first for 25 hours, or until it
 * failed five times within ten minutes. One request that fails there goes to the next at once.
 *
 * Over plain HTTP anybody on the way can name points. So one of the installation or of a proven policy is asked first whenever such a list
 * has changed, and once a day: what it says takes the place of that list.
 */
export class PointChoice {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: ClientLog;
  #classes: PointClasses = { proxy: [], local: [], assigned: [], anchors: [], proven: [] };
  #isSet = false;
  #trustedDue = Infinity;
  #heardLast: string | undefined;
  #registersAt: string | undefined;
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
    this.#watch(classes);
    this.#classes = classes;
    this.#until = -Infinity;
    const { proxy, local, assigned } = classes;
    this.#log.info(`Management points: proxy ${list(proxy)}, local ${list(local)}, assigned ${list(assigned)}`);
  }

  /** watch makes a trusted point due when others are named than before; the first list of a new client is as good as its assignment. */
  #watch(next: PointClasses): void {
    const [old, now] = [unproven(this.#classes), unproven(next)];
    const isFirst = this.#isSet && this.#classes.assigned.length === 0;
    this.#isSet = true;
    const { proven, anchors } = next;
    if (now.length === 0 || proven.length + anchors.length === 0) this.#trustedDue = Infinity;
    else if (isFirst) this.#trustedDue = this.#clock.monotonic() + TRUSTED_MS;
    else if (now.some((point) => !old.includes(point))) this.#trustedDue = -Infinity;
  }

  /** asksTrusted tells whether the next message goes first to a point that is known to be the site's, because others were named by nobody knows whom. */
  get asksTrusted(): boolean {
    return this.#clock.monotonic() >= this.#trustedDue;
  }

  /** unknownThere takes note that the point that answered last does not know this client: if it is known to be the site's, it is registered there. */
  unknownThere(): void {
    this.#registersAt = trusted(this.#classes).find((point) => point === this.#heardLast);
  }

  /** forMessages is the order for what only the own site understands. */
  forMessages(): string[] {
    if (this.#clock.monotonic() >= this.#until) this.#choose();
    return this.asksTrusted ? [...new Set([...trusted(this.#classes), ...this.#order])] : [...this.#order];
  }

  /** forRegistration is the order for a registration, which the assigned site takes itself. */
  forRegistration(): string[] {
    const { assigned, anchors } = this.#classes;
    return [...new Set([...(this.#registersAt === undefined ? [] : [this.#registersAt]), ...assigned, ...anchors])];
  }

  /** forContent is the order for files, which any site may give. */
  forContent(): string[] {
    const { proxy, local, assigned, anchors } = this.#classes;
    return [...new Set([...this.#mixed(proxy), ...this.#mixed(local), ...this.#mixed(assigned), ...anchors])];
  }

  /** heard takes note whether a point answered. */
  heard(point: string, answered: boolean): void {
    if (answered) this.#heardLast = point;
    if (this.asksTrusted && trusted(this.#classes).includes(point))
      this.#trustedDue = this.#clock.monotonic() + (answered ? TRUSTED_MS : TRUSTED_AGAIN_MS);
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

/** trusted are the points that are known to be the site's, whoever was on the way. */
const trusted = ({ proven, anchors }: PointClasses): string[] => [...proven, ...anchors];

/** unproven are the others that messages go to. */
function unproven(classes: PointClasses): string[] {
  const known = new Set(trusted(classes));
  return [...classes.proxy, ...classes.assigned].filter((point) => !known.has(point));
}

const list = (points: readonly string[]) => points.join('; ') || 'none';
