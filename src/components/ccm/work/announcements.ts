import { isLive } from '#records/ccr';
import { isOfTheSite } from './outcome.ts';
import type { CcmParts } from './parts.ts';
import type { Surroundings } from './surroundings.ts';

/**
 * Announcements are what others tell CCM of while it runs: clients that spoke, machines that were seen, accounts and settings that changed.
 * Each makes CCRs due that wait for exactly that.
 */
export class Announcements {
  readonly #parts: CcmParts;
  readonly #surroundings: Surroundings;
  #ends: (() => Promise<void>)[] = [];

  constructor(parts: CcmParts, surroundings: Surroundings) {
    this.#parts = parts;
    this.#surroundings = surroundings;
  }

  /** listen begins to hear them; `wake` is told when the queue may have changed, `stopped` which CCRs people ended. */
  async listen(wake: () => void, stopped: (payload: string) => Promise<void>): Promise<void> {
    await this.#on('ccr', wake);
    await this.#on('ccr_stop', (payload) => void stopped(payload));
    await this.#on('client', (payload) => void this.#heard(payload));
    await this.#on('resource', (payload) => void this.#discovered(payload));
    for (const channel of ['account', 'site_settings', 'package'])
      await this.#on(channel, () => void this.changed(channel === 'account' ? 'account' : 'site').finally(wake));
  }

  async #on(channel: string, fn: (payload: string) => void): Promise<void> {
    this.#ends.push(await this.#parts.database.listen(channel, fn));
  }

  /** end hears nothing more. */
  async end(): Promise<void> {
    for (const end of this.#ends.splice(0)) await end();
  }

  /**
   * A client registered or spoke: its CCR, if it is being verified, is looked at now; if it waits for its hour, it is tried now. Only a
   * client that proved itself is announced, and it has its rest, so no machine can call credentials to itself by talking much.
   */
  async #heard(payload: string): Promise<void> {
    const { ccr, log } = this.#parts;
    try {
      // After a lost connection nobody knows who was heard meanwhile.
      if (payload === '') return void (await ccr.wake({ heard: true }));
      const { resourceId, name, domain } = JSON.parse(payload) as { resourceId?: number; name: string; domain?: string };
      const live = resourceId === undefined ? await ccr.find(name, domain || undefined) : undefined;
      const who = live ? { ids: live.filter((c) => isLive(c.state)).map((c) => c.id) } : { resourceIds: [resourceId!] };
      ccr.claims.meter.add('pushpoint_woken_total', { by: 'client' }, await ccr.absences.seen(who));
    } catch (error) {
      log.warn('an announcement of a client was not understood', { error });
    }
  }

  /** Discovery saw machines, from whatever source: that makes no CCR, but one that waits for its machine need not wait longer. */
  async #discovered(payload: string): Promise<void> {
    if (payload === '') return;
    const { ccr, log } = this.#parts;
    try {
      const resourceIds = payload.split(',').map(Number).filter(Number.isSafeInteger);
      ccr.claims.meter.add('pushpoint_woken_total', { by: 'discovery' }, await ccr.absences.seen({ resourceIds }));
    } catch (error) {
      log.warn('machines that discovery saw could not be woken', { error });
    }
  }

  /** changed lets CCRs go on that wait for an account, a setting, a point or a package. */
  async changed(what: 'account' | 'site'): Promise<void> {
    this.#surroundings.forget();
    const { ccr, log } = this.#parts;
    try {
      let cursor: string | undefined;
      do {
        const page = await ccr.list({ state: 'waiting', cursor, limit: 1000 });
        const ids = page.items.filter((c) => isOfTheSite(c.lastError, what)).map((c) => c.id);
        if (ids.length > 0) await ccr.wake({ ids });
        cursor = page.next;
      } while (cursor !== undefined);
    } catch (error) {
      log.error('waiting CCRs could not be woken', { error });
    }
  }
}
