import { packLink, LinkRequest, unpackLink, type LinkAnswer } from '#messages';
import type { Link, OutBatch } from '#records/link';
import { pathOf } from './join.ts';
import type { HierarchyParts } from './parts.ts';

/** The longest time that a poll is held without an answer. */
const HOLD_MS = 20_000;

/** Exchange answers the batches of children. */
export class Exchange {
  readonly #parts: HierarchyParts;
  readonly #waiting = new Map<string, Set<() => void>>();
  #unlisten: () => Promise<void> = async () => {};
  #stopped = false;

  constructor(parts: HierarchyParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    this.#unlisten = await this.#parts.database.listen('link', (site) => this.#wake(site));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake('');
    await this.#unlisten();
  }

  /** wake ends the waiting for one site, or for all where something may have been missed. */
  #wake(site: string): void {
    for (const key of site === '' ? [...this.#waiting.keys()] : [site]) for (const go of this.#waiting.get(key) ?? []) go();
  }

  /** answer works off one request of a verified child and gives the octets of the answer. */
  async answer(child: Link, packed: Uint8Array, gone: AbortSignal): Promise<Buffer> {
    const { link, clock, random, version, sealKey, log } = this.#parts;
    const said = await unpackLink(LinkRequest, packed);
    const skewMs = new Date(said.time).getTime() - clock.now().getTime();
    let session = said.session;
    let ack: LinkAnswer['ack'];
    let batch: OutBatch | undefined;
    if (said.what === 'begin') {
      session = random.uuid();
      const { copies, ...mark } = await link.line.begin(child.site, session, said.instance);
      ack = mark;
      if (copies) log.warn('two servers of one site speak in turns; one of them is a copy', { site: child.site });
    } else if (said.what === 'send') ack = await this.#take(child, said);
    else batch = await this.#next(child, said, gone);
    await link.line.heard(child.site, { version: said.version, sealKey: said.sealKey, skewMs });
    const own = await this.#parts.site.here();
    const head = { version, sealKey, session, time: clock.now().toISOString(), path: await pathOf(this.#parts, own), ack };
    return packLink(answerText(head, batch));
  }

  async #take(child: Link, { batch, session }: LinkRequest): Promise<LinkAnswer['ack']> {
    const { link, handlers, log } = this.#parts;
    const taken = await link.line.receive(child.site, batch ?? { stream: 0, first: 1, items: [] }, handlers, session);
    if (taken.rejected > 0) log.warn('items from a child were put aside', { site: child.site, items: taken.rejected });
    return taken.mark;
  }

  async #next(child: Link, { session, turn, ack, waitMs }: LinkRequest, gone: AbortSignal): Promise<OutBatch | undefined> {
    const { link, log, clock } = this.#parts;
    const until = clock.monotonic() + Math.min(waitMs, this.#parts.holdMs ?? HOLD_MS);
    let acked = ack;
    for (;;) {
      // Asked before looking, so that what is queued in between is not missed.
      const woken = this.#waits(child.site, until - clock.monotonic(), gone);
      const { batch, restarted } = await link.line
        .next(child.site, { acked, items: true, session: { id: session, turn } })
        .catch((error: unknown) => {
          woken.cancel();
          throw error;
        });
      if (restarted !== undefined) log.warn('everything is sent to a child anew', { site: child.site, why: restarted });
      acked = undefined;
      if (batch || this.#stopped || gone.aborted || clock.monotonic() >= until) {
        woken.cancel();
        return batch;
      }
      await woken.done;
    }
  }

  #waits(site: string, ms: number, gone: AbortSignal): { done: Promise<void>; cancel: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(site) ?? new Set();
    this.#waiting.set(site, waiting);
    const late = this.#parts.clock.after(ms, resolve);
    const go = () => resolve();
    waiting.add(go);
    gone.addEventListener('abort', go, { once: true });
    const done = promise.finally(() => {
      late();
      waiting.delete(go);
      if (waiting.size === 0 && this.#waiting.get(site) === waiting) this.#waiting.delete(site);
      gone.removeEventListener('abort', go);
    });
    return { done, cancel: go };
  }
}

/** answerText writes an answer; the items are text already. */
function answerText(head: Omit<LinkAnswer, 'batch'>, batch: OutBatch | undefined): string {
  const text = JSON.stringify(head);
  if (!batch) return text;
  return `${text.slice(0, -1)},"batch":{"stream":${batch.stream},"first":${batch.first},"items":${batch.items}}}`;
}
