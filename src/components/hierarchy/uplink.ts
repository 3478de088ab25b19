import type { Clock } from '#base/clock';
import { isCode, PushpointError, raise } from '#base/errors';
import type { Log } from '#base/log';
import type { Random } from '#base/random';
import type { LinkAnswer } from '#messages';
import type { LinkHandlers, LinkRecord } from '#records/link';
import type { Bell } from './bell.ts';
import type { Parent } from './parent.ts';

/** The parent is asked to hold a poll for so long. */
const HOLD_MS = 20_000;
/** What NOTIFY missed is found after so long. */
const LOOK_MS = 15_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 60_000;
/** A clock that is wrong by more is told of in the log. */
const SKEW_MS = 60_000;

/** UplinkParts is what the line to the parent needs. */
export interface UplinkParts {
  parent: Parent;
  /** Codes of this site and of its parent. */
  own: string;
  site: string;
  link: LinkRecord;
  handlers: LinkHandlers;
  bell: Bell;
  clock: Clock;
  random: Random;
  log: Log;
  holdMs?: number | undefined;
  /** repinned tells whether the parent itself vouches for the TLS key that is there now, which then counts: the line is to be made anew. */
  repinned: (signal: AbortSignal) => Promise<boolean>;
}

/** Uplink is the line to the parent, as long as it is wanted: it sends what waits, takes what comes, and comes back when it was cut. */
export class Uplink {
  readonly #parts: UplinkParts;
  #failures = 0;
  #skewed = false;

  constructor(parts: UplinkParts) {
    this.#parts = parts;
  }

  /** run works until the signal aborts, or until the parent says that this site was removed. */
  async run(signal: AbortSignal): Promise<void> {
    const { link, site, clock, log } = this.#parts;
    while (!signal.aborted) {
      try {
        await this.#session(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (isCode(error, 'PP_LINK_REMOVED')) {
          log.warn('the parent removed this site, which goes on alone', { parent: site });
          await link.line.dismissed(site);
          await link.line.failed(site, error);
          return;
        }
        await this.#note(error);
        if (isCode(error, 'PP_LINK_PIN') && (await this.#parts.repinned(signal))) return;
        // A session that ended is no failure unless the next one ends as well.
        const wait = isCode(error, 'PP_LINK_SESSION') && this.#failures === 1 ? 0 : this.#wait();
        await clock.sleep(wait, signal).catch(() => {});
      }
    }
  }

  /** Doubled each time up to a minute, with jitter so that a hundred children do not come at the same instant. */
  #wait(): number {
    const full = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(this.#failures - 1, 10));
    return full * (0.5 + this.#parts.random.fraction() / 2);
  }

  async #note(error: unknown): Promise<void> {
    const { link, site, log } = this.#parts;
    this.#failures++;
    const known = error instanceof PushpointError ? error : undefined;
    const fields = { parent: site, failures: this.#failures, error };
    if (!known) log.error('the line to the parent failed', fields);
    else if (this.#failures === 1)
      log.warn('the line to the parent is down', { ...fields, error: known.message, code: known.code });
    if (known?.code === 'PP_LINK_SESSION') return;
    const shown = known ?? { code: 'PP_DEFECT', message: 'a defect; the log tells more' };
    await link.line
      .failed(site, shown)
      .catch((cause: unknown) => log.error('the state of the line cannot be kept', { error: cause }));
  }

  /** session begins, learns how far the parent has come, and then sends and polls side by side until one of them fails. */
  async #session(signal: AbortSignal): Promise<void> {
    const { parent, link, site } = this.#parts;
    const opened = await parent.exchange({ what: 'begin' }, signal);
    await this.#heard(opened);
    await this.#acknowledged(opened);
    await link.line.next(site, { items: false });
    const end = new AbortController();
    const both = AbortSignal.any([signal, end.signal]);
    const stop = (error: unknown) => {
      end.abort(error);
      throw error;
    };
    const loops = [this.#send(opened.session, both).catch(stop), this.#poll(opened.session, both).catch(stop)];
    const [first] = (await Promise.allSettled(loops)).filter((one) => one.status === 'rejected');
    throw end.signal.aborted ? end.signal.reason : first?.reason;
  }

  async #acknowledged({ ack }: LinkAnswer): Promise<void> {
    const { link, site, log } = this.#parts;
    if (!ack) throw raise('PP_LINK_MALFORMED', { why: 'the answer does not say how far the parent has come' });
    const { restarted } = await link.line.next(site, { acked: ack, items: false });
    if (restarted !== undefined) log.warn('everything is sent to the parent anew', { parent: site, why: restarted });
  }

  async #heard(answer: LinkAnswer): Promise<void> {
    const { link, site, own, clock, log } = this.#parts;
    if (answer.path.includes(own)) throw raise('PP_LINK_LOOP', { code: own, parent: site, why: `${own} is above ${site}` });
    if (this.#failures > 0) log.info('the line to the parent is back', { parent: site, failures: this.#failures });
    this.#failures = 0;
    const skewMs = new Date(answer.time).getTime() - clock.now().getTime();
    if (Math.abs(skewMs) > SKEW_MS && !this.#skewed)
      log.warn('the clocks of this site and its parent are apart', { parent: site, seconds: Math.round(skewMs / 1000) });
    this.#skewed = Math.abs(skewMs) > SKEW_MS;
    await link.line.heard(site, { version: answer.version, sealKey: answer.sealKey, skewMs, path: answer.path });
  }

  async #send(session: string, signal: AbortSignal): Promise<void> {
    const { parent, link, site, bell } = this.#parts;
    while (!signal.aborted) {
      const rung = bell.next(LOOK_MS, signal);
      const { batch } = await link.line.next(site, { items: true });
      if (!batch) {
        await rung.done;
        continue;
      }
      rung.cancel();
      const answer = await parent.exchange({ what: 'send', session, batch }, signal);
      await this.#heard(answer);
      await this.#acknowledged(answer);
      // Nothing was taken: a gap, which the acknowledgement has told, or a parent in trouble. Asking again at once would not help.
      if (answer.ack!.stream !== batch.stream || answer.ack!.seq < batch.first) throw raise('PP_LINK_SESSION');
    }
    signal.throwIfAborted();
  }

  async #poll(session: string, signal: AbortSignal): Promise<void> {
    const { parent, link, site, handlers, log, holdMs = HOLD_MS } = this.#parts;
    let ack = await link.line.mark(site);
    for (let turn = 1; !signal.aborted; turn++) {
      const answer = await parent.exchange({ what: 'poll', session, turn, ack, waitMs: holdMs }, signal);
      await this.#heard(answer);
      if (!answer.batch) continue;
      const taken = await link.line.receive(site, answer.batch, handlers);
      if (taken.rejected > 0) log.warn('items from the parent were put aside', { parent: site, items: taken.rejected });
      ack = taken.mark;
    }
    signal.throwIfAborted();
  }
}
