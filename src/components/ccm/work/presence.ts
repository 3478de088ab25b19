import { PushpointError } from '#base/errors';
import type { AbsentCcr, Worker } from '#records/ccr';
import type { CcmParts } from './parts.ts';
import type { Surroundings } from './surroundings.ts';

const ROUND_MS = 15_000;
const ROUNDS_A_MINUTE = 60_000 / ROUND_MS;
/** Who has the sweep and says nothing for so long has lost it to another process. */
const LEASE_MS = 4 * ROUND_MS;
/** What a round has not come to by then is for the next one. */
const LONGEST_MS = 2 * ROUND_MS;
/** A machine with more addresses than that is asked at the first of them. */
const ADDRESSES = 8;

/**
 * Presence asks machines that did not answer whether they are back: a bare TCP connection, no credential, no slot of the queue. One that
 * answers is due at once instead of at its hour. One process of the site does it at a time, at the rate of the site's settings, so that
 * its cost is the same whatever the number of those that wait.
 */
export class Presence {
  readonly #parts: CcmParts;
  readonly #surroundings: Surroundings;
  readonly #worker: () => Worker | undefined;
  readonly #atMost: number;
  #cancel: () => void = () => {};
  #round: Promise<void> = Promise.resolve();
  #resolving: Promise<unknown> = Promise.resolve();
  #stopped = false;
  readonly #end = new AbortController();

  /** The constructor takes how many connections may be open at a time. */
  constructor(parts: CcmParts, surroundings: Surroundings, worker: () => Worker | undefined, atMost: number) {
    this.#parts = parts;
    this.#surroundings = surroundings;
    this.#worker = worker;
    this.#atMost = atMost;
  }

  start(inMs = ROUND_MS): void {
    const { clock } = this.#parts;
    this.#cancel = clock.after(inMs, () => {
      const from = clock.monotonic();
      this.#round = this.#sweep()
        .catch((error: unknown) => this.#parts.log.warn('the presence sweep failed', { error }))
        .finally(() => {
          // From beginning to beginning, so that silent machines do not slow the round down.
          if (!this.#stopped) this.start(Math.max(1000, ROUND_MS - (clock.monotonic() - from)));
        });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    // What is being asked is asked again by who goes on.
    this.#end.abort();
    await this.#round;
    const worker = this.#worker();
    if (worker) await this.#parts.ccr.absences.leave(worker).catch(() => {});
  }

  /** One round goes on where the last one ended, of whichever process, and round again. */
  async #sweep(): Promise<void> {
    const { ccr, clock, log } = this.#parts;
    const { settings } = (await this.#surroundings.here()).site;
    const worker = this.#worker();
    const count = Math.ceil(settings.ccr.presencePerMinute / ROUNDS_A_MINUTE);
    if (count < 1 || settings.ccr.held || !worker) return;
    const at = await ccr.absences.turn(worker, new Date(clock.now().getTime() + LEASE_MS));
    if (at === undefined) return;
    const absent = await ccr.absences.next(at, count);
    if (absent.length === 0) return;
    const until = clock.monotonic() + LONGEST_MS;
    // So many at once that the round ends in time though all of them are silent.
    const atOnce = Math.min(this.#atMost, Math.max(8, Math.ceil((count * settings.ccr.probeMs * 2) / ROUND_MS)));
    const back: number[] = [];
    let asked = 0;
    while (asked < absent.length && !this.#stopped && clock.monotonic() < until) {
      const some = absent.slice(asked, asked + atOnce);
      const answers = await Promise.all(some.map((c) => this.#answers(c, settings.ccr.probeMs)));
      back.push(...some.filter((_, i) => answers[i]).map((c) => c.id));
      asked += some.length;
    }
    if (this.#stopped) return;
    if (asked > 0) await ccr.absences.done(worker, absent[asked - 1]!.id);
    ccr.claims.meter.add('pushpoint_probes_total', { answer: 'yes' }, back.length);
    ccr.claims.meter.add('pushpoint_probes_total', { answer: 'no' }, asked - back.length);
    if (back.length === 0) return;
    const woken = await ccr.absences.seen({ ids: back });
    ccr.claims.meter.add('pushpoint_woken_total', { by: 'probe' }, woken);
    log.info('machines showed up', { count: back.length, woken });
  }

  /** answers tells whether one of the addresses of a machine answers, one after the other. */
  async #answers(absent: AbsentCcr, timeoutMs: number): Promise<boolean> {
    const { network, clock } = this.#parts;
    try {
      const addresses = absent.addresses.length > 0 ? absent.addresses : await this.#resolve(absent);
      for (const address of addresses.slice(0, ADDRESSES)) {
        try {
          await network.probe({ address, port: absent.port, timeoutMs, clock, signal: this.#end.signal });
          return true;
        } catch (error) {
          if (this.#stopped) return false;
          if (!(error instanceof PushpointError)) throw error;
        }
      }
    } catch (error) {
      if (!(error instanceof PushpointError)) throw error;
    }
    return false;
  }

  /** resolve asks for one name at a time: a name server that is away must not hold up those of the attempts. */
  #resolve({ name, domain }: AbsentCcr): Promise<string[]> {
    const full = domain.includes('.') ? `${name}.${domain}` : name;
    const found = this.#resolving.then(() => this.#parts.network.resolve(full));
    this.#resolving = found.catch(() => {});
    return found;
  }
}
