import { watch, type FSWatcher } from 'node:fs';
import { access, mkdir, readdir, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isLive, type Ccr, type CcrState } from '#records/ccr';
import { nameKey } from '#records/resource';
import { removeDrafts, writeAtomic } from '#store/inbox';
import { writeCcrFile } from '../ccr-file/index.ts';
import type { InboxParts } from './parts.ts';

/** The database is asked for what changed this often; a drop folder need not be quicker. */
const LOOK_MS = 1000;
/** With reports of the system the whole folder is read this often, in case one was lost: with thousands of files that is not for each second. */
const LIST_MS = 60_000;
/** States whose file stands in ccrretry.box: what waits for its next try or for its verification (D4). */
const MIRRORED: ReadonlySet<CcrState> = new Set<CcrState>(['retry', 'waiting', 'verifying']);

interface Shown {
  id: number;
  text: string;
}

/** ccrText is a CCR as the file of 2003 tells it, with true values. */
export function ccrText(ccr: Ccr): string {
  return writeCcrFile({
    machineName: ccr.name,
    domain: ccr.domain || undefined,
    ipAddresses: ccr.addresses,
    resourceNames: ccr.resourceNames.length > 0 ? ccr.resourceNames : [ccr.name],
    forced: ccr.forced,
    pushEvenIfDc: ccr.includeDcs,
    initialRequestDate: ccr.firstRequestedAt,
    latestRequestDate: ccr.requestCount > 1 ? ccr.lastRequestedAt : undefined,
    clientRequestCount: ccr.requestCount > 1 ? ccr.requestCount : undefined,
    processing: {
      latestAttempt: ccr.lastAttemptAt,
      lastErrorCode: ccr.lastErrorCode ?? (ccr.lastAttemptAt && 0),
      attempts: ccr.attempts,
      errorEventCreated: ccr.errorEventAt,
    },
    pushpoint: {
      reinstall: ccr.reinstall,
      inspectOnly: ccr.inspectOnly,
      package: ccr.package,
      requestedBy: ccr.requestedBy,
      state: ccr.state,
      lastError: ccr.lastError,
      nextAttempt: ccr.nextAttemptAt,
      account: ccr.account,
      weekStart: ccr.retryIntervalStart,
    },
  });
}

/**
 * RetryBox keeps inboxes/ccrretry.box in step with the queue: one file for each CCR that is tried again or verified. The database has the
 * truth; at start the files are rewritten from it. While this runs, a file that somebody deletes cancels its CCR.
 */
export class RetryBox {
  readonly #parts: InboxParts;
  readonly #dir: string;
  readonly #files = new Map<string, Shown>();
  readonly #byCcr = new Map<number, string>();
  #cursor: string | undefined;
  #watcher: FSWatcher | undefined;
  /** The system has reported that one of our files is not what it was, or that it cannot tell which one. */
  #suspects = new Set<string>();
  #listNow = true;
  #listAt = 0;
  #poke: () => void = () => {};
  #stopped = false;
  #running: Promise<void> = Promise.resolve();
  #complained = '';

  constructor(parts: InboxParts) {
    this.#parts = parts;
    this.#dir = join(parts.inboxes, 'ccrretry.box');
  }

  start(): void {
    this.#running = this.#run();
  }

  /** rewrite makes the folder what the database says; what was deleted while nobody looked comes back. */
  async #rewrite(): Promise<void> {
    const { cursor } = await this.#parts.ccr.changedSince();
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    await removeDrafts(this.#dir);
    for await (const ccr of this.#parts.ccr.live()) await this.#show(ccr);
    for (const name of await readdir(this.#dir))
      if (!this.#files.has(name) && /\.ccr$/i.test(name)) await unlink(join(this.#dir, name));
    this.#watch();
    this.#cursor = cursor;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#poke();
    await this.#running;
    // Not before: a look that is under way may begin to watch.
    this.#unwatch();
  }

  #watch(): void {
    this.#unwatch();
    try {
      this.#watcher = watch(this.#dir, (_what, name) => this.#reported(name));
      this.#watcher.on('error', () => this.#unwatch());
    } catch {
      // Without reports of the system the polling finds a deletion, a second later.
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  /** What we write is reported as well, so nothing is done at once: a second is soon enough. A name that is not ours may be the folder itself. */
  #reported(name: string | null): void {
    if (name !== null && this.#files.has(name)) this.#suspects.add(name);
    else if (name === null || name === basename(this.#dir)) this.#listNow = true;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        if (this.#cursor === undefined) await this.#rewrite();
        await this.#deleted();
        await this.#changed();
        this.#complained = '';
      } catch (error) {
        this.#complain(error);
      }
      await this.#wait();
    }
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#parts.clock.after(LOOK_MS, resolve);
      this.#poke = () => {
        cancel();
        resolve();
      };
      if (this.#stopped) this.#poke();
    });
  }

  /** The same complaint is logged once, not each second, until it is over. */
  #complain(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (message === this.#complained) return;
    this.#complained = message;
    // The CCRs themselves are in the database and go on; only their files are behind until this is mended.
    this.#parts.log.error('ccrretry.box cannot be kept in step', { folder: this.#dir, error });
    this.#parts.serverLog.line(`---> ERROR: Unable to write to directory "${this.#dir}" for queue "Retry": ${message}`);
  }

  async #listed(): Promise<Set<string>> {
    try {
      return new Set(await readdir(this.#dir));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      // The whole folder is gone: that is an accident, not the wish to cancel everything. The files come back.
      await mkdir(this.#dir, { recursive: true, mode: 0o700 });
      for (const [name, shown] of this.#files) await writeAtomic(join(this.#dir, name), shown.text, 0o640, { lasting: false });
      this.#watch();
      return new Set(await readdir(this.#dir));
    }
  }

  /** mayBeGone tells whether a file can have been deleted since the last look. */
  async #mayBeGone(): Promise<boolean> {
    const { clock } = this.#parts;
    const suspects = [...this.#suspects];
    this.#suspects.clear();
    if (!this.#watcher || this.#listNow || clock.monotonic() >= this.#listAt) {
      this.#listNow = false;
      this.#listAt = clock.monotonic() + LIST_MS;
      return true;
    }
    for (const name of suspects) {
      const isThere = await access(join(this.#dir, name)).then(
        () => true,
        () => false,
      );
      if (!isThere && this.#files.has(name)) return true;
    }
    return false;
  }

  async #deleted(): Promise<void> {
    if (!(await this.#mayBeGone())) return;
    const there = await this.#listed().catch((error: unknown) => {
      this.#listNow = true;
      throw error;
    });
    const gone = [...this.#files].filter(([name]) => !there.has(name));
    if (gone.length === 0) return;
    // Until it is written that they are cancelled, the next look finds them gone again.
    this.#listNow = true;
    const { ccr, audit, database } = this.#parts;
    const ids = gone.map(([, { id }]) => id);
    await database.transaction(async (tx) => {
      const cancelled = await ccr.cancel(ids, 'file deleted from ccrretry.box', tx);
      if (cancelled.length > 0) {
        await audit.write(
          {
            who: 'ccrretry.box',
            what: 'ccr.cancel',
            object: cancelled
              .map((c) => c.name)
              .join(' ')
              .slice(0, 1000),
            detail: { count: cancelled.length },
          },
          tx,
        );
      }
    });
    for (const [name, { id }] of gone) {
      this.#files.delete(name);
      this.#byCcr.delete(id);
    }
  }

  async #changed(): Promise<void> {
    for (;;) {
      const { items, cursor } = await this.#parts.ccr.changedSince(this.#cursor, 500);
      for (const ccr of items) {
        if (isLive(ccr.state) && MIRRORED.has(ccr.state)) await this.#show(ccr);
        // One that is being worked keeps its file, as the original did while it stood in inproc.
        else if (!isLive(ccr.state) || ccr.state === 'queued') await this.#hide(ccr.id);
      }
      this.#cursor = cursor;
      if (items.length < 500) return;
    }
  }

  async #show(ccr: Ccr): Promise<void> {
    if (!MIRRORED.has(ccr.state)) return;
    const name = this.#nameFor(ccr);
    const text = ccrText(ccr);
    if (this.#files.get(name)?.text === text) return;
    await writeAtomic(join(this.#dir, name), text, 0o640, { lasting: false });
    this.#files.set(name, { id: ccr.id, text });
    this.#byCcr.set(ccr.id, name);
  }

  async #hide(id: number): Promise<void> {
    const name = this.#byCcr.get(id);
    if (name === undefined) return;
    this.#byCcr.delete(id);
    this.#files.delete(name);
    await unlink(join(this.#dir, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }

  /** The NetBIOS name; with the domain too when another live CCR has that name already (facts A2: one file for one machine). */
  #nameFor(ccr: Ccr): string {
    const known = this.#byCcr.get(ccr.id);
    if (known !== undefined) return known;
    const name = nameKey(ccr.name);
    const candidates = [`${name}.ccr`, ...(ccr.domain ? [`${name}.${nameKey(ccr.domain)}.ccr`] : [])];
    return candidates.find((file) => !this.#files.has(file)) ?? `${name}.${ccr.id}.ccr`;
  }
}
