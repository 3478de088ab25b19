import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Log } from '#base/log';
import type { Random } from '#base/random';
import type { Link, LinkHandlers, LinkRecord, SiteKey } from '#records/link';
import type { SiteRecord } from '#records/site';
import type { Database } from '#store/database';
import type { HttpPeer } from '#wire/http';
import { Bell } from './bell.ts';
import { contentOf } from './content.ts';
import { Parent } from './parent.ts';
import { Uplink } from './uplink.ts';

/** HierarchyComponentParts is what the component needs; `dial` is how it reaches the parent. */
export interface HierarchyComponentParts {
  database: Database;
  site: SiteRecord;
  link: LinkRecord;
  handlers: LinkHandlers;
  key: SiteKey;
  sealKey: string;
  version: string;
  dial: (o: { url: string; pin: string | undefined }) => HttpPeer;
  clock: Clock;
  random: Random;
  log: Log;
  /** Who this process is among those of the site; the same after a restart, so that it need not wait for its own lease to end. */
  owner?: string | undefined;
  /** How long polls are held, and how long an answer may take beyond that; for tests of lines that are cut. */
  holdMs?: number | undefined;
  patienceMs?: number | undefined;
}

/** The component looks so often for what NOTIFY missed, and renews its lease. */
const ROUND_MS = 10_000;
const LEASE_MS = 35_000;

/**
 * Hierarchy is the `hierarchy` role of a site: it dials the parent and keeps the line, and makes the snapshots that neighbours get after a join
 * or a restore. What children ask is answered by the hierarchy point. Of several processes that have the role, one dials.
 */
export class Hierarchy {
  readonly #parts: HierarchyComponentParts;
  readonly #bell: Bell;
  readonly #owner: string;
  readonly #instance: string;
  readonly #ended = new AbortController();
  #unlisten: () => Promise<void> = async () => {};
  #rounds: Promise<void> = Promise.resolve();
  #line: { parent: Link; speak: Parent; end: AbortController; done: Promise<void> } | undefined;

  constructor(parts: HierarchyComponentParts) {
    this.#parts = parts;
    this.#bell = new Bell(parts.clock);
    this.#owner = parts.owner ?? parts.random.uuid();
    this.#instance = parts.random.uuid();
  }

  async start(): Promise<void> {
    this.#unlisten = await this.#parts.database.listen('link', () => this.#bell.ring());
    this.#rounds = this.#work();
  }

  async stop(): Promise<void> {
    this.#ended.abort(new Error('the hierarchy role ends'));
    await this.#unlisten();
    await this.#rounds;
    await this.#hangUp();
  }

  async #work(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      const rung = this.#bell.next(ROUND_MS, signal);
      try {
        await this.#keepLine();
        await this.#fill();
      } catch (error) {
        if (!signal.aborted) this.#parts.log.error('a round of the hierarchy failed; it goes on', { error });
      }
      await rung.done;
    }
  }

  async #fill(): Promise<void> {
    const { link, handlers, log } = this.#parts;
    for (const peer of await link.line.unfilled()) {
      const items = await link.line.fill(peer, handlers, this.#ended.signal);
      if (items !== undefined) log.info('everything was queued for a neighbour', { site: peer.site, items });
    }
  }

  /** keepLine has the line to the parent run where there is a parent and the lease is ours, and not otherwise. */
  async #keepLine(): Promise<void> {
    const { link } = this.#parts;
    const parent = await link.parent();
    const wanted = parent?.state === 'joined' && (await link.line.lease(parent.site, this.#owner, LEASE_MS));
    const same =
      this.#line &&
      parent?.joinedAt.getTime() === this.#line.parent.joinedAt.getTime() &&
      parent.site === this.#line.parent.site &&
      parent.url === this.#line.parent.url &&
      parent.pin === this.#line.parent.pin;
    if (this.#line && (!wanted || !same)) await this.#hangUp();
    if (wanted && !this.#line && !this.#ended.signal.aborted) await this.#pickUp(parent);
  }

  async #pickUp(parent: Link): Promise<void> {
    const { site, link, handlers, key, sealKey, version, dial, clock, random, log, holdMs, patienceMs } = this.#parts;
    const own = (await site.here()).code;
    const peer = dial({ url: parent.url!, pin: parent.pin });
    const speak = new Parent({ peer, own, parent, key, sealKey, version, clock, random, patienceMs, instance: this.#instance });
    const uplink = new Uplink({
      parent: speak,
      own,
      site: parent.site,
      link,
      handlers,
      bell: this.#bell,
      clock,
      random,
      log,
      holdMs,
      repinned: (signal) => this.#repinned(parent, signal),
    });
    const end = new AbortController();
    const done = uplink
      .run(end.signal)
      .catch((error: unknown) => log.error('the line to the parent ended', { error }))
      .finally(() => peer.close());
    this.#line = { parent, speak, end, done };
  }

  /** repinned asks the parent, over a connection to whoever is there, whether the TLS key shown there is its own; only its signature counts. */
  async #repinned(parent: Link, signal: AbortSignal): Promise<boolean> {
    const { site, link, key, sealKey, version, dial, clock, random, log } = this.#parts;
    const own = (await site.here()).code;
    const peer = dial({ url: parent.url!, pin: undefined });
    try {
      const speak = new Parent({ peer, own, parent, key, sealKey, version, clock, random, instance: this.#instance });
      const pin = await speak.vouched(signal);
      if (pin === '' || pin !== peer.shown) return false;
      await link.repin(parent.site, pin);
      log.warn('the parent has another TLS key, and vouches for it with the key of its site', { parent: parent.site, pin });
      this.#bell.ring();
      return true;
    } catch {
      // What is wrong stands in the state of the line already.
      return false;
    } finally {
      peer.close();
    }
  }

  /** fetchContent reads a content of the parent from an octet on, in signed pieces, and goes on where the line was cut; who stores it holds the bytes against the hash. */
  fetchContent(sha256: string, { site, from, size }: { site: string; from: number; size: number }): AsyncGenerator<Uint8Array> {
    const { signal } = this.#ended;
    return contentOf({ sha256, from, size, clock: this.#parts.clock, signal }, async (at, length) => {
      const line = this.#line;
      if (line?.parent.site !== site) throw raise('PP_LINK_NO_WAY', { site });
      return line.speak.piece(sha256, at, length, AbortSignal.any([signal, line.end.signal]));
    });
  }

  async #hangUp(): Promise<void> {
    const line = this.#line;
    if (!line) return;
    this.#line = undefined;
    line.end.abort(new Error('the line is hung up'));
    await line.done;
    await this.#parts.link.line.release(line.parent.site, this.#owner).catch(() => {});
  }
}
