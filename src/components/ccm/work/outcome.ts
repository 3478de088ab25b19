import { PushpointError, raise, type Code } from '#base/errors';
import { exhausted, weekEnd, type Ccr, type Claimed, type Ended } from '#records/ccr';
import type { SiteSettings } from '#records/site';
import type { CcmParts } from './parts.ts';
import { Waves } from './waves.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** Errors that mean "this machine is not to have it", which is a verdict and not a failure. */
const SKIPS: ReadonlySet<Code> = new Set<Code>([
  'PP_PUSH_EXCLUDED',
  'PP_PUSH_CLIENT_PRESENT',
  'PP_PUSH_CLIENT_OF_OTHER_SITE',
  'PP_PUSH_DOMAIN_CONTROLLER',
  'PP_PUSH_NOT_WINDOWS',
  'PP_PUSH_OS_UNSUPPORTED',
]);

/** Errors that only a change at the site can cure; the change itself wakes the CCR. */
const OF_THE_SITE: ReadonlySet<Code> = new Set<Code>([
  'PP_PUSH_NO_ACCOUNT',
  'PP_PUSH_ACCOUNT_UNREADABLE',
  'PP_PUSH_NO_MANAGEMENT_POINT',
  'PP_PUSH_NO_PACKAGE',
  'PP_PUSH_PACKAGE_PLATFORM',
]);

/**
 * The site's own database was away in the middle of an attempt, or did not come back at the first try: that says nothing of the machine, which
 * must not wait an hour for it.
 */
const OF_THE_DATABASE: ReadonlySet<Code> = new Set<Code>([
  'PP_STORE_UNREACHABLE',
  'PP_STORE_CLOSED',
  'PP_STORE_BUSY',
  'PP_STORE_SLOW',
  'PP_STORE_DISK_FULL',
  'PP_STORE_PASSWORD',
  'PP_STORE_NO_DATABASE',
  'PP_STORE_NO_RIGHTS',
  'PP_STORE_START_FAILED',
  'PP_STORE_HELD',
  'PP_STORE_SHARED',
  'PP_STORE_NO_BINARIES',
  'PP_STORE_CLUSTER_VERSION',
  'PP_STORE_FOLDER',
  'PP_STORE_FOLDER_OWNER',
  'PP_STORE_FOLDER_CLOSED',
  'PP_STORE_SOCKET_FOLDER',
]);
const DATABASE_MS = 30_000;

/** isOfTheDatabase tells whether an error says that the site's own database is away. */
export function isOfTheDatabase(error: unknown): boolean {
  return error instanceof PushpointError && OF_THE_DATABASE.has(error.code);
}

/** How often a CCR whose logon was refused is tried all the same: rarely, because each try counts against the account. */
const WAIT_MS = 24 * HOUR_MS;

/** isOfTheSite tells whether a waiting CCR goes on when something at the site changes; one whose logon was refused only when accounts do. */
export function isOfTheSite(code: string | undefined, what: 'account' | 'site'): boolean {
  if (code === undefined) return false;
  return OF_THE_SITE.has(code as Code) || (what === 'account' && code.startsWith('PP_LOGON_'));
}

type Settings = SiteSettings['ccr'];

/**
 * retryAt is when to try again: on the hours counted from the first attempt, so that a week has its 168 attempts whatever each one took, and
 * spread, so that 10,000 do not wake in the same second. An attempt out of turn moves none of the later ones.
 */
export function retryAt(
  ccr: Pick<Ccr, 'retryIntervalStart' | 'intervalAttempts'>,
  now: Date,
  settings: Settings,
  fraction: number,
): Date {
  const interval = settings.retryMinutes * MINUTE_MS;
  const start = (ccr.retryIntervalStart ?? now).getTime();
  const onTime = start + ccr.intervalAttempts * interval;
  const next = Math.min(Math.max(onTime, now.getTime() + interval / 2), now.getTime() + interval);
  return new Date(next + Math.round((interval * fraction * settings.jitterPercent) / 100));
}

/** Outcomes turns the end of an attempt into the next state of its CCR, by the error's `again` and the week that it has. */
export class Outcomes {
  readonly #parts: Pick<CcmParts, 'ccr' | 'audit' | 'clock' | 'random' | 'log'>;
  readonly #waves: Waves;

  constructor(parts: Pick<CcmParts, 'ccr' | 'audit' | 'clock' | 'random' | 'log'>) {
    this.#parts = parts;
    this.#waves = new Waves(parts);
  }

  /** ended settles an attempt that ended with an error; false when the claim was lost meanwhile. */
  async ended(claimed: Claimed, error: PushpointError, settings: Settings, nextAt?: Date): Promise<boolean> {
    const held = await this.#ended(claimed, error, settings, nextAt);
    if (held && !SKIPS.has(error.code) && !isOfTheDatabase(error)) await this.#waves.failed(claimed.ccr, error.code);
    return held;
  }

  async #ended(claimed: Claimed, error: PushpointError, settings: Settings, nextAt: Date | undefined): Promise<boolean> {
    const { ccr: record, clock, random } = this.#parts;
    if (SKIPS.has(error.code)) return record.claims.skip(claimed, error);
    if (error.again === 'never') return record.claims.fail(claimed, error);
    const now = clock.now();
    if (isOfTheDatabase(error)) return record.claims.release(claimed, new Date(now.getTime() + DATABASE_MS));
    if (exhausted(claimed.ccr, now, settings)) return record.claims.fail(claimed, givenUp(claimed.ccr, error, settings));
    const hourly = nextAt ?? retryAt(claimed.ccr, now, settings, random.fraction());
    const next = within(
      claimed.ccr,
      now,
      error.code.startsWith('PP_LOGON_') && error.again === 'wait' ? new Date(now.getTime() + WAIT_MS) : hourly,
      settings,
    );
    const held =
      error.again === 'wait'
        ? await record.claims.wait(claimed, { error, nextAt: next })
        : await record.claims.retry(claimed, { error, nextAt: next });
    if (held) await this.#event(claimed.ccr, error, settings, now);
    return held;
  }

  /** After a day of failing one event is raised, once for each CCR (facts A1, `Error Event Created`). */
  async #event(ccr: Ccr, error: PushpointError, settings: Settings, now: Date): Promise<void> {
    const { ccr: record, audit, log } = this.#parts;
    const since = ccr.retryIntervalStart ?? now;
    if (ccr.errorEventAt !== undefined || now.getTime() - since.getTime() < settings.eventAfterHours * HOUR_MS) return;
    if (!(await record.claims.markErrorEvent(ccr.id, now))) return;
    log.warn('a CCR has been failing for long', {
      machine: ccr.name,
      attempts: ccr.attempts,
      error: error.code,
      win32: error.win32,
    });
    await audit.write({
      who: 'ccm',
      what: 'ccr.failing',
      object: ccr.name,
      detail: { attempts: ccr.attempts, error: error.code, win32: error.win32 },
    });
  }
}

/** The last try of a week is at its end, not after it, so that the CCR is then given up and does not linger. */
function within(ccr: Ccr, now: Date, next: Date, settings: Settings): Date {
  const end = weekEnd(ccr, settings);
  return end !== undefined && now < end && next > end ? end : next;
}

/** latestDue is how far ahead a CCR may be due by the rules above; later than that it is only after the clock was set back. */
export function latestDue({ retryMinutes, jitterPercent, lockMinutes }: Settings): { retry: number; waiting: number } {
  const retry = retryMinutes * MINUTE_MS * (1 + jitterPercent / 100);
  return { retry, waiting: Math.max(retry, WAIT_MS, (lockMinutes + 1) * MINUTE_MS) };
}

/** The last real error stays with its code, cause and remedy; that it was the last of a week stands in its text. */
function givenUp(ccr: Ccr, last: PushpointError, { windowDays }: Settings): Ended {
  const why = last.detail === undefined ? last.message : `${last.message}; ${last.detail}`;
  const { message } = raise('PP_PUSH_GIVEN_UP', { attempts: ccr.intervalAttempts, days: windowDays, last: why });
  return { code: last.code, win32: last.win32, message, detail: undefined };
}
