import type { Clock } from '#base/clock';
import { PushpointError, raise } from '#base/errors';

import { Interrupted } from './interrupted.ts';

/** StepName is one step of an attempt, in the order of the life of a CCR. */
export type StepName =
  | 'probe'
  | 'logon'
  | 'admin-share'
  | 'inspect'
  | 'lock'
  | 'decide'
  | 'copy'
  | 'start'
  | 'release'
  | 'verify';

export type StepOutcome = 'ok' | 'failed' | 'skipped' | 'unknown';

/** Step is what the timeline shows of one step. */
export interface Step {
  name: StepName;
  outcome: StepOutcome;
  startedAt: Date;
  durationMs: number;
  detail?: string;
  code?: string;
  win32?: number;
}

/** Note lets a step say in one sentence what it found; `outcome` other than ok where it could not be done or need not. */
export type Note = (detail: string, outcome?: 'unknown' | 'skipped') => void;

/** failure turns whatever a step threw into an error of the catalogue; a defect of ours is worth another try, and is named as such. */
export function failure(error: unknown, step: StepName): PushpointError {
  if (error instanceof PushpointError) return error;
  const why = error instanceof Error ? error.message : String(error);
  return raise('PP_PUSH_DEFECT', { step, why }, { cause: error });
}

function sentence(error: PushpointError): string {
  return error.detail === undefined ? error.message : `${error.message} (${error.detail})`;
}

interface Slot {
  step?: Step;
}

/** Timeline records the steps of one attempt with start, duration, outcome and detail, in the order they began. */
export class Timeline {
  readonly #clock: Clock;
  readonly #record: (step: Step) => void;
  #slots: Slot[] = [];

  constructor(clock: Clock, record: (step: Step) => void) {
    this.#clock = clock;
    this.#record = record;
  }

  /** Steps may run side by side; each is shown behind the ones that began before it. */
  #fill(slot: Slot, step: Step): void {
    slot.step = step;
    while (this.#slots[0]?.step) this.#record(this.#slots.shift()!.step!);
  }

  /** run does one step and records how it went; what it throws is an error of the catalogue or Interrupted. */
  async run<T>(name: StepName, work: (note: Note) => Promise<T>): Promise<T> {
    const slot: Slot = {};
    this.#slots.push(slot);
    const startedAt = this.#clock.now();
    const from = this.#clock.monotonic();
    const notes: string[] = [];
    let outcome: StepOutcome = 'ok';
    const note: Note = (text, other) => {
      notes.push(text);
      if (other) outcome = other;
    };
    const done = (rest: Partial<Step>) => {
      const durationMs = Math.round(this.#clock.monotonic() - from);
      const detail = notes.length === 0 ? {} : { detail: notes.join('; ') };
      this.#fill(slot, { name, outcome, startedAt, durationMs, ...detail, ...rest });
    };
    try {
      const result = await work(note);
      done({});
      return result;
    } catch (caught) {
      if (caught instanceof Interrupted) {
        done({ outcome: 'skipped', detail: caught.message });
        throw caught;
      }
      const error = failure(caught, name);
      notes.push(sentence(error));
      done({ outcome: 'failed', code: error.code, ...(error.win32 === undefined ? {} : { win32: error.win32 }) });
      throw error;
    }
  }

  /** skip records a step that was not needed, and why. */
  skip(name: StepName, detail: string): void {
    const slot: Slot = {};
    this.#slots.push(slot);
    this.#fill(slot, { name, outcome: 'skipped', startedAt: this.#clock.now(), durationMs: 0, detail });
  }
}
