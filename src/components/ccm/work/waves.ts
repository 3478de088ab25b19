import { ABSENT, type Ccr } from '#records/ccr';
import type { CcmParts } from './parts.ts';

/** Waves without a limit are remembered, but not without an end. */
const REMEMBERED = 1000;

/** Waves stops the rest of a wave when too many of its machines have failed. */
export class Waves {
  readonly #parts: Pick<CcmParts, 'ccr' | 'audit' | 'log'>;
  readonly #unlimited = new Set<number>();

  constructor(parts: Pick<CcmParts, 'ccr' | 'audit' | 'log'>) {
    this.#parts = parts;
  }

  /** failed is told of each failure; a machine that did not answer says nothing about what is pushed. */
  async failed({ wave, name }: Ccr, code: string): Promise<void> {
    if (wave === 0 || ABSENT.has(code) || this.#unlimited.has(wave)) return;
    const { ccr, audit, log } = this.#parts;
    if (!(await ccr.waves.isLimited(wave))) {
      if (this.#unlimited.size >= REMEMBERED) this.#unlimited.clear();
      this.#unlimited.add(wave);
      return;
    }
    const reason = await ccr.waves.halt(wave);
    if (reason === undefined) return;
    log.warn('a wave was stopped', { wave, reason, machine: name });
    await audit.write({ who: 'ccm', what: 'wave.stop', object: `wave ${wave}`, detail: { reason, last: name } });
  }
}
