import type { Clock } from '#base/clock';
import { PushpointError } from '#base/errors';
import type { Log } from '#base/log';
import type { Check, Group, Verdict } from '#records/doctor';
import { Interrupted } from '../attempt/interrupted.ts';

/** About is what one check looks at, before anything came back. */
export interface About {
  group: Group;
  name: string;
  tried: string;
  /** The step of a push that a problem here would end. */
  failsAt?: string | undefined;
}

/** Finding is what came back of it; without a verdict it is well. */
export interface Finding extends Partial<Pick<Check, 'cause' | 'remedy' | 'code' | 'win32'>> {
  verdict?: Verdict;
  found: string;
}

function sentence(error: PushpointError): string {
  return error.detail === undefined ? error.message : `${error.message} (${error.detail})`;
}

/** findingOf is an error as a finding: in the words of the catalogue, so that doctor and the timeline of a CCR say the same. */
export function findingOf(error: PushpointError, verdict: Verdict = 'problem'): Finding {
  return {
    verdict,
    found: sentence(error),
    cause: error.reason,
    remedy: error.remedy,
    code: error.code,
    ...(error.win32 === undefined ? {} : { win32: error.win32 }),
  };
}

/** Findings gathers the checks of one examination in the order in which they were begun. */
export class Findings {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #signal: AbortSignal | undefined;
  readonly #said: Check[] = [];

  /** Once the signal fires, no further look is begun. */
  constructor(clock: Clock, log: Log, signal?: AbortSignal) {
    this.#signal = signal;
    this.#clock = clock;
    this.#log = log;
  }

  get checks(): readonly Check[] {
    return this.#said;
  }

  /** add takes checks that somebody else made. */
  add(checks: readonly Check[]): void {
    this.#said.push(...checks);
  }

  /**
   * look does one check. An error of the catalogue is its finding, a problem; a defect of our own makes it `unknown`, and stands in the log. It
   * tells whether one may go on: false after a problem.
   */
  async look(about: About, work: () => Promise<Finding>): Promise<boolean> {
    this.#signal?.throwIfAborted();
    const from = this.#clock.monotonic();
    let finding: Finding;
    try {
      finding = await work();
    } catch (error) {
      if (error instanceof Interrupted) throw error;
      finding = this.#failed(about, error);
    }
    const { verdict = 'ok', ...rest } = finding;
    const { failsAt, ...what } = about;
    this.#said.push({
      ...what,
      verdict,
      ...rest,
      ...(verdict === 'problem' && failsAt !== undefined ? { failsAt } : {}),
      durationMs: Math.round(this.#clock.monotonic() - from),
    });
    return verdict !== 'problem';
  }

  #failed(about: About, error: unknown): Finding {
    if (error instanceof PushpointError) return findingOf(error);
    this.#log.error('a check of doctor met a defect', { check: about.name, error });
    return {
      verdict: 'unknown',
      found: 'it could not be looked at because of a defect of the site server; pushpoint.log has it',
    };
  }

  /** skip notes what was not looked at, and why. */
  skip(list: readonly About[], why: string): void {
    for (const { group, name, tried } of list)
      this.#said.push({ group, name, tried, verdict: 'not-tried', found: why, durationMs: 0 });
  }
}
