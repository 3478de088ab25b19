import { raise } from '#base/errors';
import { deploymentOutcome, deploymentStateText, TOPIC } from '#messages';
import type { Ccr, Claimed } from '#records/ccr';
import type { Client, ClientRecord, State } from '#records/client';
import type { SiteSettings } from '#records/site';
import type { AttemptContext } from '../attempt/context.ts';
import { ownEnd } from '../attempt/setup-failure.ts';
import { verify } from '../attempt/verify.ts';
import type { Outcomes } from './outcome.ts';
import type { CcmParts } from './parts.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** The return code of ccmsetup for a failure that has no other (facts D2). */
const SETUP_ERROR = 6;
/** A look that is this early still counts as the one it was meant to be. */
const SLACK_MS = 1000;

/** Looks at CCRs that others ended meanwhile are remembered, but not without an end; to forget one costs a connection. */
const REMEMBERED = 20_000;

/** Looked is the last look after a start. */
interface Looked {
  startedAt: number;
  slot: number;
}

/** slotsPassed counts the looks that are due by now: at the minutes of the settings, then hourly, all from the start of the bootstrap. */
export function slotsPassed(startedAt: Date, now: Date, verifyMinutes: readonly number[]): number {
  const age = now.getTime() - startedAt.getTime() + SLACK_MS;
  return verifyMinutes.filter((m) => age >= m * MINUTE_MS).length + Math.max(0, Math.floor(age / HOUR_MS));
}

/** nextSlot is when to look next. */
export function nextSlot(startedAt: Date, now: Date, verifyMinutes: readonly number[]): Date {
  const age = now.getTime() - startedAt.getTime() + SLACK_MS;
  const early = verifyMinutes.filter((m) => m * MINUTE_MS > age).sort((a, b) => a - b)[0];
  const hourly = (Math.floor(age / HOUR_MS) + 1) * HOUR_MS;
  return new Date(startedAt.getTime() + Math.min(early === undefined ? Infinity : early * MINUTE_MS, hourly));
}

/**
 * reportedIn gives the client that proves a push: it registered with the token of this CCR, or is new since the start. That an old
 * client is heard proves nothing, least of all for a reinstallation.
 */
export async function reportedIn(client: ClientRecord, ccr: Ccr, since: Date): Promise<Client | undefined> {
  const found = await client.since(ccr.resourceId ?? { name: ccr.name, domain: ccr.domain }, since);
  if (!found) return undefined;
  if (found.tokenId !== undefined && (await client.tokenKey(found.tokenId))?.ccrId === ccr.id) return found;
  return found.registeredAt >= since ? found : undefined;
}

type Parts = Pick<CcmParts, 'ccr' | 'client' | 'clock' | 'log'>;

/**
 * Verification proves that a started client runs: what the site heard from the machine counts first and costs no connection; at its
 * times the machine is looked at. An hour after the start a machine without its client counts as another failed try (facts B2, 12).
 */
export class Verification {
  readonly #parts: Parts;
  readonly #outcomes: Outcomes;
  /** Looks done after a start of a CCR, so that a wake between two looks does not connect. */
  readonly #looked = new Map<number, Looked>();

  constructor(parts: Parts, outcomes: Outcomes) {
    this.#parts = parts;
    this.#outcomes = outcomes;
  }

  /** run verifies a claimed CCR; `contextOf` makes the context only when a connection is needed. */
  async run(claimed: Claimed, settings: SiteSettings['ccr'], contextOf: () => Promise<AttemptContext>): Promise<void> {
    const { ccr: record, clock } = this.#parts;
    const startedAt = claimed.ccr.startedAt ?? claimed.ccr.lastAttemptAt ?? clock.now();
    if (await this.heard(claimed, startedAt, settings)) return this.#forget(claimed);
    const slot = slotsPassed(startedAt, clock.now(), settings.verifyMinutes);
    const before = this.#looked.get(claimed.ccr.id);
    if (slot <= (before?.startedAt === startedAt.getTime() ? before.slot : 0)) {
      await record.claims.release(claimed, nextSlot(startedAt, clock.now(), settings.verifyMinutes));
      return;
    }
    const context = await contextOf();
    const result = await verify(context);
    if (this.#looked.size >= REMEMBERED) this.#looked.clear();
    this.#looked.set(claimed.ccr.id, { startedAt: startedAt.getTime(), slot });
    const next = nextSlot(startedAt, clock.now(), settings.verifyMinutes);
    switch (result.kind) {
      case 'complete':
        await record.claims.complete(claimed, result.proof);
        return this.#forget(claimed);
      case 'failed':
        await this.#outcomes.ended(claimed, result.error, settings);
        return this.#forget(claimed);
      case 'interrupted':
        await record.claims.release(claimed);
        return;
      case 'unreached':
        // The machine may be restarting or have gone home; the start is not lost by that.
        if (this.#overdue(claimed, settings, startedAt)) await this.#outcomes.ended(claimed, result.error, settings);
        else await record.claims.requeueVerify(claimed, next, result.error);
        return;
      case 'working':
        if (this.#overdue(claimed, settings, startedAt))
          await this.#outcomes.ended(claimed, this.#notVerified(claimed.ccr, startedAt), settings);
        else await record.claims.requeueVerify(claimed, next);
        return;
      case 'restart':
        return this.#untilRestart(claimed, settings, startedAt, next);
      case 'nothing':
        if (await this.#restartTold(claimed.ccr, startedAt)) return this.#untilRestart(claimed, settings, startedAt, next);
        if (clock.now().getTime() - startedAt.getTime() + SLACK_MS < HOUR_MS)
          return void (await record.claims.requeueVerify(claimed, next));
        await this.#outcomes.ended(claimed, this.#notVerified(claimed.ccr, startedAt), settings, clock.now());
        return this.#forget(claimed);
    }
  }

  /** heard settles a CCR by what the site heard from its machine since the start; false when that says nothing. */
  async heard(claimed: Claimed, startedAt: Date, settings: SiteSettings['ccr']): Promise<boolean> {
    const { client, ccr: record, clock } = this.#parts;
    const { ccr } = claimed;
    const from = clock.monotonic();
    // That a client is heard proves no removal.
    const found = ccr.uninstall ? undefined : await reportedIn(client, ccr, startedAt);
    const step = { name: 'verify', startedAt: clock.now(), durationMs: clock.monotonic() - from };
    if (found) {
      const proof = `client ${found.guid} reported in at ${found.lastSeenAt.toISOString()}`;
      record.claims.attempt(claimed).step({ ...step, outcome: 'ok', detail: proof });
      await record.claims.complete(claimed, proof);
      return true;
    }
    const last = await this.#lastState(ccr, startedAt);
    if (!last || deploymentOutcome(last.stateId) !== 'failed') return false;
    const why = [deploymentStateText(last.stateId), last.detail].filter(Boolean).join(': ');
    const end = ownEnd(ccr.name, last.exitCode ?? SETUP_ERROR, why);
    // A restart that it waits for is no failure: it goes on by itself after it.
    if (end.kind !== 'failed') return false;
    const { error } = end;
    record.claims.attempt(claimed).step({
      ...step,
      outcome: 'failed',
      detail: `state message ${last.stateId}: ${why}`,
      code: error.code,
      win32: error.win32,
    });
    await this.#outcomes.ended(claimed, error, settings);
    return true;
  }

  /** lastState is the newest state message of this push that somebody signed. */
  async #lastState(ccr: Ccr, startedAt: Date): Promise<State | undefined> {
    const who = ccr.resourceId === undefined ? { name: ccr.name } : { resourceId: ccr.resourceId };
    const states = await this.#parts.client.statesOf(who, 10);
    return states.find((s) => s.topicType === TOPIC.clientDeployment && s.proven && s.receivedAt >= startedAt);
  }

  /** restartTold tells whether the bootstrap said last that the machine has to be restarted; its service may be gone by then. */
  async #restartTold(ccr: Ccr, startedAt: Date): Promise<boolean> {
    const last = await this.#lastState(ccr, startedAt);
    return last?.exitCode !== undefined && ownEnd(ccr.name, last.exitCode).kind === 'restart';
  }

  /** untilRestart: the bootstrap did its work, or its part of it, and somebody has to restart the machine; another try would not. */
  async #untilRestart(claimed: Claimed, settings: SiteSettings['ccr'], startedAt: Date, next: Date): Promise<void> {
    const error = raise('PP_PUSH_RESTART_PENDING', { machine: claimed.ccr.name });
    if (!this.#overdue(claimed, settings, startedAt))
      return void (await this.#parts.ccr.claims.requeueVerify(claimed, next, error));
    await this.#outcomes.ended(claimed, error, settings);
    this.#forget(claimed);
  }

  #overdue({ ccr }: Claimed, settings: SiteSettings['ccr'], startedAt: Date): boolean {
    const age = this.#parts.clock.now().getTime() - (ccr.retryIntervalStart ?? startedAt).getTime();
    return age >= settings.windowDays * 24 * HOUR_MS;
  }

  #notVerified(ccr: Ccr, startedAt: Date) {
    const minutes = Math.round((this.#parts.clock.now().getTime() - startedAt.getTime()) / MINUTE_MS);
    return raise('PP_PUSH_NOT_VERIFIED', { machine: ccr.name, minutes });
  }

  #forget({ ccr }: Claimed): void {
    this.#looked.delete(ccr.id);
  }
}
