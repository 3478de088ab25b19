import { ABSENT, type Claimed } from '#records/ccr';
import { Journal } from '../journal.ts';
import { Stop } from '../attempt/interrupted.ts';
import { Announcements } from './announcements.ts';
import { CcrWork } from './ccr-work.ts';
import { Lease, RENEW_MS } from './lease.ts';
import { latestDue, Outcomes } from './outcome.ts';
import type { CcmParts } from './parts.ts';
import { Presence } from './presence.ts';
import { openFiles, roomFor, tellRoom } from './descriptors.ts';
import { Slots } from './slots.ts';
import { Surroundings } from './surroundings.ts';
import { WallClock } from './wall-clock.ts';

/** The database is asked this often even when nothing is announced; NOTIFY only makes it quicker. */
const POLL_MS = 10_000;
/** How soon a queue is looked at again whose head is held back, and how long what becomes due is gathered. */
const HELD_MS = 250;
const TOGETHER_MS = 2000;
/** Attempts that end within this time are one reason to look at the queue, where nothing in it waits for their place. */
const ENDED_MS = 250;
/** How many are claimed in one go, so that several processes share a burst. */
const CLAIM = 64;
/** What could not be settled is tried again after this; a defect that meets each attempt of a CCR does not go round without a pause. */
const AGAIN_MS = 30_000;
/** So long after the clock was set back an attempt from before may still be under way. */
const MEND_MS = 10 * 60_000;
/** How long a stop waits for attempts to finish their step before it cuts their connections. */
const GRACE_MS = 10_000;

interface Running {
  claimed: Claimed;
  stop: Stop;
  thread: number;
  done: Promise<void>;
}

/** Ccm is the Client Configuration Manager: it takes due CCRs from the queue and works them off, as many at a time as the site's settings allow. */
export class Ccm {
  readonly #parts: CcmParts;
  readonly #surroundings: Surroundings;
  readonly #work: CcrWork;
  readonly #presence: Presence;
  readonly #slots = new Slots();
  readonly #files = openFiles();
  readonly #running = new Map<number, Running>();
  readonly #threads = new Set<number>();
  readonly #lease: Lease;
  readonly #announcements: Announcements;
  #poke: () => void = () => {};
  #poked = false;
  /** At the last look something was due that did not get a place. */
  #heldBack = true;
  #endedSoon: (() => void) | undefined;
  /** The database may say that this process has CCRs which it does not have: a claim or an outcome did not come through. */
  #doubtful = false;
  readonly #wall: WallClock;
  /** By the monotonic clock: when times are mended next, and until when after a setting back. */
  #mendAt = -Infinity;
  #mendUntil = -Infinity;
  #stopping = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(parts: CcmParts) {
    this.#parts = parts;
    this.#wall = new WallClock(parts.clock);
    this.#surroundings = new Surroundings(parts);
    this.#work = new CcrWork(parts, this.#surroundings, new Outcomes(parts));
    this.#lease = new Lease(parts, { cut: () => this.#cut('lease lost'), anew: () => this.#wake() });
    this.#announcements = new Announcements(parts, this.#surroundings);
    this.#presence = new Presence(parts, this.#surroundings, () => this.#lease.worker, roomFor(1, this.#files).sweep);
  }

  async start(): Promise<void> {
    const { ccr, database, log } = this.#parts;
    const { concurrency } = (await this.#surroundings.here()).site.settings.ccr;
    tellRoom(log, concurrency, roomFor(concurrency, this.#files), this.#files);
    const worker = await this.#lease.take();
    await this.#announcements.listen(
      () => this.#wake(),
      (payload) => this.#stopped(payload),
    );
    this.#lease.keep();
    // What changed while nobody listened.
    await this.#announcements.changed('site');
    await ccr.wake({ heard: true });
    this.#loop = this.#run();
    this.#presence.start();
    log.info('CCM started', { database: database.kind, worker: worker.id });
  }

  /** stop finishes or releases what is under way; after the grace connections are cut. Nothing is lost: what was claimed goes back. */
  async stop(): Promise<void> {
    const { clock } = this.#parts;
    this.#stopping = true;
    this.#lease.endRenewals();
    this.#endedSoon?.();
    for (const running of this.#running.values()) running.stop.ask('stopping');
    this.#wake();
    const cut = clock.after(GRACE_MS, () => this.#cut('stopping'));
    await this.#presence.stop();
    await this.#announcements.end();
    await this.#loop;
    // What a claim that was under way has brought in the meantime.
    for (const running of this.#running.values()) running.stop.ask('stopping');
    await Promise.all([...this.#running.values()].map((running) => running.done));
    cut();
    await this.#lease.leave();
  }

  #cut(why: 'stopping' | 'lease lost'): number {
    for (const running of this.#running.values()) running.stop.force(why);
    return this.#running.size;
  }

  #wake(): void {
    this.#poked = true;
    this.#poke();
  }

  async #run(): Promise<void> {
    const { ccr, clock, log } = this.#parts;
    while (!this.#stopping) {
      this.#poked = false;
      let wait = POLL_MS;
      try {
        if (this.#doubtful) await this.#sortOut();
        await this.#mendTimes();
        const took = await this.#claim();
        const due = await ccr.claims.nextDue();
        const inMs = due === undefined ? POLL_MS : due.getTime() - clock.now().getTime();
        this.#heldBack = inMs <= 0;
        if (took > 0 && inMs <= 0) continue;
        // Something due that was not given is held back by a cap: the end of an attempt wakes this loop. What is due later may be a little
        // late: thousands that wait for their hour are then claimed together and not one by one.
        wait = Math.min(POLL_MS, inMs <= 0 ? HELD_MS : Math.max(inMs, TOGETHER_MS));
      } catch (error) {
        log.error('the queue cannot be read', { error });
        wait = 2000;
      }
      if (!this.#poked && !this.#stopping) await this.#sleep(wait);
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

  /** Between two claims, what is ours in the tables and not under way here is nobody's: without this it would stand at `processing` for ever. */
  async #sortOut(): Promise<void> {
    const { clock, log } = this.#parts;
    const now = clock.now();
    this.#doubtful = false;
    try {
      const count = (await this.#lease.worker?.giveBack([...this.#running.keys()], now, new Date(now.getTime() + AGAIN_MS))) ?? 0;
      if (count > 0) log.warn('CCRs whose outcome could not be written are tried again', { count, inMs: AGAIN_MS });
    } catch (error) {
      this.#doubtful = true;
      throw error;
    }
  }

  async #claim(): Promise<number> {
    const { ccr } = this.#parts;
    const { settings } = (await this.#surroundings.here()).site;
    const room = roomFor(settings.ccr.concurrency, this.#files);
    this.#slots.resize(room.slots);
    // Machines that were away the last time are asked outside of the slots, but not without an end.
    const limit = Math.min(room.slots - this.#slots.busy, room.slots + room.asking - this.#running.size, CLAIM);
    if (limit < 1 || settings.ccr.held || !this.#lease.worker) return 0;
    const caps = { perSubnet: settings.ccr.perSubnet, perAccount: settings.ccr.perAccount, perSite: settings.ccr.perSite };
    const claims = await ccr.claims.take({ worker: this.#lease.worker, limit, caps }).catch((error: unknown) => {
      this.#doubtful = true;
      throw error;
    });
    for (const claimed of claims) this.#begin(claimed);
    return claims.length;
  }

  #begin(claimed: Claimed): void {
    const { ccr, clock, log, serverLog } = this.#parts;
    const { id, name } = claimed.ccr;
    const thread = this.#thread();
    const stop = new Stop();
    ccr.claims.attempt(claimed).lost.addEventListener('abort', () => stop.ask('lease lost'), { once: true });
    // A step that hangs on a dead machine does not hold up a cancellation for long.
    let cut: () => void = () => {};
    stop.soft.addEventListener('abort', () => (cut = clock.after(GRACE_MS, () => stop.force('lease lost'))), { once: true });
    const journal = new Journal(serverLog, thread, `${id}.CCR`, name);
    const slot = this.#slots.open();
    // There is a slot for it, or the claim would not have asked for it.
    if (claimed.purpose === 'verify' || !ABSENT.has(claimed.ccr.lastError ?? '')) void slot.take();
    const done = this.#work
      .run({ claimed, stop, journal, slot })
      .catch((error: unknown) => {
        this.#doubtful = true;
        log.error('working a CCR failed', { machine: name, error });
      })
      .finally(() => {
        cut();
        slot.leave();
        this.#threads.delete(thread);
        if (this.#running.get(id)?.claimed === claimed) this.#running.delete(id);
        this.#ended();
      });
    this.#running.set(id, { claimed, stop, thread, done });
  }

  /** A place is free: who waits for one gets it at once. Else it is only that the CCR itself may be due again. */
  #ended(): void {
    if (this.#heldBack || this.#stopping || this.#running.size === 0) return this.#wake();
    this.#endedSoon ??= this.#parts.clock.after(ENDED_MS, () => {
      this.#endedSoon = undefined;
      this.#wake();
    });
  }

  #thread(): number {
    let thread = 1;
    while (this.#threads.has(thread)) thread++;
    this.#threads.add(thread);
    return thread;
  }

  /** Somebody cancelled or paused CCRs; which ones stands in the announcement. An attempt that is ended in error goes back to the queue. */
  async #stopped(payload: string): Promise<void> {
    if (payload !== '') {
      for (const id of payload.split(',')) this.#running.get(Number(id))?.stop.ask('cancelled');
      return;
    }
    // The line was lost for a while, and announcements with it.
    for (const [id, running] of this.#running) {
      const now = await this.#parts.ccr.byId(id).catch(() => undefined);
      if (now && now.fence !== running.claimed.fence) running.stop.ask('lease lost');
    }
  }

  /** The clock may have been set while this process runs, or before it started. What was under way then settles with its old times a little later. */
  async #mendTimes(): Promise<void> {
    const { ccr, clock, log } = this.#parts;
    const by = this.#wall.moved();
    if (by !== 0) log.warn('the clock of this machine was set, or the machine slept', { byMs: by });
    const monotonic = clock.monotonic();
    if (by > 0) this.#lease.trust();
    if (by < 0) [this.#mendAt, this.#mendUntil] = [monotonic, monotonic + MEND_MS];
    if (monotonic < this.#mendAt) return;
    this.#mendAt = monotonic < this.#mendUntil ? monotonic + RENEW_MS : Infinity;
    const mended = await ccr.claims.setBack(latestDue((await this.#surroundings.here()).site.settings.ccr));
    if (mended > 0) log.warn('CCRs whose times lay in the future are mended', { count: mended });
  }
}
