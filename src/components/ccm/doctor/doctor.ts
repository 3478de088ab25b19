import type { Examination } from '#records/doctor';
import { Interrupted, Stop } from '../attempt/interrupted.ts';
import { isOfTheDatabase } from '../work/outcome.ts';
import { Surroundings } from '../work/surroundings.ts';
import { Findings } from './findings.ts';
import { Machine } from './machine.ts';
import type { DoctorParts } from './parts.ts';
import { Server } from './server.ts';

/** The table is asked this often even when nothing is announced. */
const POLL_MS = 10_000;
/** People wait for each of them, so a few go side by side. */
const AT_ONCE = 8;
const KEEP_MS = 1_000;
/** No examination may take longer; each single look has a limit of its own. */
const LIMIT_MS = 5 * 60_000;

/** Doctor takes examinations that people ask for at a point, makes them, and writes down what was found while it goes. */
export class Doctor {
  readonly #parts: DoctorParts;
  readonly #machine: Machine;
  readonly #surroundings: Surroundings;
  readonly #worker: string;
  readonly #running = new Map<number, { stop: Stop; done: Promise<void> }>();
  #ends: (() => Promise<void>)[] = [];
  #poke: () => void = () => {};
  #poked = false;
  #stopping = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(parts: DoctorParts) {
    this.#parts = parts;
    this.#surroundings = new Surroundings(parts);
    this.#machine = new Machine(parts, this.#surroundings);
    this.#worker = parts.random.uuid();
  }

  async start(): Promise<void> {
    const { database } = this.#parts;
    this.#ends.push(await database.listen('doctor', () => this.#wake()));
    for (const channel of ['account', 'site_settings', 'package'])
      this.#ends.push(await database.listen(channel, () => this.#surroundings.forget()));
    this.#loop = this.#run();
  }

  /** stop ends what is under way; another process, or the next one, begins those anew. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const { stop } of this.#running.values()) stop.force('stopping');
    this.#wake();
    for (const end of this.#ends.splice(0)) await end();
    await this.#loop;
    for (const { stop } of this.#running.values()) stop.force('stopping');
    await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  #wake(): void {
    this.#poked = true;
    this.#poke();
  }

  async #run(): Promise<void> {
    const { doctor, log } = this.#parts;
    while (!this.#stopping) {
      this.#poked = false;
      try {
        while (!this.#stopping && this.#running.size < AT_ONCE) {
          const claimed = await doctor.claim(this.#worker);
          if (!claimed) break;
          this.#begin(claimed);
        }
      } catch (error) {
        log.error('the examinations that people asked for cannot be read', { error });
      }
      if (!this.#poked && !this.#stopping) await this.#sleep(POLL_MS);
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#parts.clock.after(ms, resolve);
      this.#poke = () => {
        cancel();
        resolve();
      };
    });
  }

  #begin(claimed: Examination): void {
    const stop = new Stop();
    const done = this.#examine(claimed, stop)
      .catch((error: unknown) => this.#parts.log.error('an examination could not be written down', { doctor: claimed.id, error }))
      .finally(() => {
        this.#running.delete(claimed.id);
        this.#wake();
      });
    this.#running.set(claimed.id, { stop, done });
  }

  async #examine(claimed: Examination, stop: Stop): Promise<void> {
    const { doctor, clock, log } = this.#parts;
    const findings = new Findings(clock, log.with({ doctor: claimed.id }), stop.hard);
    const over = clock.after(LIMIT_MS, () => stop.force('lease lost'));
    const kept = this.#keep(claimed, findings, stop);
    let error: string | undefined;
    try {
      if (claimed.host === undefined) await new Server(this.#parts).examine(findings, { signal: stop.hard });
      else await this.#machine.examine({ id: claimed.id, host: claimed.host, logon: claimed.logon }, findings, stop);
    } catch (thrown) {
      if (this.#stopping) {
        await kept();
        await doctor.release(claimed.id, this.#worker);
        return;
      }
      if (isOfTheDatabase(thrown)) throw thrown;
      error = thrown instanceof Interrupted ? `it took longer than ${LIMIT_MS / 60_000} minutes` : (thrown as Error).message;
      log.error('an examination failed', { doctor: claimed.id, error: thrown });
    } finally {
      over();
      await kept();
    }
    await doctor.finish(claimed.id, this.#worker, findings.checks, error);
  }

  /** What was found so far is written down while it goes on, for people who wait; that keeps the lease as well. */
  #keep({ id }: Examination, findings: Findings, stop: Stop): () => Promise<void> {
    const { doctor, clock, log } = this.#parts;
    let over = false;
    let cancel: () => void = () => {};
    let writing: Promise<void> = Promise.resolve();
    const write = async () => {
      try {
        if (!(await doctor.keep(id, this.#worker, findings.checks))) stop.force('lease lost');
      } catch (error) {
        log.warn('what an examination found so far could not be written', { doctor: id, error });
      }
      if (!over) next();
    };
    const next = () => (cancel = clock.after(KEEP_MS, () => void (writing = write())));
    next();
    return async () => {
      over = true;
      cancel();
      await writing;
    };
  }
}
