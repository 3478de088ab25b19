import { PushpointError } from '#base/errors';
import type { AuditRecord } from '#records/audit';
import type { MethodName, Run } from '#records/method';
import type { SiteRecord } from '#records/site';
import type { Database } from '#store/database';
import type { Method, Working } from './method.ts';
import { NetworkMethod, type NetworkParts } from './network/network.ts';

/** DiscoveryParts is what the role `discovery` of a site needs. */
export interface DiscoveryParts extends NetworkParts {
  database: Database;
  site: SiteRecord;
  audit: AuditRecord;
}

/** What was missed by NOTIFY is found after so long. */
const ROUND_MS = 30_000;
/** How often a run says how far it is, and hears whether it was cancelled. */
const KEEP_MS = 1000;

class Ended extends Error {}
const CANCELLED = new Ended('the run was cancelled');
const LOST = new Ended('another process has the run');
const STOPPED = new Ended('the process stops');

/**
 * Discovery is the role that runs the discovery methods: by their schedules, and when somebody wants it. Several processes may have it; each
 * run is done by one of them, and goes on in another one when that ends.
 */
export class Discovery {
  readonly #parts: DiscoveryParts;
  readonly #methods: Record<MethodName, Method>;
  readonly #worker: string;
  readonly #stop = new AbortController();
  #cancelTimer: () => void = () => {};
  #unlisten: () => Promise<void> = async () => {};
  #round: Promise<void> = Promise.resolve();
  #running = false;
  #again = false;
  #hurry: () => void = () => {};

  constructor(parts: DiscoveryParts) {
    this.#parts = parts;
    this.#methods = { network: new NetworkMethod(parts) };
    this.#worker = `${process.pid}-${Buffer.from(parts.random.bytes(8)).toString('hex')}`;
  }

  async start(): Promise<void> {
    this.#unlisten = await this.#parts.database.listen('method_run', () => {
      this.#hurry();
      this.#look();
    });
    this.#look();
  }

  /** stop gives a run under way back; what it has found is handed in. */
  async stop(): Promise<void> {
    this.#stop.abort(STOPPED);
    this.#cancelTimer();
    await this.#unlisten();
    await this.#round;
  }

  get #isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  #look(): void {
    if (this.#isStopped) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    this.#cancelTimer();
    this.#round = this.#work()
      .catch((error: unknown) => {
        this.#parts.log.error('discovery failed; it goes on at the next round', { error });
        return ROUND_MS;
      })
      .then((waitMs) => {
        this.#running = false;
        if (this.#isStopped) return;
        this.#cancelTimer = this.#parts.clock.after(waitMs, () => this.#look());
        if (!this.#again) return;
        this.#again = false;
        this.#look();
      });
  }

  /** It gives how long nothing needs to be looked at. */
  async #work(): Promise<number> {
    const { method, clock } = this.#parts;
    for (;;) {
      await method.requestDue();
      if (this.#isStopped) return ROUND_MS;
      const run = await method.claim(this.#worker);
      if (!run) break;
      await this.#do(run);
    }
    const next = await method.nextDueAt();
    return next ? Math.min(Math.max(next.getTime() - clock.now().getTime(), 50), ROUND_MS) : ROUND_MS;
  }

  async #do(run: Run): Promise<void> {
    const { method, site, log } = this.#parts;
    const ending = new AbortController();
    const onStop = () => ending.abort(STOPPED);
    this.#stop.signal.addEventListener('abort', onStop, { once: true });
    log.info('discovery run begins', { run: run.id, method: run.method, kind: run.kind, addresses: run.total, from: run.done });
    let working: Working | undefined;
    try {
      const here = await site.here();
      working = await this.#methods[run.method].begin({ run, site: here.code, signal: ending.signal });
      const kept = this.#keep(run, working, ending);
      try {
        await working.work();
      } finally {
        await kept();
      }
      await this.#finish(run, 'done');
    } catch (error) {
      if (error === LOST) log.warn('a discovery run was taken over by another process', { run: run.id });
      else if (error === STOPPED) await method.release(run.id, this.#worker);
      else if (error === CANCELLED) await this.#finish(run, 'cancelled');
      else {
        log.error('a discovery run failed', { run: run.id, error });
        const why = error instanceof PushpointError ? error.message : 'a defect; the log of the site server tells more';
        await this.#finish(run, 'failed', why);
      }
    } finally {
      this.#stop.signal.removeEventListener('abort', onStop);
    }
  }

  /** keep writes down again and again how far a run is; the function it gives does so for the last time. */
  #keep(run: Run, working: Working, ending: AbortController): () => Promise<void> {
    const { method, clock, log } = this.#parts;
    let cancel = () => {};
    let saving = Promise.resolve();
    let isOver = false;
    const save = async () => {
      try {
        const { done, report } = working;
        const told = await method.keep(run.id, this.#worker, { done, report });
        if (told === 'cancelled') ending.abort(CANCELLED);
        if (told === 'lost') ending.abort(LOST);
      } catch (error) {
        log.warn('the progress of a discovery run could not be written down', { run: run.id, error });
      }
    };
    const next = () => {
      cancel();
      if (isOver) return;
      saving = saving.then(save).then(() => {
        if (!isOver) cancel = clock.after(KEEP_MS, next);
      });
    };
    next();
    this.#hurry = next;
    return async () => {
      isOver = true;
      this.#hurry = () => {};
      cancel();
      await saving;
      await save();
    };
  }

  async #finish(run: Run, state: 'done' | 'cancelled' | 'failed', error?: string): Promise<void> {
    const ended = await this.#parts.method.finish(run.id, this.#worker, state, error);
    if (!ended) return;
    const { asked, answered, named, machines, connections } = ended.report;
    const found = Object.values(named).reduce((sum, n) => sum + n, 0);
    this.#parts.log.info('discovery run ended', { run: run.id, state, asked, answered, found, connections, ...machines });
    const detail = { method: run.method, kind: run.kind, state, asked, answered, found, ...machines };
    await this.#parts.audit.write({ who: run.wantedBy, what: 'discovery.end', object: `run ${run.id}`, detail });
  }
}
